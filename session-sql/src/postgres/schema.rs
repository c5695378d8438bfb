//! The table and what goes with it: as SQL text, made where it is missing, and checked.

use session_core::{ErrorKind, Result};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use super::table::QualifiedName;
use crate::server::Failure;

/// The SQL that makes the session table `table`, its indexes and its view, for `psql` and other clients.
///
/// Running it again changes nothing. `table` may name its schema, which must exist: `web.sessions`.
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) if a part of `table` is not at most 48 lower-case ASCII letters, digits and
/// underscores that begin with no digit.
///
/// ```
/// let sql = session_sql::postgres::schema_sql("web.sessions")?;
/// assert!(sql.contains("CREATE TABLE IF NOT EXISTS \"web\".\"sessions\""));
/// # Ok::<(), session_core::Error>(())
/// ```
pub fn schema_sql(table: &str) -> Result<String> {
    Ok(format!("BEGIN;\n{}COMMIT;\n", sql(&QualifiedName::parse(table)?, false)))
}

/// The same for a table that is [`UNLOGGED`](super::PostgresConfig::unlogged).
///
/// # Errors
///
/// As [`schema_sql`].
pub fn unlogged_schema_sql(table: &str) -> Result<String> {
    Ok(format!("BEGIN;\n{}COMMIT;\n", sql(&QualifiedName::parse(table)?, true)))
}

fn sql(table: &QualifiedName, unlogged: bool) -> String {
    include_str!("schema.sql")
        .replace("{unlogged}", if unlogged { "UNLOGGED " } else { "" })
        .replace("{table}", &table.to_string())
        .replace("{schema}", &table.prefix())
        .replace("{name}", table.name())
}

/// Makes whatever is missing, all of it or nothing. A connection on which it fails is to be closed: it may be
/// left inside a transaction.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    table: &QualifiedName,
    unlogged: bool,
) -> Result<(), Failure> {
    match State::of(connection, table, unlogged).await? {
        State::Complete => return Ok(()),
        State::Foreign => return Err(foreign(table)),
        State::OtherwiseLogged => return Err(otherwise_logged(table, unlogged)),
        State::Incomplete => {}
    }
    connection.execute("BEGIN").await?;
    let made = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql(table, unlogged)))).await;
    if let Err(error) = made {
        let is_objection = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| {
            // Duplicate table, column or function, another type or kind of thing, an invalid object.
            ["42P07", "42701", "42723", "42P13", "42P16", "42809", "42703", "42804"].contains(&&*code)
        });
        return Err(if is_objection { name_taken(table) } else { error.into() });
    }
    match State::of(connection, table, unlogged).await? {
        State::Complete => Ok(connection.execute("COMMIT").await.map(drop)?),
        State::OtherwiseLogged => Err(otherwise_logged(table, unlogged)),
        State::Incomplete | State::Foreign => Err(name_taken(table)),
    }
}

/// Makes sure that nothing is missing, and changes nothing.
pub(super) async fn check(
    connection: &mut PgConnection,
    table: &QualifiedName,
    unlogged: bool,
) -> Result<(), Failure> {
    match State::of(connection, table, unlogged).await? {
        State::Complete => Ok(()),
        State::OtherwiseLogged => Err(otherwise_logged(table, unlogged)),
        State::Foreign => Err(foreign(table)),
        State::Incomplete => Err(schema_missing(format!(
            "{table}, an index or the view of it is not there; call `PostgresBackend::migrate`, connect with \
             `auto_migrate`, or run the output of `schema_sql`"
        ))),
    }
}

enum State {
    /// Everything is there.
    Complete,
    /// The table, or something that goes with it, is not there.
    Incomplete,
    /// There is a table of that name with other columns.
    Foreign,
    /// The table is ours, and logged or not as nobody asked for.
    OtherwiseLogged,
}

impl State {
    async fn of(
        connection: &mut PgConnection,
        table: &QualifiedName,
        unlogged: bool,
    ) -> Result<Self, Failure> {
        let query = |sql| sqlx::query(sql).persistent(false).bind(table.to_string());
        let columns = query(SELECT_COLUMNS).fetch_all(&mut *connection).await?;
        let Some(first) = columns.first() else { return Ok(Self::Incomplete) };
        let is_unlogged: bool = first.try_get(4)?;
        let columns = columns
            .iter()
            .map(|row| {
                Ok((
                    row.try_get::<String, _>(0)?,
                    row.try_get::<String, _>(1)?,
                    row.try_get::<bool, _>(2)?,
                    row.try_get::<bool, _>(3)?,
                ))
            })
            .collect::<Result<Vec<_>, sqlx::Error>>()?;
        let as_expected =
            columns.iter().map(|(name, kind, not_null, key)| (name.as_str(), kind.as_str(), *not_null, *key));
        if !as_expected.eq(COLUMNS) {
            return Ok(Self::Foreign);
        }
        if is_unlogged != unlogged {
            return Ok(Self::OtherwiseLogged);
        }
        let companions: i64 = query(COUNT_COMPANIONS).fetch_one(connection).await?.try_get(0)?;
        Ok(if companions == 3 { Self::Complete } else { Self::Incomplete })
    }
}

/// Name, type, `NOT NULL` and being the whole primary key of each column, and whether the table is unlogged; without
/// those that others let the
/// database compute.
const SELECT_COLUMNS: &str = "\
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, EXISTS (\
        SELECT FROM pg_index i \
        WHERE i.indrelid = a.attrelid AND i.indisprimary AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum), \
        (SELECT c.relpersistence = 'u' FROM pg_class c WHERE c.oid = a.attrelid) \
    FROM pg_attribute a \
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped \
    AND a.attgenerated = '' \
    ORDER BY a.attnum";

const COLUMNS: [(&str, &str, bool, bool); 9] = [
    ("id", "bytea", true, true),
    ("revision", "bigint", true, false),
    ("expires_at", "bigint", true, false),
    ("deadline", "bigint", true, false),
    ("touched_at", "bigint", true, false),
    ("principal", "bytea", false, false),
    ("meta", "bytea", true, false),
    ("data", "bytea", true, false),
    ("filed_at", "bigint", true, false),
];

const COUNT_COMPANIONS: &str = "\
    SELECT count(*) FROM pg_class t \
    JOIN pg_class c ON c.relnamespace = t.relnamespace \
    LEFT JOIN pg_index i ON i.indexrelid = c.oid AND i.indrelid = t.oid AND i.indisvalid \
    WHERE t.oid = to_regclass($1) AND (\
        i.indexrelid IS NOT NULL AND c.relname IN (t.relname || '_filed_at', t.relname || '_principal') \
        OR c.relkind = 'v' AND c.relname = t.relname || '_json')";

/// Neither is for the driver to choose: one loses sessions, the other makes all writes dearer.
fn otherwise_logged(table: &QualifiedName, unlogged: bool) -> Failure {
    let (is, other) = if unlogged { ("logged", "UNLOGGED") } else { ("unlogged", "LOGGED") };
    let detail = format!(
        "{table} is {is}, and `unlogged` is {unlogged}: change the option, or run `ALTER TABLE {table} SET {other}`"
    );
    Failure::describe(ErrorKind::Config, detail)
}

fn foreign(table: &QualifiedName) -> Failure {
    schema_missing(format!(
        "{table} is a table of something else, or of another version: choose another table name"
    ))
}

fn name_taken(table: &QualifiedName) -> Failure {
    let name = table.name();
    schema_missing(format!(
        "{table}, or `{name}_filed_at`, `{name}_principal`, `{name}_json` or `{name}_text` beside it, is the \
         name of something else: choose another table name"
    ))
}

fn schema_missing(detail: String) -> Failure {
    Failure::describe(ErrorKind::SchemaMissing, detail)
}
