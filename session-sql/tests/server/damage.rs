//! Rows that somebody has changed by hand: a typed error, and nobody else suffers.

use session_core::{DeleteOutcome, ErrorKind, Revision, SessionBackend};

use crate::common::{NOW, Table, at, create, id, now, principal, record, shown, sql_id, with_table};
use crate::dialect::{self, Backend, DAMAGED_IDS};

/// Damage to the columns other than the expiry; principals are damaged as well.
const DAMAGE: &[&str] = &[
    "revision = 0",
    "revision = -4294967296",
    "revision = 4294967295",
    "revision = NULL",
    "deadline = -1",
    "deadline = 253402300800000",
    "deadline = NULL",
    "touched_at = -1",
    "touched_at = NULL",
    "meta = NULL",
    "data = NULL",
];

/// Damage to the expiry itself, with whether a purge still finds it passed.
const DAMAGED_EXPIRY: &[(&str, bool)] = &[
    ("expires_at = -5", true),
    ("expires_at = 253402300800000", false),
    ("expires_at = 9223372036854775807", false),
    ("expires_at = NULL", false),
];

/// Damage to columns other than the expiry.
fn other_columns() -> Vec<String> {
    // No UTF-8, and more than a principal may have.
    let principals = [b"al\xff".to_vec(), vec![b'x'; 256]].map(|bytes| dialect::bytes(&bytes));
    let principals = principals.map(|principal| format!("principal = {principal}"));
    DAMAGE.iter().map(|damage| (*damage).to_owned()).chain(principals).collect()
}

fn all() -> Vec<String> {
    let mut all = other_columns();
    all.extend(DAMAGED_EXPIRY.iter().map(|(damage, _)| (*damage).to_owned()));
    all
}

/// A backend on a table that takes NULLs everywhere.
async fn lenient(table: &Table) -> Backend {
    let backend = table.connect().await;
    for sql in dialect::LENIENT {
        table.execute(sql).await.unwrap();
    }
    backend
}

/// The sessions 1, 2 and 3 of alice, of which the second is damaged.
async fn damage_one(table: &Table, backend: &Backend, damage: &str) {
    table.execute("DELETE FROM {t}").await.unwrap();
    for number in 1..=3 {
        create(backend, number, record("{}").with_principal(principal("alice"))).await;
    }
    let sql = format!("UPDATE {{t}} SET {damage} WHERE id = {}", sql_id(2));
    assert_eq!(table.execute(&sql).await.unwrap(), 1);
}

#[test]
fn every_verb_that_reads_it_is_corrupt_and_leaves_it() {
    with_table(async |table| {
        let backend = lenient(table).await;
        for damage in all() {
            damage_one(table, &backend, &damage).await;
            let before = table.dump().await;
            let other = Revision::first(99);
            let mut errors = vec![
                backend.load(id(2), now()).await.err(),
                backend.update(id(2), other, record("new"), now()).await.err(),
                backend.delete(id(2), Some(other), now()).await.err(),
            ];
            // A create replaces what has expired, and what expired before all time has.
            if damage != "expires_at = -5" {
                errors.push(backend.create(id(2), record("new"), now()).await.err());
            }
            for error in errors {
                let error = error.expect(&damage);
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}");
                assert!(!shown(&error).contains("alice"), "{error:?}");
            }
            assert_eq!(table.dump().await, before, "{damage}");
            for number in [1, 3] {
                assert!(backend.load(id(number), now()).await.unwrap().is_some(), "{damage}");
            }
        }
    });
}

#[test]
fn a_list_leaves_it_out() {
    with_table(async |table| {
        let backend = lenient(table).await;
        let ids = DAMAGED_IDS.iter().map(|damage| (*damage).to_owned());
        for damage in all().into_iter().chain(ids) {
            damage_one(table, &backend, &damage).await;
            for principal in [None, principal("alice")] {
                for limit in 1..=4 {
                    let (mut listed, mut after) = (Vec::new(), None);
                    for _ in 0..5 {
                        let page = backend.list(principal.as_ref(), after, limit, now()).await.unwrap();
                        listed.extend(page.sessions.into_iter().map(|(id, _)| id));
                        after = page.next;
                        if after.is_none() {
                            break;
                        }
                    }
                    assert_eq!(listed, [id(1), id(3)], "{damage}, by {limit}");
                    assert!(after.is_none(), "{damage}, by {limit}");
                }
            }
        }
    });
}

#[test]
fn a_purge_removes_it_by_its_expiry() {
    with_table(async |table| {
        let backend = lenient(table).await;
        let dead = at(NOW + 1_000);
        for damage in other_columns() {
            damage_one(table, &backend, &damage).await;
            assert_eq!(backend.load(id(2), dead).await.unwrap(), None, "{damage}");
            assert_eq!(backend.purge_expired(dead, 100).await.unwrap().removed, 3, "{damage}");
            assert!(table.dump().await.is_empty(), "{damage}");
        }
        for (damage, passed) in DAMAGED_EXPIRY {
            damage_one(table, &backend, damage).await;
            let removed = backend.purge_expired(dead, 100).await.unwrap().removed;
            assert_eq!(removed, 2 + u64::from(*passed), "{damage}");
            assert_eq!(table.dump().await.len(), usize::from(!passed), "{damage}");
        }
    });
}

#[test]
fn an_unconditional_delete_removes_it() {
    with_table(async |table| {
        let backend = lenient(table).await;
        for damage in all() {
            damage_one(table, &backend, &damage).await;
            assert_eq!(backend.delete(id(2), None, now()).await.unwrap(), DeleteOutcome::Deleted, "{damage}");
            assert_eq!(table.dump().await.len(), 2, "{damage}");
        }
    });
}

#[test]
fn a_touch_makes_no_time_of_a_damaged_expiry() {
    with_table(async |table| {
        let backend = lenient(table).await;
        for (damage, passed) in DAMAGED_EXPIRY {
            damage_one(table, &backend, damage).await;
            let before = table.dump().await;
            let touched = backend.touch(id(2), at(NOW + 2_000), now()).await;
            assert_eq!(touched.unwrap_err().kind(), ErrorKind::Corrupt, "{damage} {passed}");
            assert_eq!(table.dump().await, before, "{damage}");
        }
    });
}
