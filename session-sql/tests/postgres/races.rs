//! Races between the statements of a verb and another client, staged by locks: one order of events each, which
//! random races seldom meet.

use session_core::{CreateOutcome, DeleteOutcome, Result, SessionBackend, UpdateOutcome};
use session_sql::postgres::PostgresBackend;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::common::{NOW, Table, at, create, id, now, record, with_table};

async fn run(connection: &mut PgConnection, table: &Table, sql: &str) {
    let sql = table.named(sql);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

/// Starts a verb while another client has done `sql` and not committed, and lets it commit once the verb waits.
async fn meeting<T: Send + 'static>(
    table: &Table,
    sql: &str,
    verb: impl Future<Output = Result<T>> + Send + 'static,
) -> T {
    let mut other = table.raw().await;
    run(&mut other, table, &format!("BEGIN; {sql}")).await;
    let verb = tokio::spawn(verb);
    let waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%\"{t}\"%'";
    while table.rows(waiting).await.is_empty() {
        assert!(!verb.is_finished(), "the verb did not wait");
        tokio::task::yield_now().await;
    }
    run(&mut other, table, "COMMIT").await;
    verb.await.unwrap().unwrap()
}

/// The row goes and comes back as it was: a statement that has waited for it to go does not see it.
const REPLACED: &str = "CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM {t}; DELETE FROM {t}; \
                        INSERT INTO {t} SELECT id, revision, expires_at, deadline, touched_at, principal, meta, \
                        data FROM kept";

async fn backend_with(table: &Table, number: u32) -> PostgresBackend {
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
        let held = "SELECT FROM {t} FOR UPDATE; DELETE FROM {t}";
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
