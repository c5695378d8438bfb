//! What goes wrong on the way to a server, and with what it says: the dialects know their codes.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;

use session_core::{Error, ErrorKind};
use sqlx::error::DatabaseError;

use crate::batching::{Fault, Remedy};

/// What went wrong in a piece of work on a connection, where `?` takes sqlx's errors too. It may concern several
/// callers, each of whom gets an [`Error`] of it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    detail: Option<Cow<'static, str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// Whether the connection is better closed than used again.
    pub(crate) spoils_connection: bool,
    remedy: Remedy,
}

impl Failure {
    /// A failure that nothing else caused.
    pub(crate) fn describe(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = Some(detail.into());
        Self { kind, detail, source: None, spoils_connection: false, remedy: Remedy::None }
    }

    /// One that `source` is the cause of.
    pub(crate) fn caused(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::of(kind, Arc::new(source))
    }

    fn of(kind: ErrorKind, source: Arc<dyn StdError + Send + Sync>) -> Self {
        Self { kind, detail: None, source: Some(source), spoils_connection: false, remedy: Remedy::None }
    }

    /// The same, with what the driver has to say of it.
    pub(crate) fn with_detail(self, detail: Option<&'static str>) -> Self {
        Self { detail: detail.map(Cow::Borrowed), ..self }
    }

    /// The same, with what may help.
    pub(crate) fn with_remedy(self, remedy: Remedy) -> Self {
        Self { remedy, ..self }
    }

    /// The same, after which the connection is not used again.
    pub(crate) fn spoiling(self) -> Self {
        Self { spoils_connection: true, ..self }
    }

    /// For one of the callers that it concerns.
    pub(crate) fn error(&self) -> Error {
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
pub(crate) fn from_connecting(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Failure::caused(ErrorKind::Config, error)
        }
        error => error.into(),
    }
}

/// The same for the first of all connections. One over the network reads files for TLS alone: those of these options.
pub(crate) fn from_first_connecting(error: sqlx::Error, over_network: bool, options: &str) -> Failure {
    match error {
        sqlx::Error::Io(error) if over_network && is_of_a_file(error.kind()) => {
            let reason = format!("a file of {options} cannot be read: {error}");
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
            E::Database(error) => return from_server(&*error),
            E::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Self::caused(ErrorKind::Timeout, error)
            }
            E::Io(error) => Self::caused(ErrorKind::Unavailable, error),
            E::Tls(error) => Self::of(ErrorKind::Config, error.into()),
            // Their text may quote what was read.
            E::Configuration(_) => Self::describe(
                ErrorKind::Config,
                "the connection's options cannot be used, or the account's password needs TLS",
            ),
            E::Protocol(_) => {
                Self::describe(ErrorKind::Unavailable, "the server broke the rules of its protocol")
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

/// What the server itself has said.
fn from_server(error: &dyn DatabaseError) -> Failure {
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref() {
        return crate::mysql::failure(error);
    }
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref() {
        return crate::postgres::failure(error);
    }
    misused()
}

fn misused() -> Failure {
    Failure::describe(ErrorKind::Internal, "sqlx was misused")
}

/// Why a table is not as it should be once it was.
pub(crate) const CHANGED: &str = "the table has gone or changed since connecting; connect again with `auto_migrate`, call \
                                  the backend's `migrate`, or run the output of `schema_sql`";

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

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
        assert_eq!(failure.remedy, Remedy::None);
        assert!(!Failure::describe(ErrorKind::Corrupt, "").spoils_connection);
    }

    #[test]
    fn every_caller_gets_the_whole_error() {
        let failure = Failure::caused(ErrorKind::Timeout, fmt::Error).with_detail(Some("because"));
        for error in [failure.error(), failure.error()] {
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.to_string().contains("because"), "{error}");
            assert_eq!(error.source().unwrap().to_string(), fmt::Error.to_string());
        }
    }
}
