//! What the tests share: a table of their own, ids, instants, records, and a look into the table that does not
//! go through the driver. Which server it is, `dialect` knows.

use std::env;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use session_core::Error;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::runtime::Builder;

use crate::dialect::{self, Backend, Config, Connection, Pool, PoolOptions, Row, SERVER};
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
    pub(crate) config: Config,
}

/// Where a test waits no longer for what does not come.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// With limits that no machine is too busy for; a test sets the one that it waits for.
pub(crate) fn patient(config: Config) -> Config {
    let config = config.with_connect_timeout(LONG).with_acquire_timeout(LONG);
    config.with_lock_timeout(LONG).with_statement_timeout(LONG)
}

/// Runs a test with a table's name of its own, and drops the table and what else bears the name afterwards.
pub(crate) fn with_table(test: impl AsyncFnOnce(&Table)) {
    let Ok(url) = env::var(SERVER) else {
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "{SERVER} is not set");
        eprintln!("not run: {SERVER} is not set");
        return;
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let thread = std::thread::current().id();
    let distinct = format!("{thread:?}")
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let name = format!("t{}_{distinct}_{}", std::process::id(), since.as_nanos());
    let config = patient(Config::from_url(&url).unwrap().with_table(&name).with_auto_migrate(true));
    let table = Table { name, config };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&table))));
    runtime.block_on(dialect::clean_up(&table));
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl Table {
    pub(crate) async fn connect(&self) -> Backend {
        Backend::connect(self.config.clone()).await.unwrap()
    }

    /// A connection of somebody else.
    pub(crate) async fn raw(&self) -> Connection {
        Connection::connect_with(&self.config.connection).await.unwrap()
    }

    /// Runs SQL with the table's name for `{t}`.
    pub(crate) async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(self.named(sql));
        Ok(self.raw().await.execute(sqlx::raw_sql(sql)).await?.rows_affected())
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<Row> {
        let sql = AssertSqlSafe(self.named(sql));
        self.raw().await.fetch_all(sqlx::raw_sql(sql)).await.unwrap()
    }

    /// The first column of each row, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql).await.iter().map(dialect::text).collect()
    }

    pub(crate) fn named(&self, sql: &str) -> String {
        sql.replace("{t}", &self.name)
    }

    /// Every row.
    pub(crate) async fn dump(&self) -> Vec<String> {
        self.texts(dialect::DUMP).await
    }
}

/// Runs SQL on a connection that stays open.
pub(crate) async fn run(connection: &mut Connection, table: &Table, sql: &str) {
    let sql = table.named(sql);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

/// A transaction of somebody else that holds what the SQL locks, until its end.
pub(crate) async fn hold(table: &Table, sql: &str) -> Connection {
    let mut connection = table.raw().await;
    run(&mut connection, table, &format!("BEGIN; {sql}")).await;
    connection
}

/// SQL that locks the row of a session.
pub(crate) fn locking(number: u32) -> String {
    format!("SELECT 1 FROM {{t}} WHERE id = {} FOR UPDATE", sql_id(number))
}

/// Waits until so many statements about the table wait for a lock.
pub(crate) async fn until_waiting(table: &Table, count: usize) {
    let started = Instant::now();
    while dialect::waiting(table).await < count {
        assert!(started.elapsed() < LONG, "nobody waits for a lock");
        tokio::task::yield_now().await;
    }
}

/// A pool of the application's, each connection of which has begun with this SQL.
pub(crate) fn pool(table: &Table, connections: u32, begin: impl Into<String>) -> Pool {
    let begin: String = begin.into();
    let pool = PoolOptions::new().max_connections(connections).acquire_timeout(LONG);
    let pool = pool.after_connect(move |connection, _| {
        let begin = AssertSqlSafe(begin.clone());
        Box::pin(async move { connection.execute(sqlx::raw_sql(begin)).await.map(drop) })
    });
    pool.connect_lazy_with(table.config.connection.clone())
}

/// A session's id as SQL.
pub(crate) fn sql_id(number: u32) -> String {
    dialect::bytes(id(number).as_bytes())
}
