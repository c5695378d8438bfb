//! What the bookkeeping keeps, tells and refuses.

use std::time::Duration;

use super::*;
use crate::secrets::Rotation;
use crate::{CookieLifetime, ErrorKind};

fn digest(byte: u8) -> SecretDigest {
    SecretDigest::from_bytes([byte; 32])
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

/// The bytes that would be stored with `bytes` before the checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(wire::checksum(&bytes));
    bytes
}

/// What is stored, without the checksum.
fn unsealed(meta: &Meta) -> Vec<u8> {
    let mut bytes = meta.encode().unwrap().to_vec();
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn meta() -> Meta {
    Meta::new(digest(0), Lifetime::default(), Codec::Json, at(1_000))
}

#[test]
fn everything_survives_a_roundtrip() {
    let mut meta = meta();
    meta.authenticated_at = Some(at(2_000));
    meta.lifetime.idle_timeout = None;
    meta.lifetime.cookie = CookieLifetime::BrowserSession;
    meta.secrets.rotate(Rotation::Privilege, digest(1), at(3_000));
    meta.secrets.rotate(Rotation::Periodic, digest(2), at(4_000));
    meta.push_revision(Revision::first(0xfedc_ba98));
    let decoded = Meta::decode(&meta.encode().unwrap()).unwrap();
    assert_eq!(format!("{decoded:?}"), format!("{meta:?}"));
    assert_eq!(decoded.secrets.current, meta.secrets.current);
    for (decoded, replaced) in decoded.secrets.replaced.iter().zip(&meta.secrets.replaced) {
        assert_eq!(decoded.digest, replaced.digest);
    }
}

#[test]
fn fields_of_a_later_release_are_kept() {
    let mut meta = meta();
    meta.unknown.insert("z".into(), rmpv::Value::from("later"));
    let again = Meta::decode(&meta.encode().unwrap()).unwrap();
    assert_eq!(Meta::decode(&again.encode().unwrap()).unwrap().unknown, meta.unknown);
}

#[test]
fn fields_of_a_later_release_are_kept_30_levels_deep() {
    use rmpv::Value;
    let map = |value| Value::Map(vec![(Value::from("key"), value)]);
    let list = |value| Value::Array(vec![value]);
    for innermost in [Value::Nil, Value::from("text"), Value::from(vec![1_u8]), Value::Ext(1, vec![2])] {
        for deepen in [&map as &dyn Fn(Value) -> Value, &list] {
            let mut meta = meta();
            let later = (0..30).fold(innermost.clone(), |value, _| deepen(value));
            meta.unknown.insert("z".into(), later);
            let again = Meta::decode(&meta.encode().unwrap()).unwrap();
            assert_eq!(again.encode().unwrap(), meta.encode().unwrap());
        }
    }
}

#[test]
fn a_newer_version_is_not_guessed_at() {
    let mut bytes = meta().encode().unwrap().to_vec();
    bytes[0] = wire::VERSION + 1;
    assert_eq!(Meta::decode(&bytes).unwrap_err().kind(), ErrorKind::UnknownFormat);
}

#[test]
fn every_flipped_bit_and_every_cut_is_an_error() {
    let mut meta = meta();
    meta.secrets.rotate(Rotation::Periodic, digest(1), at(3_000));
    meta.secrets.present(digest(1), at(4_000), Duration::from_secs(30));
    meta.push_revision(Revision::first(7));
    let bytes = meta.encode().unwrap();
    let kind = |bytes: &[u8]| Meta::decode(bytes).unwrap_err().kind();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let expected = match damaged[0] {
            0 | 1 => ErrorKind::Corrupt,
            _ => ErrorKind::UnknownFormat,
        };
        assert_eq!(kind(&damaged), expected, "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(kind(&bytes[..length]), ErrorKind::Corrupt, "{length} bytes");
        assert_eq!(kind(&[&bytes, &bytes[..length + 1]].concat()), ErrorKind::Corrupt, "{length} bytes more");
    }
}

#[test]
fn cut_off_before_the_checksum_was_made_is_corrupt() {
    let bytes = unsealed(&meta());
    for length in 0..bytes.len() {
        let error = Meta::decode(&sealed(bytes[..length].to_vec())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}");
    }
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut meta = meta();
    meta.secrets.rotate(Rotation::Privilege, digest(1), at(3_000));
    meta.push_revision(Revision::first(7));
    let bytes = unsealed(&meta);
    for position in 1..bytes.len() {
        for byte in 0..=u8::MAX {
            let mut damaged = bytes.clone();
            damaged[position] = byte;
            drop(Meta::decode(&sealed(damaged)).and_then(|meta| meta.encode()));
        }
    }
    // In a field of a later release: lists in lists, and lists and texts that claim to be huge.
    let deep = |levels| [vec![0x91; levels], vec![0xc0]].concat();
    let hostile =
        [deep(500), deep(100_000), vec![0xdd, 0xff, 0xff, 0xff, 0xff], vec![0xdb, 0xff, 0xff, 0xff, 0xff]];
    for field in hostile {
        let mut damaged = bytes.clone();
        damaged[1] += 1;
        damaged.extend([0xa1, b'z']);
        damaged.extend(field);
        drop(Meta::decode(&sealed(damaged)).and_then(|meta| meta.encode()));
    }
}

#[test]
fn somebody_else_starts_without_fields_of_a_later_release() {
    let mut meta = meta();
    meta.unknown.insert("z".into(), rmpv::Value::from("later"));
    meta.start_over(Lifetime::default(), at(9_000));
    assert!(meta.unknown.is_empty());
    assert_eq!(meta.created_at, at(9_000));
}

#[test]
fn a_session_of_one_write_costs_little() {
    assert!(meta().encode().unwrap().len() < 90, "{}", meta().encode().unwrap().len());
}

#[test]
fn an_attempt_is_found_among_the_last_eight_revisions() {
    let mut meta = meta();
    let attempted = Revision::first(7);
    let mut revision = attempted;
    for writes_since in 0..=8 {
        assert_eq!(meta.landed(revision, attempted), Landed::Yes, "{writes_since}");
        let other = Revision::first(8);
        assert_eq!(meta.landed(revision, other), Landed::No, "{writes_since}");
        meta.push_revision(revision);
        revision = revision.next(100);
    }
    assert_eq!(meta.landed(revision, attempted), Landed::Unknown);
    assert_eq!(meta.landed(attempted, revision), Landed::No, "an attempt from the future");
}
