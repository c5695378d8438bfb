//! The sessions whose rows are kept in `tests/golden`: never another one under the same number.

use session_core::{
    CreateOutcome, ManualClock, Principal, Record, Revision, SessionBackend, SessionId, SessionManager,
    SessionToken, Timestamp,
};

/// Milliseconds; the instant at which everything is read.
const NOW: i64 = 1_000_000_000_000;
const HOUR: i64 = 3_600_000;

const META: &[u8] = include_bytes!("../../../session-core/tests/golden/format-1/full.meta");
const VALUES: &[u8] = include_bytes!("../../../session-core/tests/golden/format-1/values.json");

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn first_id() -> SessionId {
    SessionId::from_bytes(*b"golden session 1")
}

/// A whole session, and two of which every column is at its limits.
pub(crate) fn sessions() -> Vec<(SessionId, Record)> {
    let principal = |name: &str| Some(Principal::new(name).unwrap());
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let revision = |value| Revision::from_i64(value).unwrap();
    let whole =
        Record::new(revision(9 << 32 | 0x0909_0909), at(NOW - 10_000), at(NOW + HOUR), at(NOW + 2 * HOUR))
            .with_principal(principal("alice"))
            .with_meta(META)
            .with_data(VALUES);
    let least = Record::new(revision(1 << 32), Timestamp::MIN, at(NOW + 1), at(NOW + 1));
    let most = Record::new(revision(i64::MAX), Timestamp::MAX, Timestamp::MAX, Timestamp::MAX)
        .with_principal(principal(&format!("'{}\u{1f980}", "x".repeat(250))))
        .with_meta(every_byte.clone())
        .with_data(every_byte);
    let nameless = least.clone().with_principal(principal(""));
    vec![
        (first_id(), whole),
        (SessionId::from_bytes([0; 16]), least),
        (SessionId::from_bytes([0x80; 16]), nameless),
        (SessionId::from_bytes([0xff; 16]), most),
    ]
}

pub(crate) async fn write(backend: &impl SessionBackend) {
    for (id, record) in sessions() {
        assert_eq!(backend.create(id, record, at(NOW)).await.unwrap(), CreateOutcome::Created);
    }
}

/// Every field, and the session through the manager.
pub(crate) async fn assert_readable(backend: impl SessionBackend + Clone) {
    for (id, record) in sessions() {
        assert_eq!(backend.load(id, at(NOW)).await.unwrap(), Some(record.clone()), "{id:?}");
        let listing = backend.list(record.principal.as_ref(), None, 10, at(NOW)).await.unwrap();
        assert!(listing.sessions.contains(&(id, record)), "{id:?}");
    }
    let clock = ManualClock::new(at(NOW));
    let manager = SessionManager::builder(backend).clock(clock).build().unwrap();
    let token = SessionToken::from_parts(first_id(), [1; 32]).expose();
    let session = manager.open(Some(&token)).await.unwrap();
    assert_eq!(session.principal(), Some(Principal::new("alice").unwrap()));
    assert_eq!(session.get("n").unwrap(), Some(7));
    session.insert("n", 8).unwrap();
    let _ = session.commit().await.unwrap();
    assert_eq!(manager.open(Some(&token)).await.unwrap().get("n").unwrap(), Some(8));
    assert_eq!(manager.revoke_all("alice").await.unwrap(), 1);
}
