//! Which calls go together in which statements, by the transactions that the server has seen, and what the server ends.

use session_core::{CreateOutcome, DeleteOutcome, ErrorKind, SessionBackend, UpdateOutcome};
use session_sql::postgres::PostgresBackend;

use crate::batches::{Occupied, all, creating, next, one_connection, queued, together, updating};
use crate::common::{
    LONG, NOW, Table, at, create, id, now, record, run, shown, sql_id, until_waiting, with_table,
};

/// How many transactions have written the rows that there are.
async fn transactions(table: &Table) -> usize {
    table.rows("SELECT DISTINCT xmin::text FROM {t} WHERE data <> 'occupied'").await.len()
}

#[test]
fn calls_that_queue_go_as_one_statement() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(one_connection(table)).await.unwrap();
        let calls = (0..50).map(|number| creating(&backend, number, "a"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        assert_eq!(transactions(table).await, 1);
        let revision = record("").revision;
        let calls = (0..50).rev().map(|number| updating(&backend, number, revision, "b"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
        assert_eq!(transactions(table).await, 1);
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), at(NOW + 2_000), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.into_iter().all(|touched| touched));
        assert_eq!(transactions(table).await, 1);
        let mut expected = next("b");
        expected.touch(at(NOW + 2_000), now());
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.iter().all(|found| found.as_ref() == Some(&expected)));
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.delete(id(number), None, now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, vec![DeleteOutcome::Deleted; 50]);
        assert_eq!(transactions(table).await, 0);
    });
}

#[test]
fn large_records_go_in_several_batches() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(one_connection(table)).await.unwrap();
        let large = "x".repeat(300 << 10);
        let calls = (0..9).map(|number| creating(&backend, number, &large));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        assert_eq!(transactions(table).await, 3, "three of 300 KiB are within 1 MiB");
        let calls = (0..9).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap().unwrap().data.len() }
        });
        assert_eq!(together(table, &backend, calls).await, [large.len(); 9]);
    });
}

/// Somebody else holds session 2 and then asks for session 1, which a batch of 1, 2 and 3 holds by then.
async fn deadlock<T: Send + 'static>(
    table: &Table,
    (first, second): (&str, &str),
    calls: Vec<impl Future<Output = T> + Send + 'static>,
    backend: &PostgresBackend,
) -> Vec<T> {
    let occupied = Occupied::new(table, backend).await;
    let calls = queued(calls).await;
    let mut other = table.raw().await;
    // The server ends whoever looks for a deadlock first.
    run(&mut other, table, "SET deadlock_timeout = '60s'; BEGIN").await;
    run(&mut other, table, first).await;
    occupied.release(table).await;
    until_waiting(table, 1).await;
    run(&mut other, table, second).await;
    run(&mut other, table, "ROLLBACK").await;
    all(calls).await
}

#[test]
fn a_deadlock_is_tried_again() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(one_connection(table)).await.unwrap();
        let insert =
            |number| format!("INSERT INTO {{t}} VALUES ({}, 1, 1, 1, 1, NULL, '', '')", sql_id(number));
        let calls = (1..=3).map(|number| creating(&backend, number, &number.to_string())).collect();
        let outcomes = deadlock(table, (&insert(2), &insert(1)), calls, &backend).await;
        for outcome in outcomes {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        let lock = |number| format!("SELECT FROM {{t}} WHERE data = '{number}' FOR UPDATE");
        let revision = record("").revision;
        let calls = (1..=3).map(|number| updating(&backend, number, revision, "new")).collect();
        for outcome in deadlock(table, (&lock(2), &lock(1)), calls, &backend).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
    });
}

#[test]
fn a_statement_that_takes_too_long_is_a_timeout_for_all_of_its_batch() {
    with_table(async |table| {
        let config = one_connection(table).with_statement_timeout(LONG / 20);
        let backend = PostgresBackend::connect(config).await.unwrap();
        let mut lock = table.raw().await;
        run(&mut lock, table, "BEGIN; LOCK TABLE {t}").await;
        let first = queued([creating(&backend, 0, "x")]).await;
        until_waiting(table, 1).await;
        let calls = queued((1..10).map(|number| creating(&backend, number, "x"))).await;
        for outcome in all(first).await.into_iter().chain(all(calls).await) {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(shown(&error).contains("57014"), "{error:?}");
        }
        drop(lock);
        create(&backend, 1, record("x")).await;
        assert_eq!(table.dump().await.len(), 1, "what timed out has not happened");
    });
}
