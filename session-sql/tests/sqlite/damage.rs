//! Rows that somebody has changed by hand: a typed error, and nobody else suffers.

use std::path::PathBuf;

use crate::common::{NOW, at, create, database, dump, id, now, principal, raw, record};
use session_core::{DeleteOutcome, ErrorKind, Revision, SessionBackend};
use session_sql::sqlite::SqliteBackend;
use tempfile::TempDir;

/// Damage to the columns other than the expiry.
const DAMAGE: &[&str] = &[
    "revision = 0",
    "revision = -4294967296",
    "revision = 4294967295",
    "revision = 'one'",
    "revision = 1e300",
    "revision = NULL",
    "deadline = -1",
    "deadline = 253402300800000",
    "deadline = NULL",
    "touched_at = -1",
    "touched_at = 'today'",
    "touched_at = NULL",
    "principal = CAST(x'616cff' AS TEXT)",
    "principal = x'616c696365'",
    "principal = printf('%0256d', 0)",
    "meta = 'text'",
    "meta = NULL",
    "data = '{}'",
    "data = 17",
    "data = NULL",
];

/// Damage to the expiry itself, with whether a purge still finds it passed.
const DAMAGED_EXPIRY: &[(&str, bool)] = &[
    ("expires_at = -5", true),
    ("expires_at = 253402300800000", false),
    ("expires_at = 'soon'", false),
    ("expires_at = x'00'", false),
    ("expires_at = NULL", false),
];

/// A store with the sessions 1, 2 and 3 of alice, of which the second is damaged.
async fn damaged(damage: &str) -> (TempDir, PathBuf, SqliteBackend) {
    let (directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    for number in 1..=3 {
        create(&backend, number, record("{}").with_principal(principal("alice"))).await;
    }
    let connection = raw(&path);
    // The version tells the backend's connections that NULLs may be there now.
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON; \
             UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'sessions'; \
             PRAGMA schema_version = 1000; PRAGMA writable_schema = RESET",
        )
        .unwrap();
    let sql = format!("UPDATE sessions SET {damage} WHERE id = ?1");
    assert_eq!(connection.execute(&sql, [id(2).as_bytes()]).unwrap(), 1);
    (directory, path, backend)
}

#[tokio::test]
async fn every_verb_that_reads_it_is_corrupt_and_leaves_it() {
    let expiries = DAMAGED_EXPIRY.iter().map(|(damage, _)| *damage);
    for damage in DAMAGE.iter().copied().chain(expiries) {
        let (_directory, path, backend) = damaged(damage).await;
        let before = dump(&path);
        let other = Revision::first(99);
        let mut errors = vec![
            backend.load(id(2), now()).await.unwrap_err(),
            backend.update(id(2), other, record("new"), now()).await.unwrap_err(),
            backend.delete(id(2), Some(other), now()).await.unwrap_err(),
        ];
        // A create replaces what has expired, and that one has, in every way of reading it.
        if damage != "expires_at = -5" {
            errors.push(backend.create(id(2), record("new"), now()).await.unwrap_err());
        }
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}");
            assert!(!format!("{error} {error:?}").contains("alice"), "{error:?}");
        }
        assert_eq!(dump(&path), before, "{damage}");
        for number in [1, 3] {
            assert!(backend.load(id(number), now()).await.unwrap().is_some(), "{damage}");
        }
    }
}

#[tokio::test]
async fn a_list_leaves_it_out() {
    let expiries = DAMAGED_EXPIRY.iter().map(|(damage, _)| *damage);
    for damage in DAMAGE.iter().copied().chain(expiries).chain(["id = x'0000000201'", "id = 'two'"]) {
        let (_directory, _path, backend) = damaged(damage).await;
        for principal in [None, principal("alice")] {
            let page = backend.list(principal.as_ref(), None, 1, now()).await.unwrap();
            assert_eq!(page.sessions[0].0, id(1), "{damage}");
            let page = backend.list(principal.as_ref(), page.next, 1, now()).await.unwrap();
            assert_eq!(page.sessions[0].0, id(3), "{damage}");
            assert_eq!(page.next, None, "{damage}");
        }
    }
}

#[tokio::test]
async fn a_purge_removes_it_by_its_expiry() {
    let dead = at(NOW + 1_000);
    for damage in DAMAGE {
        let (_directory, path, backend) = damaged(damage).await;
        assert_eq!(backend.load(id(2), dead).await.unwrap(), None, "{damage}");
        assert_eq!(backend.purge_expired(dead, 100).await.unwrap().removed, 3, "{damage}");
        assert!(dump(&path).is_empty(), "{damage}");
    }
    for (damage, passed) in DAMAGED_EXPIRY {
        let (_directory, path, backend) = damaged(damage).await;
        let removed = backend.purge_expired(dead, 100).await.unwrap().removed;
        assert_eq!(removed, 2 + u64::from(*passed), "{damage}");
        assert_eq!(dump(&path).len(), usize::from(!passed), "{damage}");
    }
}

#[tokio::test]
async fn an_unconditional_delete_removes_it() {
    let expiries = DAMAGED_EXPIRY.iter().map(|(damage, _)| *damage);
    for damage in DAMAGE.iter().copied().chain(expiries) {
        let (_directory, path, backend) = damaged(damage).await;
        assert_eq!(backend.delete(id(2), None, now()).await.unwrap(), DeleteOutcome::Deleted, "{damage}");
        assert_eq!(dump(&path).len(), 2, "{damage}");
    }
}

#[tokio::test]
async fn a_touch_makes_no_time_of_a_damaged_expiry() {
    for (damage, _) in DAMAGED_EXPIRY {
        let (_directory, path, backend) = damaged(damage).await;
        let before = dump(&path);
        let touched = backend.touch(id(2), at(NOW + 2_000), now()).await;
        assert_eq!(touched.unwrap_err().kind(), ErrorKind::Corrupt, "{damage}");
        assert_eq!(dump(&path), before, "{damage}");
    }
}
