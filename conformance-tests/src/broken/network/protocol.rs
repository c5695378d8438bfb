//! What client and server say to each other: a line for a call, a line for its answer.

use std::fmt::Write as _;

use session_core::{Principal, Record, Revision, SessionId, Timestamp};

/// A record as one word.
pub(super) fn word(record: &Record) -> String {
    let principal = record.principal.as_ref().map_or("-".to_owned(), |name| hex(name.as_str().as_bytes()));
    let times = [record.touched_at, record.expires_at, record.deadline].map(|time| time.as_millis());
    format!(
        "{},{},{},{},{principal},{},{}",
        record.revision.as_i64(),
        times[0],
        times[1],
        times[2],
        hex(&record.meta),
        hex(&record.data)
    )
}

/// The record in a word.
pub(super) fn record(word: &str) -> Option<Record> {
    let mut fields = word.split(',');
    let mut number = || fields.next()?.parse::<i64>().ok();
    let revision = Revision::from_i64(number()?)?;
    let mut time = || Timestamp::from_millis(number()?);
    let (touched_at, expires_at, deadline) = (time()?, time()?, time()?);
    let principal = match fields.next()? {
        "-" => None,
        name => Some(Principal::new(String::from_utf8(unhex(name)?).ok()?).ok()?),
    };
    let (meta, data) = (unhex(fields.next()?)?, unhex(fields.next()?)?);
    let record = Record::new(revision, touched_at, expires_at, deadline);
    Some(record.with_principal(principal).with_meta(meta).with_data(data))
}

pub(super) fn id_word(id: SessionId) -> String {
    hex(id.as_bytes())
}

pub(super) fn id(word: &str) -> Option<SessionId> {
    Some(SessionId::from_bytes(unhex(word)?.try_into().ok()?))
}

pub(super) fn time(word: &str) -> Option<Timestamp> {
    Timestamp::from_millis(word.parse().ok()?)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digit).collect()
}
