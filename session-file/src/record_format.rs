//! Format 1: a record as one file. The times stand in two slots of their own, which a touch writes in turn, so that
//! it never changes what the record's checksums are about, and a torn one leaves the other slot.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 3 | `SKF` |
//! | 3 | 1 | the format, 1 |
//! | 4 | 4 | checksum of the first 4 bytes; the same in every format to come |
//! | 8 | 28 | slot: number, `expires_at` and `touched_at` of 8 bytes each, their checksum |
//! | 36 | 28 | slot; the one with the higher number counts |
//! | 64 | 8 | revision |
//! | 72 | 8 | `deadline` |
//! | 80 | 2 | 0 without principal, else its length plus one |
//! | 82 | 4 | length of `meta` |
//! | 86 | 4 | length of `data` |
//! | 90 | 4 | checksum of what begins at 98 |
//! | 94 | 4 | checksum of the id and the 30 bytes from 64 on |
//! | 98 | | principal, `meta`, `data` |
//!
//! Numbers are big-endian; checksums are CRC-32. All that is not principal, `meta` or `data` lies in one sector.

use bytes::Bytes;
use session_core::{Error, ErrorKind, Principal, Record, Result, Revision, SessionId, Timestamp};

const MAGIC: &[u8; 3] = b"SKF";
const FORMAT: u8 = 1;
const PROLOGUE: usize = 8;
const SLOTS: [usize; 2] = [8, 36];
const SLOT: usize = 28;
const FIXED: usize = 64;
/// Bytes before the principal.
pub(crate) const HEAD: usize = 98;

/// What a record's file says before its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) revision: Revision,
    pub(crate) deadline: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) touched_at: Timestamp,
    /// Whether only one slot can be read: somebody is writing the other, or the power failed.
    pub(crate) has_damaged_slot: bool,
    /// The place of the slot that counts, and its number.
    slot: usize,
    number: u64,
    principal: usize,
    meta: usize,
    data: usize,
    checksum: u32,
}

/// The record as it is stored.
///
/// # Errors
///
/// [`TooLarge`](ErrorKind::TooLarge) if a length does not fit 32 bits.
pub(crate) fn encode(id: SessionId, record: &Record) -> Result<Vec<u8>> {
    let principal = record.principal.as_ref().map(Principal::as_str);
    let length = |part: &Bytes| {
        u32::try_from(part.len()).map_err(|_| {
            Error::describe(ErrorKind::TooLarge, format!("{} bytes; a file takes 4 GiB", part.len()))
        })
    };
    let (meta, data) = (length(&record.meta)?, length(&record.data)?);
    let body = principal.map_or(0, str::len) + record.meta.len() + record.data.len();
    let mut bytes = Vec::with_capacity(HEAD + body);
    bytes.extend(MAGIC);
    bytes.push(FORMAT);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    for number in [1, 0] {
        bytes.extend(slot(number, record.expires_at, record.touched_at));
    }
    bytes.extend(record.revision.as_i64().to_be_bytes());
    bytes.extend(record.deadline.as_millis().to_be_bytes());
    // A principal has 255 bytes at most.
    bytes.extend((principal.map_or(0, |name| name.len() + 1) as u16).to_be_bytes());
    bytes.extend(meta.to_be_bytes());
    bytes.extend(data.to_be_bytes());
    let mut checksum = crc32fast::Hasher::new();
    for part in [principal.unwrap_or_default().as_bytes(), &record.meta, &record.data] {
        checksum.update(part);
    }
    bytes.extend(checksum.finalize().to_be_bytes());
    bytes.extend(fixed_checksum(id, &bytes[FIXED..]).to_be_bytes());
    bytes.extend(principal.unwrap_or_default().as_bytes());
    bytes.extend(&record.meta);
    bytes.extend(&record.data);
    Ok(bytes)
}

impl Head {
    /// The head of the file that begins with `bytes`.
    ///
    /// # Errors
    ///
    /// [`UnknownFormat`](ErrorKind::UnknownFormat) for a later format, [`Corrupt`](ErrorKind::Corrupt) for
    /// anything that this library does not write.
    pub(crate) fn decode(id: SessionId, bytes: &[u8]) -> Result<Self> {
        let prologue: &[u8; PROLOGUE] = bytes.first_chunk().ok_or_else(|| damaged("the length"))?;
        if prologue[..3] != *MAGIC || prologue[4..] != crc32fast::hash(&prologue[..4]).to_be_bytes() {
            return Err(damaged("the beginning"));
        }
        match prologue[3] {
            FORMAT => {}
            0 => return Err(damaged("the format")),
            later => {
                let detail = format!("format {later}; this version knows format {FORMAT}");
                return Err(Error::describe(ErrorKind::UnknownFormat, detail));
            }
        }
        let head: &[u8; HEAD] = bytes.first_chunk().ok_or_else(|| damaged("the length"))?;
        let (fixed, checksum) = head[FIXED..].split_at(HEAD - FIXED - 4);
        if checksum != fixed_checksum(id, fixed).to_be_bytes() {
            return Err(damaged("the head"));
        }
        let slots = SLOTS.map(|at| read_slot(&head[at..at + SLOT]));
        let newest = (0..SLOTS.len()).max_by_key(|place| slots[*place]).unwrap_or_default();
        let (number, expires_at, touched_at) = slots[newest].ok_or_else(|| damaged("the times"))?;
        let revision = Revision::from_i64(number_at(fixed, 0, 8) as i64);
        let deadline = Timestamp::from_millis(number_at(fixed, 8, 8) as i64);
        Ok(Self {
            revision: revision.ok_or_else(|| damaged("the revision"))?,
            deadline: deadline.ok_or_else(|| damaged("the deadline"))?,
            expires_at,
            touched_at,
            has_damaged_slot: slots.contains(&None),
            slot: newest,
            number,
            principal: number_at(fixed, 16, 2) as usize,
            meta: number_at(fixed, 18, 4) as usize,
            data: number_at(fixed, 22, 4) as usize,
            checksum: number_at(fixed, 26, 4) as u32,
        })
    }

    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// How long the file is.
    pub(crate) fn file_length(&self) -> usize {
        HEAD + self.principal.saturating_sub(1) + self.meta + self.data
    }

    /// What a touch writes, and where: the slot that does not count. As [`Record::touch`].
    pub(crate) fn touched(&self, expires_at: Timestamp, now: Timestamp) -> (u64, [u8; SLOT], Timestamp) {
        let expires_at = self.expires_at.max(expires_at).min(self.deadline);
        let slot = slot(self.number.saturating_add(1), expires_at, self.touched_at.max(now));
        (SLOTS[1 - self.slot] as u64, slot, expires_at)
    }

    /// The principal as it stands in the file that begins with `bytes`, its checksum unseen: to find its marker.
    pub(crate) fn principal<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(HEAD..HEAD + self.principal.checked_sub(1)?)
    }

    /// The record in `file`, which it shares.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) for anything that this library does not write.
    pub(crate) fn record(&self, file: &Bytes) -> Result<Record> {
        if file.len() != self.file_length() {
            return Err(damaged("the length"));
        }
        if crc32fast::hash(&file[HEAD..]) != self.checksum {
            return Err(damaged("the contents"));
        }
        let principal = match self.principal(file) {
            None => None,
            Some(name) => {
                let name = std::str::from_utf8(name).ok();
                let principal = name.and_then(|name| Principal::new(name).ok());
                Some(principal.ok_or_else(|| damaged("the principal"))?)
            }
        };
        let meta = HEAD + self.principal.saturating_sub(1);
        Ok(Record::new(self.revision, self.touched_at, self.expires_at, self.deadline)
            .with_principal(principal)
            .with_meta(file.slice(meta..meta + self.meta))
            .with_data(file.slice(meta + self.meta..)))
    }
}

fn fixed_checksum(id: SessionId, fixed: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(id.as_bytes());
    checksum.update(fixed);
    checksum.finalize()
}

fn slot(number: u64, expires_at: Timestamp, touched_at: Timestamp) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&number.to_be_bytes());
    slot[8..16].copy_from_slice(&expires_at.as_millis().to_be_bytes());
    slot[16..24].copy_from_slice(&touched_at.as_millis().to_be_bytes());
    let checksum = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&checksum.to_be_bytes());
    slot
}

fn read_slot(slot: &[u8]) -> Option<(u64, Timestamp, Timestamp)> {
    if slot[24..] != crc32fast::hash(&slot[..24]).to_be_bytes() {
        return None;
    }
    let time = |at: usize| Timestamp::from_millis(number_at(slot, at, 8) as i64);
    Some((number_at(slot, 0, 8), time(8)?, time(16)?))
}

fn number_at(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn damaged(part: &'static str) -> Error {
    let detail = format!("{part} of the stored record is not what this library writes");
    Error::describe(ErrorKind::Corrupt, detail)
}

#[cfg(test)]
mod tests;
