//! What a purge costs the server, counted by the server, and what it makes of expiries that were moved.

use std::time::Duration;

use session_core::{Purged, SessionBackend};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::common::{NOW, Table, at, with_table};
use crate::purges::{move_expiries, purge_all, purge_beside_callers};

const MINUTE: Duration = Duration::from_secs(60);

/// The configuration with more time than the slowest machine needs.
fn patient(table: &Table) -> MysqlConfig {
    let config = table.config.clone().with_acquire_timeout(MINUTE);
    config.with_lock_timeout(MINUTE).with_statement_timeout(MINUTE)
}

/// One connection, on which the test can ask what has been read there.
async fn counted(table: &Table) -> (MysqlBackend, MySqlPool) {
    let pool = MySqlPoolOptions::new().max_connections(1).acquire_timeout(MINUTE);
    let pool = pool.connect_lazy_with(table.config.connection.clone());
    (MysqlBackend::from_pool(pool.clone(), patient(table)).await.unwrap(), pool)
}

/// How many rows the connection has read since it was made.
async fn reads(pool: &MySqlPool) -> u64 {
    let mut connection = pool.acquire().await.unwrap();
    let rows = connection.fetch_all("SHOW SESSION STATUS LIKE 'Handler_read%'").await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(1).parse::<u64>().unwrap()).sum()
}

/// Fills the table with sessions that were filed under `filed_at` and expire at `expires_at`, SQL over `seq`.
async fn fill(table: &Table, kind: &str, rows: u32, filed_at: &str, expires_at: &str) {
    let sql = format!(
        "INSERT INTO {{t}} (id, revision, expires_at, deadline, touched_at, meta, data, filed_at) \
         SELECT UNHEX(MD5(CONCAT('{kind}', seq))), 4294967297, {expires_at}, 9 * {NOW}, {NOW}, '', '', {filed_at} \
         FROM seq_1_to_{rows}"
    );
    table.execute(&sql).await.unwrap();
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
        assert_eq!(table.texts("SELECT COUNT(*) FROM {t}").await, ["20000"]);
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
        let filed = "SELECT COUNT(*) FROM {t} WHERE filed_at = expires_at";
        assert_eq!(table.texts(filed).await, ["1200"]);
        assert_eq!(purge_all(&backend, at(NOW + 99), 100_000).await, (0, 1));
        assert_eq!(purge_all(&backend, at(NOW + 100 + 700), 100_000).await, (20_700, 1));
    });
}

#[test]
fn no_session_is_filed_later_than_it_expires() {
    with_table(async |table| {
        let (backend, _) = counted(table).await;
        let expiries = move_expiries(&backend, 180).await;
        let late = "SELECT COUNT(*) FROM {t} WHERE filed_at > expires_at";
        assert_eq!(table.texts(late).await, ["0"]);
        // Whoever puts it off leaves the index alone: all but those that were brought forward.
        let left = format!("SELECT COUNT(*) FROM {{t}} WHERE filed_at = {}", NOW + 1_000);
        assert_eq!(table.texts(&left).await, ["160"]);
        for time in [NOW + 499, NOW + 500, NOW + 1_000, NOW + 4_999, NOW + 5_000] {
            let _ = purge_all(&backend, at(time), 50).await;
            let live = expiries.values().filter(|expires_at| **expires_at > at(time)).count();
            assert_eq!(table.texts("SELECT COUNT(*) FROM {t}").await, [live.to_string()], "at {time}");
        }
    });
}

#[test]
fn a_purge_beside_callers_removes_the_dead_alone() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        purge_beside_callers(&backend).await;
    });
}

/// Whoever writes rows of his own need not know of the column.
#[test]
fn rows_of_others_are_found() {
    with_table(async |table| {
        let backend = table.connect().await;
        let sql = AssertSqlSafe(table.named(
            "INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, meta, data) \
             SELECT UNHEX(MD5(seq)), 4294967297, 1000 * seq, 9000, 1, '', '' FROM seq_1_to_3",
        ));
        table.raw().await.execute(sql).await.unwrap();
        assert_eq!(backend.purge_expired(at(1_999), 10).await.unwrap(), Purged::new(1, false));
        assert_eq!(backend.purge_expired(at(2_000), 10).await.unwrap(), Purged::new(1, false));
        assert_eq!(backend.purge_expired(at(2_999), 10).await.unwrap(), Purged::new(0, false));
    });
}
