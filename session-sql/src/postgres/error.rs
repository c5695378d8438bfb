//! From sqlx's errors to the kinds of the contract, by SQLSTATE.

use std::fmt;

use session_core::{Error, ErrorKind};
use sqlx::postgres::PgDatabaseError;

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
                return match error.try_downcast::<PgDatabaseError>() {
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
            E::Configuration(_) => {
                Error::describe(ErrorKind::Config, "the connection's options cannot be used")
            }
            E::Protocol(_) => {
                Error::describe(ErrorKind::Unavailable, "the server broke the rules of Postgres's protocol")
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
            | E::Decode(_) => changed(),
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

fn changed() -> Error {
    Error::describe(ErrorKind::SchemaMissing, CHANGED)
}

const CHANGED: &str = "the table has gone or changed since connecting; connect again with `auto_migrate`, call \
                       `PostgresBackend::migrate`, or run the output of `schema_sql`";

fn from_server(error: &PgDatabaseError) -> Failure {
    let code = error.code();
    let kind = kind(code);
    let detail = match (kind, code) {
        (ErrorKind::SchemaMissing, _) => Some(CHANGED),
        (_, "42501") => Some("the role lacks a right on the session table or its schema"),
        (_, "26000" | "42P05") => {
            Some("a pooler hands connections from client to client; turn `statement_cache` off")
        }
        (_, "25006") => Some("the server takes no writes: a standby, or read-only by its settings"),
        _ => None,
    };
    let source = ServerError { code: code.to_owned(), message: message(error) };
    let mut result = Error::new(kind, source);
    if let Some(detail) = detail {
        result = result.with_detail(detail);
    }
    // A prepared statement that no longer fits stays unfit as long as its connection lives; with 57P the
    // server ends it.
    let spoils_connection = matches!(code, "0A000" | "26000" | "42P05") || code.starts_with("57P");
    Failure { error: result, spoils_connection }
}

fn kind(code: &str) -> ErrorKind {
    match code {
        // Canceled by statement_timeout; lock_timeout.
        "57014" | "55P03" => ErrorKind::Timeout,
        // A statement that was prepared before the table changed; undefined schema, table, column or function;
        // another type, another kind of thing.
        "0A000" | "3F000" | "42P01" | "42703" | "42883" | "42804" | "42809" => ErrorKind::SchemaMissing,
        // Serialization failure, deadlock: rolled back as a whole.
        "40001" | "40P01" => ErrorKind::Contended,
        // Too many connections.
        "53300" => ErrorKind::Overloaded,
        // Read-only transaction.
        "25006" => ErrorKind::Unavailable,
        // Insufficient privilege; statements that another client prepared; a setting that is unknown or has an
        // odd value.
        "42501" | "26000" | "42P05" | "42704" | "22023" => ErrorKind::Config,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        _ => match code.get(..2).unwrap_or_default() {
            // Connection, resources, operator's intervention, the system below.
            "08" | "53" | "57" | "58" => ErrorKind::Unavailable,
            // Who may connect, and to what.
            "28" | "3D" => ErrorKind::Config,
            "54" => ErrorKind::TooLarge,
            _ => ErrorKind::Internal,
        },
    }
}

/// The server's own words where they cannot quote a value of a row.
fn message(error: &PgDatabaseError) -> Option<String> {
    const HARMLESS: [&str; 11] = ["08", "25", "28", "3D", "3F", "40", "42", "53", "54", "57", "58"];
    let code = error.code();
    let harmless =
        matches!(code, "22023" | "55P03") || code.get(..2).is_some_and(|class| HARMLESS.contains(&class));
    harmless.then(|| error.message().replace(['\r', '\n'], " "))
}

/// What is told of an error of the server: never its detail, which quotes rows.
#[derive(Debug)]
struct ServerError {
    code: String,
    message: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (SQLSTATE {})", self.code),
            None => write!(f, "SQLSTATE {}", self.code),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_their_kinds() {
        for (code, expected) in [
            ("57014", ErrorKind::Timeout),
            ("55P03", ErrorKind::Timeout),
            ("42P01", ErrorKind::SchemaMissing),
            ("42703", ErrorKind::SchemaMissing),
            ("3F000", ErrorKind::SchemaMissing),
            ("0A000", ErrorKind::SchemaMissing),
            ("40001", ErrorKind::Contended),
            ("40P01", ErrorKind::Contended),
            ("53100", ErrorKind::Unavailable),
            ("53200", ErrorKind::Unavailable),
            ("53300", ErrorKind::Overloaded),
            ("25006", ErrorKind::Unavailable),
            ("57P01", ErrorKind::Unavailable),
            ("57P03", ErrorKind::Unavailable),
            ("08006", ErrorKind::Unavailable),
            ("58030", ErrorKind::Unavailable),
            ("28P01", ErrorKind::Config),
            ("28000", ErrorKind::Config),
            ("3D000", ErrorKind::Config),
            ("42501", ErrorKind::Config),
            ("22023", ErrorKind::Config),
            ("26000", ErrorKind::Config),
            ("54000", ErrorKind::TooLarge),
            ("XX001", ErrorKind::Corrupt),
            ("XX000", ErrorKind::Internal),
            ("23505", ErrorKind::Internal),
            ("P0001", ErrorKind::Internal),
            ("42601", ErrorKind::Internal),
            ("", ErrorKind::Internal),
            ("é", ErrorKind::Internal),
        ] {
            assert_eq!(kind(code), expected, "{code}");
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
