//! What the tests share: a table of their own, ids, instants, records, and a look into the table that does not
//! go through the driver.

use std::env;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use session_core::Error;
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};
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
    pub(crate) config: MysqlConfig,
}

/// Runs a test with a table's name of its own, and drops the table and what else bears the name afterwards.
pub(crate) fn with_table(test: impl AsyncFnOnce(&Table)) {
    let Ok(url) = env::var("SESSION_TEST_MARIADB") else {
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_MARIADB is not set");
        eprintln!("not run: SESSION_TEST_MARIADB is not set");
        return;
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let thread = std::thread::current().id();
    let distinct = format!("{thread:?}")
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let name = format!("t{}_{distinct}_{}", std::process::id(), since.as_nanos());
    let config = MysqlConfig::from_url(&url).unwrap().with_table(&name).with_auto_migrate(true);
    let table = Table { name, config };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&table))));
    runtime.block_on(async {
        let sql = "DROP VIEW IF EXISTS {t}_json; DROP TABLE IF EXISTS {t}; DROP DATABASE IF EXISTS {t}; \
                   DROP USER IF EXISTS {t}@'%'";
        table.execute(sql).await.unwrap();
    });
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl Table {
    pub(crate) async fn connect(&self) -> MysqlBackend {
        MysqlBackend::connect(self.config.clone()).await.unwrap()
    }

    /// A connection of somebody else.
    pub(crate) async fn raw(&self) -> MySqlConnection {
        MySqlConnection::connect_with(&self.config.connection).await.unwrap()
    }

    /// Runs SQL with the table's name for `{t}`.
    pub(crate) async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(self.named(sql));
        Ok(self.raw().await.execute(sqlx::raw_sql(sql)).await?.rows_affected())
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<MySqlRow> {
        let sql = AssertSqlSafe(self.named(sql));
        self.raw().await.fetch_all(sqlx::raw_sql(sql)).await.unwrap()
    }

    /// The first column of each row, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let text = |row: &MySqlRow| row.try_get_unchecked::<Vec<u8>, _>(0).unwrap();
        self.rows(sql).await.iter().map(|row| String::from_utf8(text(row)).unwrap()).collect()
    }

    pub(crate) fn named(&self, sql: &str) -> String {
        sql.replace("{t}", &self.name)
    }

    /// Every row.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let columns = ["id", "revision", "expires_at", "deadline", "touched_at", "principal", "meta", "data"];
        let columns = columns.map(|column| format!("COALESCE(HEX({column}), '-')")).join(", ");
        self.texts(&format!("SELECT CONCAT_WS(' ', {columns}) FROM {{t}} ORDER BY id")).await
    }
}

/// A session's id as SQL.
pub(crate) fn hex(number: u32) -> String {
    format!("X'{number:08x}{:024}'", 0)
}
