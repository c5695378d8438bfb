//! The stored form of the bookkeeping: one version byte, a MessagePack map with short names, because every
//! session carries them, and the CRC-32 of all that, big-endian. A field is added, never changed; drivers never
//! look inside.
//!
//! Field by field, without serde: every request reads one, every change writes one, and serde took twice as
//! many instructions.

mod fields;

use std::time::Duration;

use bytes::Bytes;
use rmp::Marker;
use rmp::encode::{
    ValueWriteError, write_array_len, write_bin, write_bin_len, write_bool, write_map_len, write_str,
};

use crate::meta::Meta;
use crate::secrets::{Replaced, Rotation, Secrets};
use crate::{CookieLifetime, Error, ErrorKind, Lifetime, Result, Timestamp};

use fields::Fields;

pub(super) const VERSION: u8 = 1;
/// Of a session that was written a few times; others take another allocation.
const USUAL_SIZE: usize = 160;

/// Texts of one letter: they and numbers are most of what there is to write and read.
const CREATED_AT: u8 = b'c';
const AUTHENTICATED_AT: u8 = b'a';
const IDLE_TIMEOUT: u8 = b'i';
const ABSOLUTE_TIMEOUT: u8 = b'x';
const COOKIE: u8 = b'k';
const CODEC: u8 = b'f';
const DIGEST: u8 = b'd';
const ISSUED_AT: u8 = b's';
const REPLACED: u8 = b'o';
const REVISIONS: u8 = b'r';

/// Fields of a replaced secret, beside its [`DIGEST`]. Closed: a later release keeps what else it must know of one in
/// a field of the bookkeeping, because what this one does not know is kept there and nowhere else.
const PRIVILEGE: u8 = b'p';
const VALID_UNTIL: u8 = b'u';

const PERSISTENT: u8 = b'p';
const BROWSER_SESSION: u8 = b'b';

impl Meta {
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(USUAL_SIZE);
        bytes.push(VERSION);
        self.write(&mut bytes).map_err(|error| Error::new(ErrorKind::Internal, error))?;
        bytes.extend(checksum(&bytes));
        Ok(bytes.into())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let version = bytes.first().ok_or_else(|| corrupt("empty"))?;
        match *version {
            VERSION => {}
            0 => return Err(corrupt("version 0")),
            newer => {
                let detail = format!("format {newer}; this release reads format {VERSION}");
                return Err(Error::describe(ErrorKind::UnknownFormat, detail));
            }
        }
        let (sealed, sum) = bytes.split_last_chunk().ok_or_else(|| corrupt("cut off"))?;
        if *sum != checksum(sealed) {
            return Err(corrupt("the checksum is that of something else"));
        }
        let map = sealed.get(1..).unwrap_or_default();
        let mut fields = Fields::default();
        fields.read(map).ok_or_else(|| corrupt("not the expected fields"))?;
        fields.try_into()
    }

    fn write(&self, bytes: &mut Vec<u8>) -> Written {
        // Taken apart, so that a new field is stored or left out on purpose.
        let Self { created_at, authenticated_at, lifetime, codec, secrets, earlier_revisions, unknown } =
            self;
        let Lifetime { idle_timeout, absolute_timeout, cookie } = lifetime;
        let Secrets { current, issued_at, replaced } = secrets;
        let (codec, revisions) = (codec.number(), earlier_revisions.randoms());
        let optional = [
            authenticated_at.is_some(),
            idle_timeout.is_some(),
            codec != 0,
            !replaced.is_empty(),
            !revisions.is_empty(),
        ];
        let optional = optional.into_iter().filter(|is_there| *is_there).count();
        write_map_len(bytes, length(5 + optional + unknown.len()))?;
        write_time(bytes, CREATED_AT, *created_at);
        if let Some(time) = authenticated_at {
            write_time(bytes, AUTHENTICATED_AT, *time);
        }
        if let Some(timeout) = idle_timeout {
            write_duration(bytes, IDLE_TIMEOUT, *timeout);
        }
        write_duration(bytes, ABSOLUTE_TIMEOUT, *absolute_timeout);
        write_letter(bytes, COOKIE);
        let cookie = match cookie {
            CookieLifetime::Persistent => PERSISTENT,
            CookieLifetime::BrowserSession => BROWSER_SESSION,
        };
        write_letter(bytes, cookie);
        if codec != 0 {
            write_letter(bytes, CODEC);
            write_number(bytes, codec.into());
        }
        write_letter(bytes, DIGEST);
        write_bin(bytes, current.as_bytes())?;
        write_time(bytes, ISSUED_AT, *issued_at);
        if !replaced.is_empty() {
            write_letter(bytes, REPLACED);
            write_array_len(bytes, length(replaced.len()))?;
            replaced.iter().try_for_each(|old| old.write(bytes))?;
        }
        if !revisions.is_empty() {
            write_letter(bytes, REVISIONS);
            write_bin_len(bytes, length(4 * revisions.len()))?;
            bytes.extend(revisions.iter().flat_map(|random| random.to_be_bytes()));
        }
        for (name, value) in unknown {
            write_str(bytes, name)?;
            rmpv::encode::write_value(bytes, value)?;
        }
        Ok(())
    }
}

impl Replaced {
    fn write(&self, bytes: &mut Vec<u8>) -> Written {
        let Self { digest, by, valid_until } = self;
        let is_privilege = *by == Rotation::Privilege;
        write_map_len(bytes, 1 + u32::from(is_privilege) + u32::from(valid_until.is_some()))?;
        write_letter(bytes, DIGEST);
        write_bin(bytes, digest.as_bytes())?;
        if is_privilege {
            write_letter(bytes, PRIVILEGE);
            write_bool(bytes, true).map_err(ValueWriteError::InvalidDataWrite)?;
        }
        if let Some(time) = valid_until {
            write_time(bytes, VALID_UNTIL, *time);
        }
        Ok(())
    }
}

type Written = std::result::Result<(), ValueWriteError>;

fn write_time(bytes: &mut Vec<u8>, name: u8, time: Timestamp) {
    write_letter(bytes, name);
    write_number(bytes, time.as_millis().unsigned_abs());
}

fn write_duration(bytes: &mut Vec<u8>, name: u8, duration: Duration) {
    write_letter(bytes, name);
    write_number(bytes, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
}

fn write_letter(bytes: &mut Vec<u8>, letter: u8) {
    bytes.extend_from_slice(&[Marker::FixStr(1).to_u8(), letter]);
}

/// In the shortest form that there is.
fn write_number(bytes: &mut Vec<u8>, number: u64) {
    let all = number.to_be_bytes();
    let (marker, zeros) = match number {
        0..=0x7f => (Marker::FixPos(all[7]), 8),
        0x80..=0xff => (Marker::U8, 7),
        0x100..=0xffff => (Marker::U16, 6),
        0x1_0000..=0xffff_ffff => (Marker::U32, 4),
        _ => (Marker::U64, 0),
    };
    bytes.push(marker.to_u8());
    bytes.extend_from_slice(&all[zeros..]);
}

/// Nothing here comes near the limit.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(super) fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_be_bytes()
}

fn corrupt(what: &'static str) -> Error {
    Error::describe(ErrorKind::Corrupt, format!("bookkeeping: {what}"))
}
