//! The table, its indexes and its view: as SQL text, made where they are missing, and checked.

use rusqlite::Connection;
use session_core::{Error, ErrorKind, Result};

use super::error::Failure;
use crate::table_name::TableName;

/// The SQL that makes the session table `table`, its indexes and its view, for `sqlite3` and other clients.
///
/// Running it again changes nothing.
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) if `table` is not at most 48 lower-case ASCII letters, digits and
/// underscores that begin with no digit.
///
/// ```
/// let sql = session_sql::sqlite::schema_sql("sessions")?;
/// assert!(sql.contains("CREATE TABLE IF NOT EXISTS \"sessions\""));
/// # Ok::<(), session_core::Error>(())
/// ```
pub fn schema_sql(table: &str) -> Result<String> {
    Ok(sql(&TableName::parse(table)?))
}

fn sql(table: &TableName) -> String {
    include_str!("schema.sql").replace("{table}", table.as_str())
}

/// Makes whatever is missing. Expects to be inside a transaction that holds the write lock.
pub(super) fn migrate(connection: &Connection, table: &TableName) -> Result<(), Failure> {
    match State::of(connection, table)? {
        State::Complete => Ok(()),
        State::Foreign => Err(foreign(table)),
        State::Incomplete => {
            connection.execute_batch(&sql(table)).map_err(|error| {
                let Failure(cause) = error.into();
                // The schema is valid SQL: if SQLite objects to it, one of its names means something else.
                let is_objection = matches!(cause.kind(), ErrorKind::Internal | ErrorKind::SchemaMissing);
                Failure(if is_objection { name_taken(table).0 } else { cause })
            })?;
            match State::of(connection, table)? {
                State::Complete => Ok(()),
                State::Incomplete | State::Foreign => Err(name_taken(table)),
            }
        }
    }
}

/// Makes sure that nothing is missing, and changes nothing.
pub(super) fn check(connection: &Connection, table: &TableName) -> Result<(), Failure> {
    match State::of(connection, table)? {
        State::Complete => Ok(()),
        State::Foreign => Err(foreign(table)),
        State::Incomplete => Err(Failure(Error::describe(
            ErrorKind::SchemaMissing,
            format!(
                "`{table}`, an index or the view of it is not there; call `SqliteBackend::migrate`, connect \
                 with `auto_migrate`, or run the output of `schema_sql`"
            ),
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
}

impl State {
    fn of(connection: &Connection, table: &TableName) -> Result<Self, Failure> {
        let mut statement = connection
            .prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns = statement
            .query_map([table.as_str()], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?.to_ascii_uppercase(),
                    row.get::<_, bool>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        if columns.is_empty() {
            return Ok(Self::Incomplete);
        }
        let as_expected = columns
            .iter()
            .map(|(name, kind, not_null, key)| (name.as_str(), kind.as_str(), *not_null, *key))
            .eq(COLUMNS);
        if !as_expected {
            return Ok(Self::Foreign);
        }
        let companions: i64 = connection.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE \
             type = 'index' AND tbl_name = ?1 COLLATE NOCASE AND name IN (?1 || '_filed_at', ?1 || '_principal') \
             OR type = 'view' AND name = ?1 || '_json'",
            [table.as_str()],
            |row| row.get(0),
        )?;
        Ok(if companions == 3 { Self::Complete } else { Self::Incomplete })
    }
}

/// Name, type, `NOT NULL` and position in the primary key of each column.
const COLUMNS: [(&str, &str, bool, i64); 9] = [
    ("id", "BLOB", true, 1),
    ("revision", "INTEGER", true, 0),
    ("expires_at", "INTEGER", true, 0),
    ("deadline", "INTEGER", true, 0),
    ("touched_at", "INTEGER", true, 0),
    ("filed_at", "INTEGER", true, 0),
    ("principal", "TEXT", false, 0),
    ("meta", "BLOB", true, 0),
    ("data", "BLOB", true, 0),
];

fn foreign(table: &TableName) -> Failure {
    Failure(Error::describe(
        ErrorKind::SchemaMissing,
        format!("`{table}` is a table of something else, or of another version: choose another table name"),
    ))
}

fn name_taken(table: &TableName) -> Failure {
    Failure(Error::describe(
        ErrorKind::SchemaMissing,
        format!(
            "`{table}_filed_at`, `{table}_principal` or `{table}_json` is the name of something else: \
             choose another table name"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_memory() -> (Connection, TableName) {
        (Connection::open_in_memory().unwrap(), TableName::parse("sessions").unwrap())
    }

    fn kind(result: Result<(), Failure>) -> ErrorKind {
        result.unwrap_err().0.kind()
    }

    #[test]
    fn migrating_completes_what_is_missing_and_nothing_else() {
        let (connection, table) = in_memory();
        assert_eq!(kind(check(&connection, &table)), ErrorKind::SchemaMissing);
        migrate(&connection, &table).unwrap();
        check(&connection, &table).unwrap();
        for lost in ["INDEX sessions_filed_at", "INDEX sessions_principal", "VIEW sessions_json"] {
            connection.execute_batch(&format!("DROP {lost}")).unwrap();
            assert_eq!(kind(check(&connection, &table)), ErrorKind::SchemaMissing, "{lost}");
            migrate(&connection, &table).unwrap();
            check(&connection, &table).unwrap();
        }
    }

    #[test]
    fn tables_of_others_are_refused_and_left_alone() {
        for sql in [
            "CREATE TABLE sessions (id INTEGER PRIMARY KEY, data TEXT)",
            "CREATE TABLE sessions (id BLOB NOT NULL, revision INTEGER NOT NULL, expires_at INTEGER NOT NULL, \
             deadline INTEGER NOT NULL, touched_at INTEGER NOT NULL, filed_at INTEGER NOT NULL, principal TEXT, meta BLOB NOT NULL, \
             data BLOB NOT NULL)",
            "CREATE VIEW sessions AS SELECT 1 AS id",
            "CREATE TABLE Sessions (id TEXT)",
        ] {
            let (connection, table) = in_memory();
            connection.execute_batch(sql).unwrap();
            assert_eq!(kind(check(&connection, &table)), ErrorKind::SchemaMissing, "{sql}");
            assert_eq!(kind(migrate(&connection, &table)), ErrorKind::SchemaMissing, "{sql}");
            let objects: i64 = connection
                .query_row("SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL", [], |row| row.get(0))
                .unwrap();
            assert_eq!(objects, 1, "{sql}");
        }
    }

    #[test]
    fn companions_of_others_are_refused() {
        for sql in [
            "CREATE TABLE sessions_filed_at (a)",
            "CREATE TABLE sessions_json (a)",
            "CREATE TABLE other (a); CREATE INDEX sessions_principal ON other (a)",
        ] {
            let (connection, table) = in_memory();
            connection.execute_batch(sql).unwrap();
            assert_eq!(kind(migrate(&connection, &table)), ErrorKind::SchemaMissing, "{sql}");
        }
    }

    #[test]
    fn columns_computed_by_others_do_not_disturb() {
        let (connection, table) = in_memory();
        migrate(&connection, &table).unwrap();
        connection
            .execute_batch("ALTER TABLE sessions ADD COLUMN size INTEGER AS (length(data)) VIRTUAL")
            .unwrap();
        check(&connection, &table).unwrap();
    }
}
