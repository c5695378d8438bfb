//! How a session's values become the bytes of a record, and back.

use bytes::Bytes;

use super::document::Document;
use crate::{Error, ErrorKind, Result};

/// The stored form of a session's values. Recorded with each session: a manager with another codec
/// reads it and keeps its form, so switching loses no session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// One plain JSON document, which other languages and tools read. The default.
    #[default]
    Json,
    /// The top-level keys and the JSON text of their values behind length prefixes (bincode 2, standard
    /// configuration, a list of pairs), so that nothing is scanned at load. Needs the feature `bincode`, which
    /// is off by default because that crate's maintainers have stopped (RUSTSEC-2025-0141).
    #[cfg(feature = "bincode")]
    Bincode,
}

impl Codec {
    const JSON: u8 = 0;
    const BINCODE: u8 = 1;

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Json => Self::JSON,
            #[cfg(feature = "bincode")]
            Self::Bincode => Self::BINCODE,
        }
    }

    pub(crate) fn from_number(number: u8) -> Result<Self> {
        match number {
            Self::JSON => Ok(Self::Json),
            #[cfg(feature = "bincode")]
            Self::BINCODE => Ok(Self::Bincode),
            #[cfg(not(feature = "bincode"))]
            Self::BINCODE => {
                let detail = "the codec bincode, which needs the cargo feature `bincode`";
                Err(Error::describe(ErrorKind::UnknownFormat, detail))
            }
            other => Err(Error::describe(ErrorKind::UnknownFormat, format!("codec {other}"))),
        }
    }

    pub(crate) fn read(self, data: Bytes) -> Result<Document> {
        match self {
            Self::Json => Ok(Document::from_json(data)),
            #[cfg(feature = "bincode")]
            Self::Bincode => bincode_form::read(&data),
        }
    }

    pub(crate) fn write(self, document: &Document) -> Result<Bytes> {
        match self {
            Self::Json => Ok(document.to_json()),
            #[cfg(feature = "bincode")]
            Self::Bincode => bincode_form::write(document),
        }
    }
}

#[cfg(feature = "bincode")]
mod bincode_form {
    //! The one place that knows the crate.

    use super::{Bytes, Document, Error, ErrorKind, Result};

    pub(super) fn read(data: &Bytes) -> Result<Document> {
        // The decoder's own message could quote what it read.
        let damaged = || Error::describe(ErrorKind::Corrupt, "values: not what bincode has written");
        if data.is_empty() {
            return Ok(Document::empty());
        }
        let standard = bincode::config::standard();
        // Pair by pair: the decoder would make room for as many as a damaged count claims.
        let (count, mut at): (u64, usize) =
            bincode::borrow_decode_from_slice(data, standard).map_err(|_| damaged())?;
        let mut members = Vec::new();
        for _ in 0..count {
            let ((key, text), read): ((&str, &[u8]), usize) =
                bincode::borrow_decode_from_slice(&data[at..], standard).map_err(|_| damaged())?;
            members.push((data.slice_ref(key.as_bytes()), data.slice_ref(text)));
            at += read;
        }
        if at != data.len() {
            return Err(damaged());
        }
        Document::from_members(members)
    }

    pub(super) fn write(document: &Document) -> Result<Bytes> {
        let members = document.members()?;
        // Keys as bytes: a text has the same form.
        let pairs: Vec<(&[u8], &[u8])> = members.iter().map(|(key, text)| (&**key, &**text)).collect();
        bincode::encode_to_vec(pairs, bincode::config::standard())
            .map(Bytes::from)
            .map_err(|error| Error::new(ErrorKind::Internal, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_are_stored() {
        assert_eq!(Codec::Json.number(), 0);
        assert_eq!(Codec::from_number(0).unwrap(), Codec::Json);
        assert_eq!(Codec::from_number(2).unwrap_err().kind(), ErrorKind::UnknownFormat);
    }

    #[cfg(not(feature = "bincode"))]
    #[test]
    fn a_codec_that_is_not_compiled_in_is_named() {
        let error = Codec::from_number(1).unwrap_err();
        assert!(error.to_string().contains("feature `bincode`"), "{error}");
    }

    #[cfg(feature = "bincode")]
    mod bincode {
        use super::*;

        const STORED: &[u8] = b"\x02\x01a\x011\x01b\x0a{\"c\":null}";

        #[test]
        fn the_stored_form_is_a_list_of_keys_and_texts() {
            let document = Document::from_json(Bytes::from_static(b"{\"b\":{\"c\":null},\"a\":1}"));
            assert_eq!(Codec::Bincode.write(&document).unwrap(), STORED);
            let read = Codec::Bincode.read(Bytes::from_static(STORED)).unwrap();
            assert!(read.same_values(&document).unwrap());
        }

        #[test]
        fn damage_is_corrupt() {
            for length in 1..STORED.len() {
                let error = Codec::Bincode.read(Bytes::from_static(&STORED[..length])).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}");
            }
            for text in
                [&b"\x02\x01a\x011\x01a\x012"[..], b"\x00\x00", b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff"]
            {
                let error = Codec::Bincode.read(Bytes::from_static(text)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{text:?}");
            }
        }
    }
}
