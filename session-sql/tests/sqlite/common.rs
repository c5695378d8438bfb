//! What the tests share: ids, instants, records, a file, and a look into the file that does not go through the driver.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub(crate) use crate::records::{NOW, at, create, id, now, principal, record};

pub(crate) fn database() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    (directory, path)
}

/// A connection of somebody else.
pub(crate) fn raw(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// Every value of the table, as SQLite writes them, in hexadecimal: text need not be UTF-8 here.
pub(crate) fn dump(path: &Path) -> Vec<String> {
    let connection = raw(path);
    let sql = "SELECT hex(concat_ws('|', quote(id), quote(revision), quote(expires_at), quote(deadline), \
               quote(touched_at), quote(filed_at), quote(principal), quote(meta), quote(data))) FROM sessions ORDER BY id";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
