//! What the tests share: a table of their own, ids, instants, records, and a look into the table that does not
//! go through the driver.

use std::env;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use session_core::Error;
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::runtime::Builder;

pub(crate) use crate::records::{NOW, at, create, id, now, principal, record};

/// Everything that an error shows of itself and of what caused it.
pub(crate) fn shown(error: &Error) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    shown
}

/// A name that no other test uses, of this run or another that shares the server.
pub(crate) struct Table {
    pub(crate) name: String,
    /// Leads to the server, with this table, and makes it when asked to connect.
    pub(crate) config: PostgresConfig,
}

/// Where a test waits no longer for what does not come.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// With limits that no machine is too busy for; a test sets the one that it waits for.
pub(crate) fn patient(config: PostgresConfig) -> PostgresConfig {
    let config = config.with_connect_timeout(LONG).with_acquire_timeout(LONG);
    config.with_lock_timeout(LONG).with_statement_timeout(LONG)
}

/// Runs a test with a table's name of its own, and drops the table and what else bears the name afterwards.
pub(crate) fn with_table(test: impl AsyncFnOnce(&Table)) {
    let Ok(url) = env::var("SESSION_TEST_POSTGRES") else {
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_POSTGRES is not set");
        eprintln!("not run: SESSION_TEST_POSTGRES is not set");
        return;
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let thread = std::thread::current().id();
    let distinct = format!("{thread:?}")
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let name = format!("t{}_{distinct}_{}", std::process::id(), since.as_nanos());
    let config = patient(PostgresConfig::from_url(&url).unwrap().with_table(&name).with_auto_migrate(true));
    let table = Table { name, config };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&table))));
    runtime.block_on(async {
        let sql = "DROP TABLE IF EXISTS {t} CASCADE; DROP SCHEMA IF EXISTS {t} CASCADE; \
                   DROP FUNCTION IF EXISTS {t}_text(bytea, boolean); DROP ROLE IF EXISTS {t}";
        table.execute("SET client_min_messages = error; DROP OWNED BY {t}").await.ok();
        table.execute(&format!("SET client_min_messages = error; {sql}")).await.unwrap();
    });
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl Table {
    pub(crate) async fn connect(&self) -> PostgresBackend {
        PostgresBackend::connect(self.config.clone()).await.unwrap()
    }

    /// A connection of somebody else.
    pub(crate) async fn raw(&self) -> PgConnection {
        PgConnection::connect_with(&self.config.connection).await.unwrap()
    }

    /// Runs SQL with the table's name for `{t}`.
    pub(crate) async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(self.named(sql));
        Ok(self.raw().await.execute(sqlx::raw_sql(sql)).await?.rows_affected())
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<PgRow> {
        let sql = AssertSqlSafe(self.named(sql));
        self.raw().await.fetch_all(sqlx::raw_sql(sql)).await.unwrap()
    }

    /// The first column of each row, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) fn named(&self, sql: &str) -> String {
        sql.replace("{t}", &self.name)
    }

    /// Every row, as Postgres writes it.
    pub(crate) async fn dump(&self) -> Vec<String> {
        self.texts("SELECT ROW(t.*)::text FROM {t} t ORDER BY id").await
    }
}
