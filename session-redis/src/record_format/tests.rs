//! Golden bytes of format 1, and what is refused. The files are in people's stores: they never change.

use super::*;

const FULL: &[u8] = include_bytes!("../../tests/golden/format-1/full.record");

const BARE: &[u8] = include_bytes!("../../tests/golden/format-1/bare.record");

const NAMELESS: &[u8] = include_bytes!("../../tests/golden/format-1/nameless.record");

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn golden() -> [(Record, &'static [u8]); 3] {
    let revision = Revision::from_i64(5 << 32 | 0x9abc_def0).unwrap();
    let full = Record::new(revision, at(0x018b_cfe5_6be8), at(0x018b_cfe5_6800), at(0x018c_0db2_5c00))
        .with_principal(Some(Principal::new("élise").unwrap()))
        .with_meta(&b"\x01\x00\xff"[..])
        .with_data("{\"views\":7}");
    let bare = Record::new(Revision::first(0), Timestamp::MIN, Timestamp::MIN, Timestamp::MAX);
    let nameless = bare.clone().with_principal(Some(Principal::new("").unwrap()));
    [(full, FULL), (bare, BARE), (nameless, NAMELESS)]
}

#[test]
fn format_1_is_read() {
    for (record, bytes) in golden() {
        assert_eq!(decode(Bytes::from_static(bytes)).unwrap(), record);
    }
}

#[test]
fn format_1_is_written() {
    for (record, bytes) in golden() {
        assert_eq!(encode(&record).unwrap(), bytes);
    }
}

#[test]
fn truncated_or_longer_is_corrupt() {
    for (_, bytes) in golden() {
        for len in 0..bytes.len() {
            let error = decode(Bytes::from_static(&bytes[..len])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes");
        }
        assert_eq!(decode([bytes, b"x"].concat().into()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn later_formats_are_unknown_and_other_bytes_corrupt() {
    for first in 0..=u8::MAX {
        let mut bytes = FULL.to_vec();
        bytes[0] = first;
        let kind = decode(bytes.into()).err().map(|error| error.kind());
        let expected = match first {
            1 => None,
            2..=31 => Some(ErrorKind::UnknownFormat),
            _ => Some(ErrorKind::Corrupt),
        };
        assert_eq!(kind, expected, "{first}");
    }
    assert_eq!(decode(Bytes::from_static(b"\x02")).unwrap_err().kind(), ErrorKind::UnknownFormat);
}

#[test]
fn impossible_fields_are_corrupt() {
    // The revision's sequence and its sign, each time's upper byte, the principal's length and its text.
    for (at, byte) in [(4, 0), (1, 0x80), (9, 0xff), (15, 0xff), (21, 0xff), (27, 1), (28, 0), (37, 0xff)] {
        let mut bytes = FULL.to_vec();
        bytes[at] = byte;
        let error = decode(bytes.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
        assert!(!format!("{error:?}").contains("views"));
    }
}

#[test]
fn lengths_that_overflow_are_corrupt() {
    let mut bytes = FULL.to_vec();
    bytes[27..37].fill(0xff);
    assert_eq!(decode(bytes.into()).unwrap_err().kind(), ErrorKind::Corrupt);
}
