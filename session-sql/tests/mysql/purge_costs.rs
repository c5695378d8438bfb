//! What a purge costs the server, counted by the server.

use session_core::{Purged, SessionBackend};
use session_sql::mysql::MysqlBackend;
use sqlx::{Executor, MySqlPool, Row};

use crate::common::{NOW, Table, at, pool, with_table};
use crate::dialect::COUNT;
use crate::purge::{fill, purge_all};

/// One connection, on which the test can ask what has been read there.
async fn counted(table: &Table) -> (MysqlBackend, MySqlPool) {
    let pool = pool(table, 1, "SET SESSION innodb_lock_wait_timeout = 60");
    (MysqlBackend::from_pool(pool.clone(), table.config.clone()).await.unwrap(), pool)
}

/// How many rows the connection has read since it was made.
async fn reads(pool: &MySqlPool) -> u64 {
    let mut connection = pool.acquire().await.unwrap();
    let rows = connection.fetch_all("SHOW SESSION STATUS LIKE 'Handler_read%'").await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(1).parse::<u64>().unwrap()).sum()
}

#[test]
fn a_purge_reads_the_dead_and_not_the_live() {
    with_table(async |table| {
        let (backend, pool) = counted(table).await;
        // Within half a minute: no coarser order of expiry tells one from the other.
        let live = format!("{NOW} + 1 + seq");
        fill(table, "live", 20_000, &live, &live).await;
        let dead = format!("{NOW} - seq * 3");
        fill(table, "dead", 1_200, &dead, &dead).await;
        for (removed, more) in [(500, true), (500, true), (200, false)] {
            let before = reads(&pool).await;
            assert_eq!(backend.purge_expired(at(NOW), 500).await.unwrap(), Purged::new(removed, more));
            let read = reads(&pool).await - before;
            assert!(read < 4_000, "{read} rows were read to remove {removed}");
        }
        let before = reads(&pool).await;
        assert_eq!(backend.purge_expired(at(NOW), 500).await.unwrap(), Purged::new(0, false));
        let read = reads(&pool).await - before;
        assert!(read < 100, "{read} rows were read to remove none");
        assert_eq!(table.texts(COUNT).await, ["20000"]);
    });
}

#[test]
fn what_was_put_off_is_looked_at_once() {
    with_table(async |table| {
        let (backend, pool) = counted(table).await;
        fill(table, "live", 1_200, &format!("{NOW} - 7"), &format!("{NOW} + 100 + seq")).await;
        fill(table, "dead", 300, &format!("{NOW} - 5"), &format!("{NOW} - 1")).await;
        fill(table, "else", 20_000, &format!("{NOW} + 1"), &format!("{NOW} + 100")).await;
        for (removed, more) in [(0, true), (0, true), (300, true), (0, false)] {
            let before = reads(&pool).await;
            assert_eq!(backend.purge_expired(at(NOW), 500).await.unwrap(), Purged::new(removed, more));
            let read = reads(&pool).await - before;
            assert!(read < 4_000, "{read} rows were read");
        }
        let filed = format!("{COUNT} WHERE filed_at = expires_at");
        assert_eq!(table.texts(&filed).await, ["1200"]);
        assert_eq!(purge_all(&backend, at(NOW + 99), 100_000).await, (0, 1));
        assert_eq!(purge_all(&backend, at(NOW + 100 + 700), 100_000).await, (20_700, 1));
    });
}
