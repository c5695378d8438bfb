//! The table and what goes with it: as SQL text, made where it is missing, and checked.

use std::collections::BTreeSet;

use session_core::{ErrorKind, Result};
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, Row as _};

use super::error::number;
use super::table::QualifiedName;
use crate::server::Failure;

/// The SQL that makes the session table `table`, its indexes and its view, for `mariadb`, `mysql` and other clients.
///
/// Running it again changes nothing. `table` may name its database, which must exist: `web.sessions`.
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) if a part of `table` is not at most 48 lower-case ASCII letters, digits and
/// underscores that begin with no digit.
///
/// ```
/// let sql = session_sql::mysql::schema_sql("web.sessions")?;
/// assert!(sql.contains("CREATE TABLE IF NOT EXISTS `web`.`sessions`"));
/// # Ok::<(), session_core::Error>(())
/// ```
pub fn schema_sql(table: &str) -> Result<String> {
    let table = QualifiedName::parse(table)?;
    let view = view_sql(&table).replacen("CREATE ", "CREATE OR REPLACE ", 1);
    Ok(format!("{}{view}", table_sql(&table)))
}

fn table_sql(table: &QualifiedName) -> String {
    include_str!("table.sql").replace("{table}", &table.to_string())
}

fn view_sql(table: &QualifiedName) -> String {
    let view = format!("{}`{}_json`", table.prefix(), table.name());
    include_str!("view.sql").replace("{table}", &table.to_string()).replace("{view}", &view)
}

/// Makes whatever is missing. Each part is made as a whole, and others may be making the same at the same time.
pub(super) async fn migrate(connection: &mut MySqlConnection, table: &QualifiedName) -> Result<(), Failure> {
    let found = Found::look(connection, table).await?;
    if found.is_foreign() {
        return Err(foreign(table));
    }
    if !found.has_table() {
        make(connection, table_sql(table)).await?;
    }
    let missing = if found.has_table() { found.missing_indexes() } else { Vec::new() };
    for index in missing {
        make(connection, format!("CREATE INDEX {index} ON {table} ({index})")).await?;
    }
    if !found.has_view() {
        match make(connection, view_sql(table)).await {
            // An account that serves sessions sees the table, and not the view.
            Err(failure) if found.is_usable() && failure.kind == ErrorKind::Config => {}
            made => made?,
        }
    }
    let found = Found::look(connection, table).await?;
    if found.is_foreign() {
        return Err(foreign(table));
    }
    if found.is_usable() && !found.has_something_else_for_the_view() {
        Ok(())
    } else {
        Err(name_taken(table))
    }
}

/// Makes sure that nothing is missing that the verbs need, and changes nothing.
pub(super) async fn check(connection: &mut MySqlConnection, table: &QualifiedName) -> Result<(), Failure> {
    let found = Found::look(connection, table).await?;
    if found.is_foreign() {
        return Err(foreign(table));
    }
    if found.is_usable() {
        return Ok(());
    }
    Err(schema_missing(format!(
        "{table} or an index of it is not there; call `MysqlBackend::migrate`, connect with `auto_migrate`, or run \
         the output of `schema_sql`"
    )))
}

/// What somebody else has made meanwhile, a table or an index, is made.
async fn make(connection: &mut MySqlConnection, sql: String) -> Result<(), Failure> {
    match connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await {
        Err(error) if matches!(number(&error), Some(1050 | 1061)) => Ok(()),
        made => Ok(made.map(drop)?),
    }
}

/// A line for each thing that the account can see of what bears the name: its rights decide what that is.
struct Found(BTreeSet<String>);

impl Found {
    async fn look(connection: &mut MySqlConnection, table: &QualifiedName) -> Result<Self, Failure> {
        let mut query = sqlx::query(SELECT_FOUND).persistent(false);
        for name in [table.name().to_owned(), format!("{}_json", table.name())] {
            query = query.bind(table.database()).bind(name);
        }
        for _ in 0..2 {
            query = query.bind(table.database()).bind(table.name());
        }
        let rows = query.fetch_all(connection).await?;
        let line = |row: &sqlx::mysql::MySqlRow| {
            Ok(String::from_utf8_lossy(row.try_get::<&[u8], _>(0)?).into_owned())
        };
        Ok(Self(rows.iter().map(line).collect::<Result<_, sqlx::Error>>()?))
    }

    fn has(&self, line: &str) -> bool {
        self.0.contains(line)
    }

    fn those(&self, start: &str) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(move |line| line.starts_with(start))
    }

    fn has_table(&self) -> bool {
        self.those("table ").next().is_some()
    }

    fn has_view(&self) -> bool {
        self.has("view VIEW")
    }

    fn has_something_else_for_the_view(&self) -> bool {
        self.those("view ").any(|line| line != "view VIEW")
    }

    /// Whether there is a table of that name with other columns or another key, a view, or one that commits nothing.
    fn is_foreign(&self) -> bool {
        let is_ours = self.has("table BASE TABLE InnoDB")
            && self.those("column ").eq(COLUMNS)
            && self.those("index PRIMARY ").eq(["index PRIMARY 0 1 id"]);
        self.has_table() && !is_ours
    }

    fn missing_indexes(&self) -> Vec<&'static str> {
        let is_missing =
            |name: &&str| !self.those(&format!("index {name} ")).eq([format!("index {name} 1 1 {name}")]);
        INDEXES.into_iter().filter(is_missing).collect()
    }

    /// Whether the verbs can work on it.
    fn is_usable(&self) -> bool {
        self.has_table() && self.missing_indexes().is_empty()
    }
}

/// As bytes: the texts of the server's catalogue are in whatever character set the connection has.
/// Computed columns of others are none of ours.
const SELECT_FOUND: &str = "\
    SELECT CAST(CONCAT_WS(' ', 'table', TABLE_TYPE, ENGINE) AS BINARY) FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
    UNION ALL SELECT CAST(CONCAT_WS(' ', 'view', TABLE_TYPE) AS BINARY) FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
    UNION ALL SELECT CAST(CONCAT_WS(' ', 'column', COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, \
    IF(COLUMN_TYPE LIKE '%unsigned%', 'unsigned', NULL), IS_NULLABLE) AS BINARY) FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
    AND COALESCE(GENERATION_EXPRESSION, '') = '' \
    UNION ALL SELECT CAST(CONCAT_WS(' ', 'index', INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART) \
    AS BINARY) FROM information_schema.STATISTICS \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";

/// Name, type, length and being nullable of each column, by name.
const COLUMNS: [&str; 9] = [
    "column data longblob 4294967295 NO",
    "column deadline bigint NO",
    "column expires_at bigint NO",
    "column filed_at bigint NO",
    "column id binary 16 NO",
    "column meta longblob 4294967295 NO",
    "column principal varbinary 255 YES",
    "column revision bigint NO",
    "column touched_at bigint NO",
];

/// Each has the name of its only column.
const INDEXES: [&str; 2] = ["filed_at", "principal"];

fn foreign(table: &QualifiedName) -> Failure {
    schema_missing(format!(
        "{table} is a table of something else, of another engine than InnoDB, or of another version: choose another \
         table name"
    ))
}

fn name_taken(table: &QualifiedName) -> Failure {
    let name = table.name();
    schema_missing(format!(
        "`{name}_json` beside {table}, or `filed_at` or `principal` among its indexes, is the name of something \
         else: choose another table name"
    ))
}

fn schema_missing(detail: String) -> Failure {
    Failure::describe(ErrorKind::SchemaMissing, detail)
}
