//! What the bookkeeping keeps, tells and refuses.

use super::*;
use crate::secrets::Rotation;
use crate::{CookieLifetime, ErrorKind};

fn digest(byte: u8) -> SecretDigest {
    SecretDigest::from_bytes([byte; 32])
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
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
fn a_newer_version_is_not_guessed_at() {
    let mut bytes = meta().encode().unwrap().to_vec();
    bytes[0] = wire::VERSION + 1;
    assert_eq!(Meta::decode(&bytes).unwrap_err().kind(), ErrorKind::UnknownFormat);
}

#[test]
fn damage_is_corrupt() {
    let bytes = meta().encode().unwrap();
    for length in 0..bytes.len() {
        assert_eq!(Meta::decode(&bytes[..length]).unwrap_err().kind(), ErrorKind::Corrupt, "{length}");
    }
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
