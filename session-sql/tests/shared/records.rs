//! Ids, instants and records of the tests of both drivers.

use session_core::{CreateOutcome, Principal, Record, Revision, SessionBackend, SessionId, Timestamp};

pub(crate) const NOW: i64 = 1_000_000;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub(crate) fn now() -> Timestamp {
    at(NOW)
}

pub(crate) fn id(number: u32) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// The first revision of a session that lives for a second and may live for ten.
pub(crate) fn record(data: &str) -> Record {
    Record::new(Revision::first(7), now(), at(NOW + 1_000), at(NOW + 10_000))
        .with_meta(&b"meta"[..])
        .with_data(data.as_bytes().to_vec())
}

pub(crate) fn principal(name: &str) -> Option<Principal> {
    Some(Principal::new(name).unwrap())
}

pub(crate) async fn create(backend: &impl SessionBackend, number: u32, record: Record) {
    assert_eq!(backend.create(id(number), record, now()).await.unwrap(), CreateOutcome::Created);
}
