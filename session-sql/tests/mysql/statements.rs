//! Which calls go together in which statements, and what these do to the server, counted by the server.

use session_core::{CreateOutcome, DeleteOutcome, SessionBackend, UpdateOutcome};
use session_sql::mysql::MysqlBackend;
use sqlx::{AssertSqlSafe, Executor, MySqlPool, Row};

use crate::batches::{creating, next, one_connection, together, updating};
use crate::common::{LONG, NOW, Table, at, create, id, now, pool, principal, record, with_table};

/// One connection, of the application's, on which the test can ask the server what has been done there.
pub(crate) async fn counted(table: &Table, isolation: &'static str) -> (MysqlBackend, MySqlPool) {
    let lock_timeout = LONG.as_secs();
    let begin = format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL {isolation}; SET SESSION innodb_lock_wait_timeout = {lock_timeout}"
    );
    let pool = pool(table, 1, begin);
    let backend = MysqlBackend::from_pool(pool.clone(), one_connection(table)).await.unwrap();
    (backend, pool)
}

/// How often the one connection has done this, and that it is in the middle of nothing.
pub(crate) async fn count(pool: &MySqlPool, what: &str) -> u64 {
    let mut connection = pool.acquire().await.unwrap();
    let open: u64 = connection.fetch_one("SELECT @@in_transaction").await.unwrap().try_get(0).unwrap();
    assert_eq!(open, 0, "a transaction was left open");
    let sql = AssertSqlSafe(format!("SHOW SESSION STATUS LIKE '{what}'"));
    let row = connection.fetch_one(sqlx::raw_sql(sql)).await.unwrap();
    row.try_get::<String, _>(1).unwrap().parse().unwrap()
}

/// To close one costs the next statement 40 ms, in the middle of a transaction with its locks.
#[test]
fn no_statement_is_closed_after_its_use() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        let closed = count(&pool, "Com_stmt_close").await;
        for dead in [1, 3, 30] {
            let calls = (0..dead).map(|number| creating(&backend, number, ""));
            for outcome in together(table, &backend, calls).await {
                assert_eq!(outcome.unwrap(), CreateOutcome::Created);
            }
            let purged = backend.purge_expired(at(NOW + 1_000_000), 100).await.unwrap();
            // With the one that had the connection occupied.
            assert_eq!(purged.removed, u64::from(dead) + 1);
        }
        assert_eq!(count(&pool, "Com_stmt_close").await, closed);
    });
}

#[test]
fn calls_that_queue_go_as_one_statement() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        let calls = (0..50).map(|number| creating(&backend, number, "a"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        // 32, 16 and 2; session 999 is one more, by itself.
        assert_eq!(count(&pool, "Com_insert").await, 3 + 1);
        let revision = record("").revision;
        let calls = (0..50).rev().map(|number| updating(&backend, number, revision, "b"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
        // The first time session 999 takes one, and two from then on: it is there already.
        assert_eq!(count(&pool, "Com_update").await, 1 + 2 + 1);
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), at(NOW + 2_000), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.into_iter().all(|touched| touched));
        assert_eq!(count(&pool, "Com_update").await, 4 + 2 + 1);
        let mut expected = next("b");
        expected.touch(at(NOW + 2_000), now());
        let selects = count(&pool, "Com_select").await;
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.iter().all(|found| found.as_ref() == Some(&expected)));
        // A few at first, as nobody knows how large the answers are; and those about session 999, and the test's own.
        assert!(count(&pool, "Com_select").await <= selects + 8);
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.delete(id(number), None, now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, vec![DeleteOutcome::Deleted; 50]);
        let deletes = count(&pool, "Com_delete").await + count(&pool, "Com_delete_multi").await;
        assert_eq!(deletes, 1);
        assert_eq!(table.dump().await.len(), 1);
    });
}

#[test]
fn large_records_go_in_several_batches() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        let large = "x".repeat(300 << 10);
        let calls = (0..9).map(|number| creating(&backend, number, &large));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        // Three of 300 KiB are within 1 MiB, in two statements, and session 999 is one more.
        assert_eq!(count(&pool, "Com_insert").await, 3 * 2 + 1);
        let revision = record("").revision;
        let other = "y".repeat(300 << 10);
        let calls = (0..9).map(|number| updating(&backend, number, revision, &other));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
        assert_eq!(count(&pool, "Com_update").await, 1 + 2 + 3);
        // Their size is known from the first on.
        assert_eq!(backend.load(id(0), now()).await.unwrap(), Some(next(&other)));
        let selects = count(&pool, "Com_select").await;
        let calls = (0..9).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap().unwrap() }
        });
        assert!(together(table, &backend, calls).await.into_iter().all(|found| found == next(&other)));
        assert!(count(&pool, "Com_select").await >= selects + 3);
    });
}

/// The engine changes an index if one of its columns changes.
#[test]
fn touches_leave_the_indexes_alone() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        for number in 0..10 {
            let mut record = record("x").with_principal(principal("alice"));
            record.expires_at = at(1 << 25);
            record.deadline = at(1 << 40);
            create(&backend, number, record).await;
        }
        let indexed = "SELECT DISTINCT COLUMN_NAME FROM information_schema.STATISTICS \
                       WHERE TABLE_NAME = '{t}' ORDER BY COLUMN_NAME";
        assert_eq!(table.texts(indexed).await, ["filed_at", "id", "principal"]);
        let values = "SELECT CONCAT_WS(' ', HEX(id), principal, filed_at) FROM {t} ORDER BY id";
        let touches = |expires_at| {
            let backend = backend.clone();
            (0..10).map(move |number| {
                let backend = backend.clone();
                async move { backend.touch(id(number), at(expires_at), now()).await.unwrap() }
            })
        };
        let before = table.texts(values).await;
        let updates = count(&pool, "Handler_update").await;
        // By a quarter of an hour, and by years.
        assert!(
            together(table, &backend, touches((1 << 25) + 1_000_000))
                .await
                .into_iter()
                .all(|touched| touched)
        );
        let after: Vec<_> = table.texts(values).await.into_iter().take(10).collect();
        assert_eq!(after, before);
        // Each row once; that of session 999 stays as it was.
        assert_eq!(count(&pool, "Handler_update").await, updates + 10);
        assert!(together(table, &backend, touches(1 << 39)).await.into_iter().all(|touched| touched));
        assert_eq!(table.texts(values).await[..10], before[..]);
    });
}
