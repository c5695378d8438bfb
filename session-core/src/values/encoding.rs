//! Between JSON text and the types of callers. Errors name path and type and hold no part of the
//! value: serde_json's own messages quote it.

use std::any::type_name;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::document::too_deep;
use super::path::{MAX_DEPTH, Path};
use super::scan::{self, Entries, Flaw, MAX_NESTING, Shape};
use crate::{Error, ErrorKind, Result};

/// Reads the value whose text was found at `path`.
///
/// [`Decode`](ErrorKind::Decode) where it is not a `T`, [`Corrupt`](ErrorKind::Corrupt) where the text
/// is not JSON or a map in it has a key twice: decoders disagree about which of the two counts.
pub(crate) fn decode<T: DeserializeOwned>(text: &[u8], path: &Path) -> Result<T> {
    if Shape::of(text) != Shape::Scalar {
        inspect(text, MAX_NESTING)?;
    }
    serde_json::from_slice(text).map_err(|error| {
        // Not by serde_json's category: that calls a list of another length a syntax error.
        if scan::check(text).is_err() || std::str::from_utf8(text).is_err() {
            return Flaw::Malformed.into();
        }
        let (line, column) = (error.line(), error.column());
        let detail = format!("{path} is not a {} (line {line}, column {column})", type_name::<T>());
        Error::describe(ErrorKind::Decode, detail)
    })
}

/// Writes `value`, which is to be stored at `path`, as JSON text.
///
/// [`Encode`](ErrorKind::Encode) where that is impossible, or would give a map a key twice;
/// [`TooLarge`](ErrorKind::TooLarge) where path and value together are nested too deep. A float that is
/// not finite becomes null, as serde_json has it.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, path: &Path) -> Result<Bytes> {
    let refused = |reason| {
        let detail = format!("{path}: {} {reason}", type_name::<T>());
        Error::describe(ErrorKind::Encode, detail)
    };
    let text = serde_json::to_vec(value).map_err(|_| refused("has no form in JSON"))?;
    match inspect(&text, MAX_DEPTH.saturating_sub(path.segments().len())) {
        Ok(()) => Ok(text.into()),
        Err(Flaw::Malformed) => Err(refused("does not write itself as JSON")),
        Err(Flaw::DuplicateKey) => Err(refused("writes a map that has a key twice")),
        Err(Flaw::TooDeep) => Err(too_deep(path)),
    }
}

/// Checks a whole value: its structure, that it is nested at most `nesting` deep, and that no map in
/// it has a key twice.
pub(super) fn inspect(text: &[u8], nesting: usize) -> Result<(), Flaw> {
    if Shape::of(text) == Shape::Scalar {
        return scan::check(text);
    }
    let nesting = nesting.checked_sub(1).ok_or(Flaw::TooDeep)?;
    let mut keys = Vec::new();
    let mut entries = Entries::of(text);
    while entries.advance()? {
        if let Some(key) = entries.key()? {
            keys.push(key);
        }
        inspect(&text[entries.value()], nesting)?;
    }
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) { Err(Flaw::DuplicateKey) } else { Ok(()) }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Self {
        let detail = match flaw {
            Flaw::Malformed => "the values are not a JSON map",
            Flaw::TooDeep => "the values are nested too deep",
            Flaw::DuplicateKey => "a map among the values has a key twice",
        };
        Self::describe(ErrorKind::Corrupt, detail)
    }
}

#[cfg(test)]
mod tests;
