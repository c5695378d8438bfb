//! What is PostgreSQL's own in the tests of both servers: types, SQL, and how the server tells what goes on.

use std::time::Duration;

pub(crate) use session_sql::postgres::{PostgresBackend as Backend, PostgresConfig as Config, schema_sql};
use sqlx::Row as _;
pub(crate) use sqlx::postgres::PgPoolOptions as PoolOptions;
pub(crate) use sqlx::{PgConnection as Connection, PgPool as Pool, postgres::PgRow as Row};

use crate::common::Table;

/// Where the server's URL is.
pub(crate) const SERVER: &str = "SESSION_TEST_POSTGRES";

pub(crate) const SCHEME: &str = "postgres";
pub(crate) const WITHOUT_TLS: &str = "sslmode=disable";

/// Whether a server says something before it is asked.
pub(crate) const SERVER_SPEAKS_FIRST: bool = false;

/// What stands around names.
pub(crate) const QUOTE: &str = "\"";

/// How errors show what the server has refused, or ended because a limit was reached.
pub(crate) const CHECK_VIOLATED: &str = "23514";
pub(crate) const LOCK_TIMED_OUT: &str = "55P03";
pub(crate) const STATEMENT_TIMED_OUT: &str = "57014";

/// Another name for this table, for a while, and another type of a column, which holds `meta`.
pub(crate) const RENAME: &str = "ALTER TABLE {t} RENAME TO {t}_";
pub(crate) const RENAME_BACK: &str = "ALTER TABLE {t}_ RENAME TO {t}";
pub(crate) const SPOIL: &str = "DROP VIEW {t}_json; ALTER TABLE {t} ALTER meta TYPE text USING 'x'";
pub(crate) const MEND: &str = "ALTER TABLE {t} ALTER meta TYPE bytea USING 'meta'";

/// What a migration has made, and what `CREATE SCHEMA` has.
pub(crate) const DROP: &str = "DROP TABLE {t} CASCADE; DROP FUNCTION {t}_text";
pub(crate) const DROP_SCHEMA: &str = "SET client_min_messages = error; DROP SCHEMA {t} CASCADE";

/// Keeps everybody from the table, in a transaction.
pub(crate) const LOCK_TABLE: &str = "LOCK TABLE {t}";

/// Every row, as Postgres writes it.
pub(crate) const DUMP: &str = "SELECT ROW(t.*)::text FROM {t} t ORDER BY id";

/// How many rows there are; a condition may follow.
pub(crate) const COUNT: &str = "SELECT count(*)::text FROM {t}";

/// The tables that there are under a name.
pub(crate) const TABLES: &str = "SELECT relname::text FROM pg_class WHERE relname = '{t}'";

/// The row goes and comes back as it was: a statement that has waited for it to go does not see it.
pub(crate) const REPLACED: &str = "CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM {t}; DELETE FROM {t}; \
     INSERT INTO {t} SELECT id, revision, expires_at, deadline, touched_at, principal, meta, data FROM kept";

/// Lets NULLs and too long principals in.
pub(crate) const LENIENT: &[&str] =
    &["ALTER TABLE {t} ALTER revision DROP NOT NULL, ALTER expires_at DROP NOT NULL, \
     ALTER deadline DROP NOT NULL, ALTER touched_at DROP NOT NULL, ALTER meta DROP NOT NULL, \
     ALTER data DROP NOT NULL, ALTER filed_at DROP NOT NULL"];

/// Ids that are none.
pub(crate) const DAMAGED_IDS: &[&str] = &["id = '\\x0000000201'", "id = ''"];

/// Sets the connection's zone, and asks for it.
pub(crate) const ZONES: [&str; 3] = ["UTC", "Pacific/Kiritimati", "America/St_Johns"];
pub(crate) const SET_ZONE: &str = "SET timezone";
pub(crate) const SHOW_ZONE: &str = "SHOW timezone";

/// The rows of format 1, and the table's as statements like those.
pub(crate) const GOLDEN: &str = "sessions.postgres.sql";
pub(crate) const GOLDEN_INSERTS: &str = "SELECT format('INSERT INTO {t} VALUES (%L, %s, %s, %s, %s, %L, %L, %L);', \
     id, revision, expires_at, deadline, touched_at, principal, meta, data) FROM {t} ORDER BY id";

/// Which database a connection is in.
pub(crate) const DATABASE: &str = "SELECT current_database()::text";

/// As SQL.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{hex}'::bytea")
}

/// As SQL, 16 bytes that follow from the text, which is SQL too.
pub(crate) fn digest(text: &str) -> String {
    format!("decode(md5({text}), 'hex')")
}

/// As SQL, rows with the numbers from 1 on as `seq`.
pub(crate) fn series(rows: u32) -> String {
    format!("generate_series(1, {rows}) AS rows (seq)")
}

/// The first column.
pub(crate) fn text(row: &Row) -> String {
    row.get(0)
}

/// How many statements about the table wait for a lock.
pub(crate) async fn waiting(table: &Table) -> usize {
    let waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%\"{t}\"%'";
    table.rows(waiting).await.len()
}

/// How many connections have asked about the table last, at least.
pub(crate) async fn connections(table: &Table) -> usize {
    table
        .rows("SELECT FROM pg_stat_activity WHERE query LIKE '%{t}%' AND pid <> pg_backend_pid()")
        .await
        .len()
}

/// Drops the table and what else bears its name.
pub(crate) async fn clean_up(table: &Table) {
    let sql = "DROP TABLE IF EXISTS {t} CASCADE; DROP SCHEMA IF EXISTS {t} CASCADE; \
               DROP FUNCTION IF EXISTS {t}_text(bytea, boolean); DROP ROLE IF EXISTS {t}";
    table.execute("SET client_min_messages = error; DROP OWNED BY {t}").await.ok();
    table.execute(&format!("SET client_min_messages = error; {sql}")).await.unwrap();
}

/// After how long a lock that somebody else holds is given up, where it is to be after `patience`.
pub(crate) fn lock_patience(patience: Duration) -> Duration {
    patience
}

/// Leaves it to the other side of a deadlock to see it.
pub(crate) fn slow_to_see_deadlocks(mut config: Config) -> Config {
    config.connection = config.connection.options([("deadlock_timeout", "60s")]);
    config
}

/// Connections that the server tells from all others.
pub(crate) async fn distinct(table: &Table) -> Config {
    let mut config = table.config.clone();
    config.connection = config.connection.application_name(&table.name);
    config
}

/// Ends those connections.
pub(crate) async fn end_distinct(table: &Table) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{t}'";
    assert!(!table.rows(end).await.is_empty());
}

/// Makes an account, and a database of its own, whose names and whose password are this.
pub(crate) fn account(name: &str) -> Vec<String> {
    let role = format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{name}'");
    vec![role, format!("CREATE DATABASE \"{name}\" OWNER \"{name}\"")]
}
