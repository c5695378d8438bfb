//! What a purge costs the server, counted by the server, and what it makes of expiries that were moved.

use std::time::{Duration, Instant};

use session_core::{Purged, SessionBackend};
use session_sql::postgres::PostgresBackend;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::common::{NOW, Table, at, id, with_table};
use crate::purges::{move_expiries, purge_all, purge_beside_callers};

const MINUTE: Duration = Duration::from_secs(60);

/// One connection, whose counters come all at once, and which goes by the index as the driver's own do.
async fn counted(table: &Table) -> PostgresBackend {
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(MINUTE).after_connect(|connection, _| {
            Box::pin(async move { connection.execute("SET enable_seqscan = off").await.map(drop) })
        });
    let pool = pool.connect_lazy_with(table.config.connection.clone());
    PostgresBackend::from_pool(pool, table.config.clone()).await.unwrap()
}

/// How many rows the server has read once it has counted so many that were deleted and updated.
async fn reads(table: &Table, backend: &PostgresBackend, deleted: i64, updated: i64) -> i64 {
    let started = Instant::now();
    loop {
        // The server's counters come about a second late.
        let counters = "SELECT n_tup_del, n_tup_upd, seq_tup_read + coalesce(idx_tup_fetch, 0) \
                        FROM pg_stat_user_tables WHERE relname = '{t}'";
        if let Some(row) = table.rows(counters).await.first() {
            let counted: (i64, i64) = (row.get(0), row.get(1));
            if counted == (deleted, updated) {
                return row.get(2);
            }
        }
        assert!(started.elapsed() < MINUTE, "the counters do not come");
        // Statements bring the counters of their connection up to date.
        backend.load(id(1), at(NOW)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fills the table with sessions that were filed under `filed_at` and expire at `expires_at`, SQL over `seq`.
async fn fill(table: &Table, kind: &str, rows: u32, filed_at: &str, expires_at: &str) {
    let sql = format!(
        "INSERT INTO {{t}} (id, revision, expires_at, deadline, touched_at, meta, data, filed_at) \
         SELECT decode(md5('{kind}' || seq), 'hex'), 4294967297, {expires_at}, 9 * {NOW}, {NOW}, '', '', {filed_at} \
         FROM generate_series(1, {rows}) seq"
    );
    table.execute(&sql).await.unwrap();
}

#[test]
fn a_purge_reads_the_dead_and_not_the_live() {
    with_table(async |table| {
        let backend = counted(table).await;
        // Within half a minute: no coarser order of expiry tells one from the other.
        let live = format!("{NOW} + 1 + seq");
        fill(table, "live", 20_000, &live, &live).await;
        let dead = format!("{NOW} - seq * 3");
        fill(table, "dead", 1_200, &dead, &dead).await;
        for (removed, more) in [(500, true), (500, true), (200, false), (0, false), (0, false)] {
            assert_eq!(backend.purge_expired(at(NOW), 500).await.unwrap(), Purged::new(removed, more));
        }
        // Each of the dead by the order of expiry, to be locked, and by the key.
        let read = reads(table, &backend, 1_200, 0).await;
        assert!(read < 5_000, "{read} rows were read to remove 1200");
        assert_eq!(table.texts("SELECT count(*)::text FROM {t}").await, ["20000"]);
    });
}

#[test]
fn what_was_put_off_is_looked_at_once() {
    with_table(async |table| {
        let backend = counted(table).await;
        fill(table, "live", 1_200, &format!("{NOW} - 7"), &format!("{NOW} + 100 + seq")).await;
        fill(table, "dead", 300, &format!("{NOW} - 5"), &format!("{NOW} - 1")).await;
        fill(table, "else", 20_000, &format!("{NOW} + 1"), &format!("{NOW} + 100")).await;
        for (removed, more) in [(0, true), (0, true), (300, true), (0, false)] {
            assert_eq!(backend.purge_expired(at(NOW), 500).await.unwrap(), Purged::new(removed, more));
        }
        let read = reads(table, &backend, 300, 1_200).await;
        assert!(read < 6_000, "{read} rows were read to look at 1500");
        let filed = "SELECT count(*)::text FROM {t} WHERE filed_at = expires_at";
        assert_eq!(table.texts(filed).await, ["1200"]);
        assert_eq!(purge_all(&backend, at(NOW + 99), 100_000).await, (0, 1));
        assert_eq!(purge_all(&backend, at(NOW + 100 + 700), 100_000).await, (20_700, 1));
    });
}

#[test]
fn no_session_is_filed_later_than_it_expires() {
    with_table(async |table| {
        let backend = counted(table).await;
        let expiries = move_expiries(&backend, 180).await;
        let late = "SELECT count(*)::text FROM {t} WHERE filed_at > expires_at";
        assert_eq!(table.texts(late).await, ["0"]);
        // Whoever puts it off leaves the index alone: all but those that were brought forward.
        let left = format!("SELECT count(*)::text FROM {{t}} WHERE filed_at = {}", NOW + 1_000);
        assert_eq!(table.texts(&left).await, ["160"]);
        for time in [NOW + 499, NOW + 500, NOW + 1_000, NOW + 4_999, NOW + 5_000] {
            let _ = purge_all(&backend, at(time), 50).await;
            let live = expiries.values().filter(|expires_at| **expires_at > at(time)).count();
            assert_eq!(table.texts("SELECT count(*)::text FROM {t}").await, [live.to_string()], "at {time}");
        }
    });
}

#[test]
fn a_purge_beside_callers_removes_the_dead_alone() {
    with_table(async |table| purge_beside_callers(&table.connect().await).await);
}

/// Whoever writes rows of his own need not know of the column.
#[test]
fn rows_of_others_are_found() {
    with_table(async |table| {
        let backend = table.connect().await;
        let sql = AssertSqlSafe(table.named(
            "INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, meta, data) \
             SELECT decode(md5(seq::text), 'hex'), 4294967297, 1000 * seq, 9000, 1, '', '' FROM generate_series(1, 3) seq",
        ));
        table.raw().await.execute(sql).await.unwrap();
        assert_eq!(backend.purge_expired(at(1_999), 10).await.unwrap(), Purged::new(1, false));
        assert_eq!(backend.purge_expired(at(2_000), 10).await.unwrap(), Purged::new(1, false));
        assert_eq!(backend.purge_expired(at(2_999), 10).await.unwrap(), Purged::new(0, false));
    });
}
