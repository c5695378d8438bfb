//! What a purge costs the server, counted by the server.

use std::time::{Duration, Instant};

use session_core::{Purged, SessionBackend};
use session_sql::postgres::PostgresBackend;
use sqlx::Row as _;

use crate::common::{LONG, NOW, Table, at, hold, id, pool, with_table};
use crate::dialect::COUNT;
use crate::purge::{fill, purge_all};

/// One connection, whose counters come all at once, and which goes by the index as the driver's own do.
async fn counted(table: &Table) -> PostgresBackend {
    let pool = pool(table, 1, "SET enable_seqscan = off");
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
        assert!(started.elapsed() < LONG, "the counters do not come");
        // Statements bring the counters of their connection up to date.
        backend.load(id(1), at(NOW)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
        assert_eq!(table.texts(COUNT).await, ["20000"]);
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
        let filed = format!("{COUNT} WHERE filed_at = expires_at");
        assert_eq!(table.texts(&filed).await, ["1200"]);
        assert_eq!(purge_all(&backend, at(NOW + 99), 100_000).await, (0, 1));
        assert_eq!(purge_all(&backend, at(NOW + 100 + 700), 100_000).await, (20_700, 1));
    });
}

/// While a transaction has a snapshot that still sees them, the index keeps the entries of all that were removed.
#[test]
fn a_purge_goes_on_where_the_last_one_has_ended() {
    with_table(async |table| {
        let backend = counted(table).await;
        let dead = format!("{NOW} - seq");
        fill(table, "dead", 4_000, &dead, &dead).await;
        // Without statistics it takes the table for one so small that sorting what is due is less work.
        table.execute("ANALYZE {t}").await.unwrap();
        let snapshot = hold(table, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
        assert_eq!(purge_all(&backend, at(NOW), 100).await, (4_000, 41));
        reads(table, &backend, 4_000, 0).await;
        let entries =
            "SELECT idx_tup_read::text FROM pg_stat_user_indexes WHERE indexrelname = '{t}_filed_at'";
        let entries: u64 = table.texts(entries).await[0].parse().unwrap();
        // Once to remove each, and once to see that there is no more.
        assert!(entries < 10_000, "{entries} entries of the index were read to remove 4000 rows");
        drop(snapshot);
    });
}
