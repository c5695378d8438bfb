//! What the tests share: ids, instants, records, and a look into the file that does not go through the driver.

use std::path::{Path, PathBuf};

use session_core::{CreateOutcome, Principal, Record, Revision, SessionBackend, SessionId, Timestamp};
use session_sql::sqlite::SqliteBackend;
use tempfile::TempDir;

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

pub(crate) fn database() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    (directory, path)
}

pub(crate) async fn create(backend: &SqliteBackend, number: u32, record: Record) {
    assert_eq!(backend.create(id(number), record, now()).await.unwrap(), CreateOutcome::Created);
}

/// A connection of somebody else.
pub(crate) fn raw(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// Every value of the table, as SQLite writes them, in hexadecimal: text need not be UTF-8 here.
pub(crate) fn dump(path: &Path) -> Vec<String> {
    let connection = raw(path);
    let sql = "SELECT hex(concat_ws('|', quote(id), quote(revision), quote(expires_at), quote(deadline), \
               quote(touched_at), quote(principal), quote(meta), quote(data))) FROM sessions ORDER BY id";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
