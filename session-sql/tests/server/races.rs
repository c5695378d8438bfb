//! Races between the statements of a verb and another client, staged by locks: one order of events each, which
//! random races seldom meet.

use session_core::{CreateOutcome, DeleteOutcome, Result, SessionBackend, UpdateOutcome};

use crate::common::{NOW, Table, at, create, hold, id, now, record, run, with_table};
use crate::dialect::{self, Backend, REPLACED};

/// Starts a verb while another client has done `sql` and not committed, and lets it commit once the verb waits.
async fn meeting<T: Send + 'static>(
    table: &Table,
    sql: &str,
    verb: impl Future<Output = Result<T>> + Send + 'static,
) -> T {
    let mut other = hold(table, sql).await;
    let verb = tokio::spawn(verb);
    while dialect::waiting(table).await == 0 {
        assert!(!verb.is_finished(), "the verb did not wait");
        tokio::task::yield_now().await;
    }
    run(&mut other, table, "COMMIT").await;
    verb.await.unwrap().unwrap()
}

async fn backend_with(table: &Table, number: u32) -> Backend {
    let backend = table.connect().await;
    create(&backend, number, record("old")).await;
    backend
}

#[test]
fn an_update_that_missed_what_it_expects_tries_again() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let mut next = record("new");
        next.revision = next.revision.next(1);
        let (expected, updated) = (record("").revision, next.clone());
        let client = backend.clone();
        let update = async move { client.update(id(1), expected, next, now()).await };
        assert_eq!(meeting(table, REPLACED, update).await, UpdateOutcome::Updated);
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(updated));
    });
}

#[test]
fn a_touch_that_missed_a_live_session_tries_again() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let client = backend.clone();
        let touch = async move { client.touch(id(1), at(NOW + 2_000), now()).await };
        assert!(meeting(table, REPLACED, touch).await);
        assert_eq!(backend.load(id(1), now()).await.unwrap().unwrap().expires_at, at(NOW + 2_000));
    });
}

#[test]
fn a_delete_that_missed_what_it_expects_tries_again() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let expected = Some(record("").revision);
        let client = backend.clone();
        let delete = async move { client.delete(id(1), expected, now()).await };
        assert_eq!(meeting(table, REPLACED, delete).await, DeleteOutcome::Deleted);
        assert_eq!(backend.load(id(1), now()).await.unwrap(), None);
    });
}

#[test]
fn a_create_whose_expired_row_is_purged_meanwhile_inserts() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let dead = at(NOW + 1_000);
        let mut fresh = record("fresh");
        fresh.expires_at = at(NOW + 5_000);
        let (client, created) = (backend.clone(), fresh.clone());
        let creation = async move { client.create(id(1), fresh, dead).await };
        let held = "SELECT 1 FROM {t} FOR UPDATE; DELETE FROM {t}";
        assert_eq!(meeting(table, held, creation).await, CreateOutcome::Created);
        assert_eq!(backend.load(id(1), dead).await.unwrap(), Some(created));
    });
}

#[test]
fn a_create_over_an_expired_row_yields_to_whoever_revives_it_first() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let dead = at(NOW + 1_000);
        let client = backend.clone();
        let creation = async move { client.create(id(1), record("fresh"), dead).await };
        let touched = format!("UPDATE {{t}} SET expires_at = {}", NOW + 3_000);
        let CreateOutcome::Occupied(current) = meeting(table, &touched, creation).await else {
            panic!("created over a live session")
        };
        assert_eq!((current.expires_at, &current.data[..]), (at(NOW + 3_000), &b"old"[..]));
    });
}

#[test]
fn a_conflict_is_read_after_the_attempt() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let expected = record("").revision;
        let client = backend.clone();
        let update = async move { client.update(id(1), expected, record("lost"), now()).await };
        let winner = "UPDATE {t} SET revision = revision + 4294967296, data = 'won'";
        let UpdateOutcome::Conflict(current) = meeting(table, winner, update).await else {
            panic!("an update over another")
        };
        assert_eq!((current.revision.sequence(), &current.data[..]), (2, &b"won"[..]));
    });
}

#[test]
fn an_update_that_waited_for_a_delete_creates_nothing() {
    with_table(async |table| {
        let backend = backend_with(table, 1).await;
        let expected = record("").revision;
        let client = backend.clone();
        let update = async move { client.update(id(1), expected, record("late"), now()).await };
        assert_eq!(meeting(table, "DELETE FROM {t}", update).await, UpdateOutcome::Gone);
        let client = backend.clone();
        create(&backend, 1, record("old")).await;
        let touch = async move { client.touch(id(1), at(NOW + 2_000), now()).await };
        assert!(!meeting(table, "DELETE FROM {t}", touch).await);
        assert!(table.dump().await.is_empty());
    });
}

/// A purge and writers of the same sessions, many at once: they take their locks in different orders.
#[test]
fn purges_and_writers_never_fail_each_other() {
    with_table(async |table| {
        let backend = table.connect().await;
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..8_u32 {
            let backend = backend.clone();
            tasks.spawn(async move {
                for round in 0..60_u32 {
                    let number = (worker + round) % 5;
                    // Dead for the purges of this instant and alive for the touches, in turns.
                    let time = at(NOW + 500 + i64::from(round % 3) * 500);
                    match worker % 4 {
                        0 => drop(backend.purge_expired(time, 10).await.unwrap()),
                        1 => drop(backend.touch(id(number), at(NOW + 1_200), time).await.unwrap()),
                        2 => drop(backend.create(id(number), record("x"), time).await.unwrap()),
                        _ => drop(backend.delete(id(number), None, time).await.unwrap()),
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}
