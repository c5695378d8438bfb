//! From sqlx's errors to the kinds of the contract, by SQLSTATE.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use session_core::{Error, ErrorKind};
use sqlx::postgres::PgDatabaseError;

use crate::batching::{Fault, Remedy};

/// What went wrong in a piece of work on a connection, where `?` takes sqlx's errors too. It may concern several
/// callers, each of whom gets an [`Error`] of it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    detail: Option<Cow<'static, str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// Whether the connection is better closed than used again.
    pub(super) spoils_connection: bool,
    remedy: Remedy,
}

impl Failure {
    /// A failure that nothing else caused.
    pub(super) fn describe(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = Some(detail.into());
        Self { kind, detail, source: None, spoils_connection: false, remedy: Remedy::None }
    }

    fn caused(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::of(kind, Arc::new(source))
    }

    fn of(kind: ErrorKind, source: Arc<dyn StdError + Send + Sync>) -> Self {
        Self { kind, detail: None, source: Some(source), spoils_connection: false, remedy: Remedy::None }
    }

    /// The same, after which the connection is not used again.
    pub(super) fn spoiling(self) -> Self {
        Self { spoils_connection: true, ..self }
    }

    /// For one of the callers that it concerns.
    pub(super) fn error(&self) -> Error {
        match (&self.source, &self.detail) {
            (None, None) => self.kind.into(),
            (None, Some(detail)) => Error::describe(self.kind, detail.clone()),
            (Some(source), None) => Error::new(self.kind, Arc::clone(source)),
            (Some(source), Some(detail)) => {
                Error::new(self.kind, Arc::clone(source)).with_detail(detail.clone())
            }
        }
    }
}

impl Fault for Failure {
    fn error(&self) -> Error {
        self.error()
    }

    fn remedy(&self) -> Remedy {
        self.remedy
    }

    fn spoils_connection(&self) -> bool {
        self.spoils_connection
    }
}

/// The failure of a connection that could not be made: data that TLS does not accept is the certificate, as sqlx
/// passes it on. Once a statement was sent, the same may come of a damaged reply to one that has taken effect.
pub(super) fn from_connecting(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Failure::caused(ErrorKind::Config, error)
        }
        error => error.into(),
    }
}

/// The same for the first of all connections. One over the network reads files for TLS alone.
pub(super) fn from_first_connecting(error: sqlx::Error, over_network: bool) -> Failure {
    match error {
        sqlx::Error::Io(error) if over_network && is_of_a_file(error.kind()) => {
            let reason = format!("a file of `sslrootcert`, `sslcert` or `sslkey` cannot be read: {error}");
            Failure::caused(ErrorKind::Config, std::io::Error::new(error.kind(), reason))
        }
        error => from_connecting(error),
    }
}

fn is_of_a_file(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as K;
    matches!(kind, K::NotFound | K::PermissionDenied | K::IsADirectory | K::NotADirectory)
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let failure = match error {
            E::Database(error) => {
                return match error.try_downcast::<PgDatabaseError>() {
                    Ok(error) => from_server(&error),
                    Err(_) => misused(),
                };
            }
            E::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Self::caused(ErrorKind::Timeout, error)
            }
            E::Io(error) => Self::caused(ErrorKind::Unavailable, error),
            E::Tls(error) => Self::of(ErrorKind::Config, error.into()),
            // Their text may quote what was read.
            E::Configuration(_) => {
                Self::describe(ErrorKind::Config, "the connection's options cannot be used")
            }
            E::Protocol(_) => {
                Self::describe(ErrorKind::Unavailable, "the server broke the rules of Postgres's protocol")
            }
            E::PoolTimedOut => {
                Self::describe(ErrorKind::Unavailable, "no connection to the server could be made in time")
            }
            E::PoolClosed => Self::describe(ErrorKind::Unavailable, "the pool of connections was closed"),
            // A column has another type by now, or another place.
            E::TypeNotFound { .. }
            | E::ColumnIndexOutOfBounds { .. }
            | E::ColumnNotFound(_)
            | E::ColumnDecode { .. }
            | E::Decode(_) => Self::describe(ErrorKind::SchemaMissing, CHANGED),
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
        failure.spoiling()
    }
}

fn misused() -> Failure {
    Failure::describe(ErrorKind::Internal, "sqlx was misused")
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
    // A prepared statement that no longer fits stays unfit as long as its connection lives; a server that takes no
    // writes any more has a successor, which only a new connection finds; with 57P the server ends it.
    let spoils_connection = matches!(code, "0A000" | "25006" | "26000" | "42P05") || code.starts_with("57P");
    let detail = detail.map(Cow::Borrowed);
    Failure { detail, spoils_connection, remedy: remedy(code), ..Failure::caused(kind, source) }
}

/// What may help after a statement that the server has rolled back as a whole and said so.
fn remedy(code: &str) -> Remedy {
    match code {
        // Serialization failure, deadlock.
        "40001" | "40P01" => Remedy::Again,
        // A lock that somebody holds on one of the rows.
        "55P03" => Remedy::HeldLast,
        // One that is damaged.
        "XX001" | "XX002" => Remedy::Singly,
        _ => match code.get(..2).unwrap_or_default() {
            // The data itself, a constraint, a trigger, a limit: it is one of the rows, or some.
            "22" | "23" | "54" | "P0" => Remedy::Singly,
            _ => Remedy::None,
        },
    }
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
            let error = Failure::from(error).error();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("canary"), "{shown}");
            assert!(std::error::Error::source(&error).is_none());
        }
    }

    #[test]
    fn a_broken_connection_is_not_used_again() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let failure = Failure::from(broken);
        assert_eq!(failure.error().kind(), ErrorKind::Unavailable);
        assert!(failure.spoils_connection);
        assert!(!Failure::describe(ErrorKind::Corrupt, "").spoils_connection);
    }

    #[test]
    fn only_what_was_rolled_back_is_done_again() {
        for (code, expected) in [
            ("40001", Remedy::Again),
            ("40P01", Remedy::Again),
            ("22021", Remedy::Singly),
            ("23514", Remedy::Singly),
            ("54000", Remedy::Singly),
            ("55P03", Remedy::HeldLast),
            ("P0001", Remedy::Singly),
            ("XX001", Remedy::Singly),
            // All rows alike, or with an outcome that nobody knows.
            ("08006", Remedy::None),
            ("42P01", Remedy::None),
            ("25006", Remedy::None),
            ("40003", Remedy::None),
            ("53100", Remedy::None),
            ("57014", Remedy::None),
            ("57P01", Remedy::None),
            ("", Remedy::None),
        ] {
            assert_eq!(remedy(code), expected, "{code}");
        }
        assert_eq!(Failure::from(sqlx::Error::PoolTimedOut).remedy, Remedy::None);
    }

    #[test]
    fn every_caller_gets_the_whole_error() {
        let failure =
            Failure { detail: Some("because".into()), ..Failure::caused(ErrorKind::Timeout, fmt::Error) };
        for error in [failure.error(), failure.error()] {
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.to_string().contains("because"), "{error}");
            assert_eq!(error.source().unwrap().to_string(), fmt::Error.to_string());
        }
    }
}
