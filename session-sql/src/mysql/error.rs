//! From sqlx's errors to the kinds of the contract, by the server's error numbers: its SQLSTATE is too coarse.

use std::fmt;

use session_core::{Error, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

/// An [`Error`] on its way out of a piece of work on a connection, where `?` takes sqlx's errors too.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the connection is better closed than used again.
    pub(super) spoils_connection: bool,
}

/// The error of a connection that could not be made: data that TLS does not accept is the certificate, as sqlx
/// passes it on. Once a statement was sent, the same may come of a damaged reply to one that has taken effect.
pub(super) fn from_connecting(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Error::new(ErrorKind::Config, error)
        }
        error => Failure::from(error).error,
    }
}

/// The same for the first of all connections. One over the network reads files for TLS alone.
pub(super) fn from_first_connecting(error: sqlx::Error, over_network: bool) -> Error {
    match error {
        sqlx::Error::Io(error) if over_network && is_of_a_file(error.kind()) => {
            let reason = format!("a file of `ssl-ca`, `ssl-cert` or `ssl-key` cannot be read: {error}");
            Error::new(ErrorKind::Config, std::io::Error::new(error.kind(), reason))
        }
        error => from_connecting(error),
    }
}

fn is_of_a_file(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as K;
    matches!(kind, K::NotFound | K::PermissionDenied | K::IsADirectory | K::NotADirectory)
}

/// Whether the statement was rolled back as a whole, with its transaction, to let another one pass.
pub(super) fn is_deadlock(error: &sqlx::Error) -> bool {
    // Deadlock, or a conflict within a cluster; a record that has changed since the snapshot.
    matches!(number(error), Some(1213 | 1020))
}

/// Whether a row with that key was there already.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    number(error) == Some(1062)
}

/// The number of an error of the server.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, spoils_connection: false }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let error = match error {
            E::Database(error) => {
                return match error.try_downcast::<MySqlDatabaseError>() {
                    Ok(error) => from_server(&error),
                    Err(_) => misused().into(),
                };
            }
            E::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Error::new(ErrorKind::Timeout, error)
            }
            E::Io(error) => Error::new(ErrorKind::Unavailable, error),
            E::Tls(error) => Error::new(ErrorKind::Config, error),
            // Their text may quote what was read.
            E::Configuration(_) => Error::describe(
                ErrorKind::Config,
                "the connection's options cannot be used, or the account's password needs TLS",
            ),
            E::Protocol(_) => {
                Error::describe(ErrorKind::Unavailable, "the server broke the rules of MySQL's protocol")
            }
            E::PoolTimedOut => {
                Error::describe(ErrorKind::Unavailable, "no connection to the server could be made in time")
            }
            E::PoolClosed => Error::describe(ErrorKind::Unavailable, "the pool of connections was closed"),
            // A column has another type by now, or another place.
            E::TypeNotFound { .. }
            | E::ColumnIndexOutOfBounds { .. }
            | E::ColumnNotFound(_)
            | E::ColumnDecode { .. }
            | E::Decode(_) => Error::describe(ErrorKind::SchemaMissing, CHANGED),
            E::InvalidArgument(_)
            | E::RowNotFound
            | E::Encode(_)
            | E::AnyDriverError(_)
            | E::WorkerCrashed
            | E::InvalidSavePointStatement
            | E::BeginFailed => misused(),
            // The enum may grow; what nobody has thought about is not a promise that a retry helps.
            _ => misused(),
        };
        Self { error, spoils_connection: true }
    }
}

fn misused() -> Error {
    Error::describe(ErrorKind::Internal, "sqlx was misused")
}

const CHANGED: &str = "the table has gone or changed since connecting; connect again with `auto_migrate`, call \
                       `MysqlBackend::migrate`, or run the output of `schema_sql`";

fn from_server(error: &MySqlDatabaseError) -> Failure {
    let number = error.number();
    let kind = kind(number);
    let detail = match (kind, number) {
        (ErrorKind::SchemaMissing, _) => Some(CHANGED),
        (_, 1142 | 1143 | 1227 | 1370) => {
            Some("the account lacks a right on the session table or its database")
        }
        (_, 1243) => Some("a proxy hands connections from client to client; turn `statement_cache` off"),
        (_, 1461) => {
            Some("the server keeps as many prepared statements as it may; turn `statement_cache` off")
        }
        (_, 1290 | 1792 | 1836) => {
            Some("the server takes no writes: a replica, or read-only by its settings")
        }
        (_, 1665) => Some("the server's `binlog_format` is `STATEMENT`; `ROW` and `MIXED` can be used"),
        _ => None,
    };
    let source = ServerError { number, message: message(kind, error) };
    let mut result = Error::new(kind, source);
    if let Some(detail) = detail {
        result = result.with_detail(detail);
    }
    // With some the server ends the connection; another's prepared statements stay unfit as long as it lives; a server
    // that takes no writes any more has a successor, which only a new connection finds.
    let spoils_connection =
        matches!(number, 1053 | 1152..=1161 | 1184 | 1243 | 1290 | 1615 | 1792 | 1836 | 1927 | 4031);
    Failure { error: result, spoils_connection }
}

fn kind(number: u16) -> ErrorKind {
    match number {
        // Waited too long for a lock; ran too long (MariaDB, MySQL).
        1205 | 1969 | 3024 => ErrorKind::Timeout,
        // Undefined table or column; no place or another type for a value; a view; a table that its engine lacks.
        1146 | 1054 | 1136 | 1048 | 1264 | 1292 | 1347 | 1348 | 1356 | 1364 | 1366 | 1406 | 1932 => {
            ErrorKind::SchemaMissing
        }
        // Rolled back as a whole, 3101 by a cluster; an index hint that has lost its index comes as 1176.
        1213 | 1020 | 1615 | 3101 => ErrorKind::Contended,
        1176 => ErrorKind::SchemaMissing,
        // Too many connections, of all or of this account; too many prepared statements.
        1040 | 1203 | 1226 | 1461 => ErrorKind::Overloaded,
        // Who may connect, from where, to what, and do what; a setting that is unknown or has an odd value.
        1044 | 1045 | 1046 | 1049 | 1130 | 1142 | 1143 | 1193 | 1227 | 1231 | 1243 | 1251 | 1370 | 1665
        | 1698 | 1820 | 1862 | 3118 | 3159 | 4151 => ErrorKind::Config,
        // A packet, a row or a value that is too large for the server.
        1118 | 1153 | 1162 | 1301 => ErrorKind::TooLarge,
        // Read-only; disk or memory is full; shutting down, killed, or lost on the way; 1047 outside of its cluster.
        1047
        | 1290
        | 1792
        | 1836
        | 1021
        | 1030
        | 1037
        | 1038
        | 1041
        | 1053
        | 1114
        | 1129
        | 1152
        | 1154..=1161
        | 1184
        | 1206
        | 1297
        | 1317
        | 1927
        | 4031 => ErrorKind::Unavailable,
        1034 | 1194 | 1195 | 1712 | 1877 => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

/// The server's own words where they cannot quote a value of a row.
fn message(kind: ErrorKind, error: &MySqlDatabaseError) -> Option<String> {
    let quotes_values = matches!(error.number(), 1292 | 1366) || kind == ErrorKind::Internal;
    (!quotes_values).then(|| error.message().replace(['\r', '\n'], " "))
}

/// What is told of an error of the server.
#[derive(Debug)]
struct ServerError {
    number: u16,
    message: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (error {})", self.number),
            None => write!(f, "error {}", self.number),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_kinds() {
        for (number, expected) in [
            (1205, ErrorKind::Timeout),
            (1969, ErrorKind::Timeout),
            (3024, ErrorKind::Timeout),
            (1146, ErrorKind::SchemaMissing),
            (1054, ErrorKind::SchemaMissing),
            (1213, ErrorKind::Contended),
            (1040, ErrorKind::Overloaded),
            (1203, ErrorKind::Overloaded),
            (1045, ErrorKind::Config),
            (1049, ErrorKind::Config),
            (1142, ErrorKind::Config),
            (1665, ErrorKind::Config),
            (1153, ErrorKind::TooLarge),
            (3101, ErrorKind::Contended),
            (1047, ErrorKind::Unavailable),
            (1290, ErrorKind::Unavailable),
            (1792, ErrorKind::Unavailable),
            (1836, ErrorKind::Unavailable),
            (1053, ErrorKind::Unavailable),
            (1114, ErrorKind::Unavailable),
            (1158, ErrorKind::Unavailable),
            (1712, ErrorKind::Corrupt),
            (1062, ErrorKind::Internal),
            (1064, ErrorKind::Internal),
            (4025, ErrorKind::Internal),
            (0, ErrorKind::Internal),
        ] {
            assert_eq!(kind(number), expected, "{number}");
        }
    }

    #[test]
    fn values_do_not_get_out() {
        for error in [
            sqlx::Error::Protocol("canary".into()),
            sqlx::Error::Configuration("canary".into()),
            sqlx::Error::Decode("canary".into()),
            sqlx::Error::Encode("canary".into()),
            sqlx::Error::ColumnDecode { index: "data".into(), source: "canary".into() },
        ] {
            let error = Failure::from(error).error;
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("canary"), "{shown}");
            assert!(std::error::Error::source(&error).is_none());
        }
    }

    #[test]
    fn a_broken_connection_is_not_used_again() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let failure = Failure::from(broken);
        assert_eq!(failure.error.kind(), ErrorKind::Unavailable);
        assert!(failure.spoils_connection);
        assert!(!Failure::from(Error::from(ErrorKind::Corrupt)).spoils_connection);
    }
}
