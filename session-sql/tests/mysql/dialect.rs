//! What is MariaDB's own in the tests of both servers: types, SQL, and how the server tells what goes on.

use std::time::Duration;

pub(crate) use session_sql::mysql::{MysqlBackend as Backend, MysqlConfig as Config, schema_sql};
use sqlx::Row as _;
pub(crate) use sqlx::mysql::MySqlPoolOptions as PoolOptions;
pub(crate) use sqlx::{MySqlConnection as Connection, MySqlPool as Pool, mysql::MySqlRow as Row};

use crate::common::Table;

/// Where the server's URL is.
pub(crate) const SERVER: &str = "SESSION_TEST_MARIADB";

pub(crate) const SCHEME: &str = "mysql";
pub(crate) const WITHOUT_TLS: &str = "ssl-mode=DISABLED";

/// Whether a server says something before it is asked.
pub(crate) const SERVER_SPEAKS_FIRST: bool = true;

/// What stands around names.
pub(crate) const QUOTE: &str = "`";

/// How errors show what the server has refused, or ended because a limit was reached.
pub(crate) const CHECK_VIOLATED: &str = "4025";
pub(crate) const LOCK_TIMED_OUT: &str = "1205";
pub(crate) const STATEMENT_TIMED_OUT: &str = "1969";

/// Another name for this table, for a while, and another one for a column.
pub(crate) const RENAME: &str = "RENAME TABLE {t} TO {t}_";
pub(crate) const RENAME_BACK: &str = "RENAME TABLE {t}_ TO {t}";
pub(crate) const SPOIL: &str = "ALTER TABLE {t} CHANGE touched_at touched BIGINT NOT NULL";
pub(crate) const MEND: &str = "ALTER TABLE {t} CHANGE touched touched_at BIGINT NOT NULL";

/// What a migration has made, and what `CREATE SCHEMA` has.
pub(crate) const DROP: &str = "DROP VIEW {t}_json; DROP TABLE {t}";
pub(crate) const DROP_SCHEMA: &str = "DROP DATABASE {t}";

/// Keeps everybody from the table.
pub(crate) const LOCK_TABLE: &str = "LOCK TABLES {t} WRITE";

/// Every row, without the order of expiry, which the driver may file anew.
pub(crate) const DUMP: &str = "SELECT CONCAT_WS(' ', COALESCE(HEX(id), '-'), COALESCE(HEX(revision), '-'), \
                               COALESCE(HEX(expires_at), '-'), COALESCE(HEX(deadline), '-'), \
                               COALESCE(HEX(touched_at), '-'), COALESCE(HEX(principal), '-'), \
                               COALESCE(HEX(meta), '-'), COALESCE(HEX(data), '-')) FROM {t} ORDER BY id";

/// How many rows there are; a condition may follow.
pub(crate) const COUNT: &str = "SELECT COUNT(*) FROM {t}";

/// The tables that there are under a name.
pub(crate) const TABLES: &str =
    "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME LIKE '{t}%'";

/// The row goes and comes back as it was.
pub(crate) const REPLACED: &str = "CREATE TEMPORARY TABLE kept AS SELECT * FROM {t}; DELETE FROM {t}; \
     INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, principal, meta, data) \
     SELECT id, revision, expires_at, deadline, touched_at, principal, meta, data FROM kept";

/// Lets NULLs and too long principals in.
pub(crate) const LENIENT: &[&str] = &[
    "ALTER TABLE {t} MODIFY revision BIGINT NULL",
    "ALTER TABLE {t} MODIFY expires_at BIGINT NULL",
    "ALTER TABLE {t} MODIFY filed_at BIGINT NULL",
    "ALTER TABLE {t} MODIFY deadline BIGINT NULL",
    "ALTER TABLE {t} MODIFY touched_at BIGINT NULL",
    "ALTER TABLE {t} MODIFY meta LONGBLOB NULL",
    "ALTER TABLE {t} MODIFY data LONGBLOB NULL",
    "ALTER TABLE {t} MODIFY principal VARBINARY(300) NULL",
];

/// Ids that are none. The column takes 16 bytes and nothing else.
pub(crate) const DAMAGED_IDS: &[&str] = &[];

/// Sets the connection's zone, and asks for it.
pub(crate) const ZONES: [&str; 3] = ["+00:00", "+13:00", "-03:30"];
pub(crate) const SET_ZONE: &str = "SET time_zone";
pub(crate) const SHOW_ZONE: &str = "SELECT @@time_zone";

/// The rows of format 1, and the table's as statements like those.
pub(crate) const GOLDEN: &str = "sessions.mysql.sql";
pub(crate) const GOLDEN_INSERTS: &str = r"SELECT CONCAT('INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, principal, meta, data) ',
      'VALUES (X\'', HEX(id), '\', ', CONCAT_WS(', ', revision, expires_at, deadline, touched_at), ', ',
      COALESCE(CONCAT('X\'', HEX(principal), '\''), 'NULL'), ', X\'', HEX(meta), '\', X\'', HEX(data), '\');')
      FROM {t} ORDER BY id";

/// Which database a connection is in.
pub(crate) const DATABASE: &str = "SELECT DATABASE()";

/// As SQL.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{hex}'")
}

/// As SQL, 16 bytes that follow from the text, which is SQL too.
pub(crate) fn digest(text: &str) -> String {
    format!("UNHEX(MD5({text}))")
}

/// As SQL, rows with the numbers from 1 on as `seq`.
pub(crate) fn series(rows: u32) -> String {
    format!("seq_1_to_{rows}")
}

/// The first column.
pub(crate) fn text(row: &Row) -> String {
    String::from_utf8(row.try_get_unchecked(0).unwrap()).unwrap()
}

/// How many statements about the table wait for a lock, on a row or on all of it. The engine's report is fresh, where
/// its tables of waits show the same again and again to those who ask more often than ten times a second.
pub(crate) async fn waiting(table: &Table) -> usize {
    let rows = table.rows("SHOW ENGINE INNODB STATUS").await;
    let report: String = rows[0].try_get(2).unwrap();
    let is_waiting = |part: &&str| part.contains("LOCK WAIT") && part.contains(&table.name);
    let for_rows = report.split("---TRANSACTION").filter(is_waiting).count();
    let for_all = "SELECT 1 FROM information_schema.PROCESSLIST \
                   WHERE STATE LIKE 'Waiting for table metadata lock' AND INFO LIKE '%`{t}`%'";
    for_rows + table.rows(for_all).await.len()
}

/// How many connections ask about the table. The server does not tell what those that are idle have asked last.
pub(crate) async fn connections(table: &Table) -> usize {
    let asking =
        "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE '%`{t}`%' AND ID <> CONNECTION_ID()";
    table.rows(asking).await.len()
}

/// Drops the table and what else bears its name.
pub(crate) async fn clean_up(table: &Table) {
    let sql = "DROP VIEW IF EXISTS {t}_json; DROP TABLE IF EXISTS {t}; DROP DATABASE IF EXISTS {t}; \
               DROP USER IF EXISTS {t}@'%'";
    table.execute(sql).await.unwrap();
}

/// After how long a lock that somebody else holds is given up, where it is to be after `patience`: in whole seconds.
pub(crate) fn lock_patience(patience: Duration) -> Duration {
    Duration::from_secs(patience.as_secs_f64().ceil() as u64)
}

/// The engine sees deadlocks at once, and nobody can tell it to wait.
pub(crate) fn slow_to_see_deadlocks(config: Config) -> Config {
    config
}

/// Connections that the server tells from all others.
pub(crate) async fn distinct(table: &Table) -> Config {
    let account = "CREATE USER {t}@'%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO {t}@'%'";
    table.execute(account).await.unwrap();
    let mut config = table.config.clone();
    config.connection = config.connection.username(&table.name).password("x");
    config
}

/// Ends those connections.
pub(crate) async fn end_distinct(table: &Table) {
    table.execute("KILL CONNECTION USER {t}@'%'").await.unwrap();
}

/// Makes an account, and a database of its own, whose names and whose password are this.
pub(crate) fn account(name: &str) -> Vec<String> {
    let user = format!("CREATE USER `{name}`@`%` IDENTIFIED BY '{name}'");
    vec![user, format!("CREATE DATABASE `{name}`"), format!("GRANT ALL ON `{name}`.* TO `{name}`@`%`")]
}
