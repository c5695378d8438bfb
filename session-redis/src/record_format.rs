//! Format 1: a record as one string. The scripts read its header by position, so a change here is a new
//! format and a change of `scripts/header.lua`.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 1 | the format, 1 |
//! | 1 | 8 | revision |
//! | 9 | 6 | `expires_at` |
//! | 15 | 6 | `touched_at` |
//! | 21 | 6 | `deadline` |
//! | 27 | 2 | 0 without principal, else its length plus one |
//! | 29 | 4 | length of `meta` |
//! | 33 | 4 | length of `data` |
//! | 37 | | principal, `meta`, `data` |
//!
//! Numbers are big-endian and unsigned. Times are milliseconds since the epoch in 48 bits: what a script
//! computes with must fit the 53 bits of a Lua number.

use bytes::Bytes;
use session_core::{Error, ErrorKind, Principal, Record, Result, Revision, Timestamp};

const FORMAT: u8 = 1;
/// Formats yet to come. What begins with any other byte was not written by this library.
const LATER_FORMATS: std::ops::RangeInclusive<u8> = 2..=31;
const HEADER: usize = 37;
/// What Redis takes as one string, unless it is configured otherwise.
const MAX_LEN: usize = 512 << 20;

/// The record as it is stored.
///
/// # Errors
///
/// [`TooLarge`](ErrorKind::TooLarge) if Redis would close the connection over it.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>> {
    let principal = record.principal.as_ref().map(Principal::as_str);
    let body =
        principal.map_or(0, str::len).saturating_add(record.meta.len()).saturating_add(record.data.len());
    if body > MAX_LEN - HEADER {
        let detail = format!("a record of {body} bytes; a Redis string takes {MAX_LEN}");
        return Err(Error::describe(ErrorKind::TooLarge, detail));
    }
    let mut bytes = Vec::with_capacity(HEADER + body);
    bytes.push(FORMAT);
    bytes.extend(revision(record.revision));
    for time in [record.expires_at, record.touched_at, record.deadline] {
        bytes.extend(timestamp(time));
    }
    // A principal has 255 bytes at most, and the body was measured: no length is cut off here.
    bytes.extend((principal.map_or(0, |name| name.len() + 1) as u16).to_be_bytes());
    bytes.extend((record.meta.len() as u32).to_be_bytes());
    bytes.extend((record.data.len() as u32).to_be_bytes());
    bytes.extend(principal.unwrap_or_default().as_bytes());
    bytes.extend(&record.meta);
    bytes.extend(&record.data);
    Ok(bytes)
}

/// A revision as it stands in the header.
pub(crate) fn revision(revision: Revision) -> [u8; 8] {
    revision.as_i64().to_be_bytes()
}

/// A time as it stands in the header.
pub(crate) fn timestamp(time: Timestamp) -> [u8; 6] {
    let [_, _, bytes @ ..] = time.as_millis().to_be_bytes();
    bytes
}

/// The record in `bytes`, which it shares.
///
/// # Errors
///
/// [`UnknownFormat`](ErrorKind::UnknownFormat) for a later format, [`Corrupt`](ErrorKind::Corrupt) for
/// anything that this library does not write.
pub(crate) fn decode(bytes: Bytes) -> Result<Record> {
    match bytes.first() {
        Some(&FORMAT) => {}
        Some(later) if LATER_FORMATS.contains(later) => {
            let detail = format!("format {later}; this version knows format {FORMAT}");
            return Err(Error::describe(ErrorKind::UnknownFormat, detail));
        }
        _ => return Err(damaged("the format")),
    }
    let header: &[u8; HEADER] = bytes.first_chunk().ok_or_else(|| damaged("the length"))?;
    let revision = Revision::from_i64(number(&header[1..9]));
    let revision = revision.ok_or_else(|| damaged("the revision"))?;
    let time =
        |at: usize| Timestamp::from_millis(number(&header[at..at + 6])).ok_or_else(|| damaged("a time"));
    let (expires_at, touched_at, deadline) = (time(9)?, time(15)?, time(21)?);

    let principal_len = number(&header[27..29]) as usize;
    let meta_start = HEADER + principal_len.saturating_sub(1);
    let data_start = meta_start.saturating_add(number(&header[29..33]) as usize);
    if bytes.len() != data_start.saturating_add(number(&header[33..37]) as usize) {
        return Err(damaged("the length"));
    }
    let principal = match principal_len {
        0 => None,
        _ => {
            let name = std::str::from_utf8(&bytes[HEADER..meta_start]).ok();
            let principal = name.and_then(|name| Principal::new(name).ok());
            Some(principal.ok_or_else(|| damaged("the principal"))?)
        }
    };
    Ok(Record::new(revision, touched_at, expires_at, deadline)
        .with_principal(principal)
        .with_meta(bytes.slice(meta_start..data_start))
        .with_data(bytes.slice(data_start..)))
}

/// At most eight bytes, big-endian.
fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

fn damaged(part: &'static str) -> Error {
    let detail = format!("{part} of the stored record is not what this library writes");
    Error::describe(ErrorKind::Corrupt, detail)
}

#[cfg(test)]
mod tests;
