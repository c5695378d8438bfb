//! The one error type. Opaque, so that drivers can change what fails inside them, and
//! redacted, so that it may be logged: see [`Error`].

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with the verb of the store during which it did.
///
/// `Display` is one line and leaves out the [`source`](StdError::source); print the chain
/// for the whole story. Neither `Display` nor `Debug` ever holds a token, a session's values or a
/// password, and drivers must keep theirs out of what they pass as the source.
///
/// # HTTP
///
/// [`ErrorKind::http_status`] is the published mapping to status codes.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    operation: Option<Operation>,
    detail: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, caused by `source`.
    ///
    /// This is what drivers use; [`SessionManager`](crate::SessionManager) adds the operation.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::build(kind, None, Some(source.into()))
    }

    /// An error of `kind` that nothing else caused, explained by `detail`.
    ///
    /// `detail` is shown by `Display`: one line, without secrets, values or credentials.
    pub fn describe(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::build(kind, Some(detail.into()), None)
    }

    fn build(
        kind: ErrorKind,
        detail: Option<Cow<'static, str>>,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { inner: Box::new(Inner { kind, operation: None, detail, source }) }
    }

    /// The same error, with a line of explanation that `Display` shows.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.inner.detail = Some(detail.into());
        self
    }

    /// The same error, with the store's verb during which it happened.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.inner.operation = Some(operation);
        self
    }

    /// What kind of failure this is: the part that programs decide by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The verb of the store that failed, where it was one.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.inner.operation
    }

    /// Whether the same call may succeed a little later, with nothing changed by the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.inner.kind.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.inner.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{}", self.inner.kind)?;
        if let Some(detail) = &self.inner.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart field by field, so that a new field is shown or hidden on purpose.
        let Inner { kind, operation, detail, source } = &*self.inner;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", kind);
        if let Some(operation) = operation {
            debug.field("operation", operation);
        }
        if let Some(detail) = detail {
            debug.field("detail", detail);
        }
        if let Some(source) = source {
            // Its Display, not its Debug: a foreign Debug shows whatever its author liked.
            debug.field("source", &format_args!("{source}"));
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::build(kind, None, None)
    }
}

/// The verbs of a [`SessionBackend`](crate::SessionBackend), as they stand in errors and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`create`](crate::SessionBackend::create)
    Create,
    /// [`load`](crate::SessionBackend::load) and [`load_latest`](crate::SessionBackend::load_latest)
    Load,
    /// [`update`](crate::SessionBackend::update)
    Update,
    /// [`touch`](crate::SessionBackend::touch)
    Touch,
    /// [`delete`](crate::SessionBackend::delete)
    Delete,
    /// [`purge_expired`](crate::SessionBackend::purge_expired)
    PurgeExpired,
    /// [`list`](crate::SessionBackend::list)
    List,
}

impl Operation {
    /// The verb's name: `create`, `load`, ...
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Load => "load",
            Self::Update => "update",
            Self::Touch => "touch",
            Self::Delete => "delete",
            Self::PurgeExpired => "purge_expired",
            Self::List => "list",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kinds of [`Error`], each with its status code and whether a retry can help.
///
/// | kind | HTTP status | retryable |
/// |---|---|---|
/// | `Unavailable`, `Timeout`, `Overloaded`, `Contended` | 503 | yes |
/// | `Conflict`, `Stale`, `Gone` | 409 | no |
/// | `TooLarge` | 413 | no |
/// | `LimitReached` | 403 | no |
/// | every other | 500 | no |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached, or refuses to work at the moment. If the connection was lost on the way, it
    /// may have acted.
    Unavailable,
    /// The store did not answer in time; whether it acted is unknown.
    Timeout,
    /// A bounded queue or pool is full; nothing was begun.
    Overloaded,
    /// Other writers of the same session won again and again until the time was up.
    Contended,
    /// Another request changed what this change rests on, so that it cannot be replayed.
    Conflict,
    /// The token that this request came with has been replaced meanwhile; nothing was written.
    Stale,
    /// The session was destroyed, revoked or has expired meanwhile; nothing was written.
    Gone,
    /// The session was committed; `reload` it before changing it again.
    AlreadyCommitted,
    /// An earlier attempt has an unknown outcome that can no longer be found out.
    Indeterminate,
    /// What is stored cannot be read; it was left as it is.
    Corrupt,
    /// What is stored was written by a newer version; it was left as it is.
    UnknownFormat,
    /// The session, a path, a principal or the nesting is over its limit; nothing was written.
    TooLarge,
    /// The principal has as many sessions as it may have.
    LimitReached,
    /// The path leads through a value that has no members, or is not a path.
    PathConflict,
    /// The value cannot be written as JSON.
    Encode,
    /// The stored value is not of the type that was asked for.
    Decode,
    /// The store has no table for sessions yet, or one of another shape.
    SchemaMissing,
    /// This driver does not have this verb.
    Unsupported,
    /// The configuration cannot work: a URL, an option, a name.
    Config,
    /// None of the above: the generator of ids failed, a task panicked.
    Internal,
}

impl ErrorKind {
    /// The status code that an HTTP layer answers with.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Unavailable | Self::Timeout | Self::Overloaded | Self::Contended => 503,
            Self::Conflict | Self::Stale | Self::Gone => 409,
            Self::TooLarge => 413,
            Self::LimitReached => 403,
            Self::AlreadyCommitted
            | Self::Indeterminate
            | Self::Corrupt
            | Self::UnknownFormat
            | Self::PathConflict
            | Self::Encode
            | Self::Decode
            | Self::SchemaMissing
            | Self::Unsupported
            | Self::Config
            | Self::Internal => 500,
        }
    }

    /// Whether the same call may succeed a little later, with nothing changed by the caller.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.http_status() == 503
    }

    /// Whether a verb that fails so has not changed the store and never will: see
    /// [`SessionBackend`](crate::SessionBackend#errors).
    pub(crate) fn means_nothing_was_begun(self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::Config | Self::SchemaMissing | Self::TooLarge | Self::Unsupported
        )
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "the session store is unavailable",
            Self::Timeout => "the session store did not answer in time",
            Self::Overloaded => "too many session operations are waiting",
            Self::Contended => "too many requests change this session at once",
            Self::Conflict => "another request changed the same part of the session",
            Self::Stale => "the session's token has been replaced meanwhile",
            Self::Gone => "the session has ended meanwhile",
            Self::AlreadyCommitted => "the session has been committed already",
            Self::Indeterminate => "the outcome of an earlier attempt is unknown",
            Self::Corrupt => "the stored session is damaged",
            Self::UnknownFormat => "the stored session was written by a newer version",
            Self::TooLarge => "the session is over its limit",
            Self::LimitReached => "the principal has reached its number of sessions",
            Self::PathConflict => "the path does not fit the session's values",
            Self::Encode => "the value cannot be encoded",
            Self::Decode => "the value is not of the type asked for",
            Self::SchemaMissing => "the session table is missing or has another shape",
            Self::Unsupported => "this session store cannot do that",
            Self::Config => "the session configuration cannot work",
            Self::Internal => "internal error in the session library",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_and_leaves_the_source_out() {
        let error = Error::new(ErrorKind::Unavailable, std::io::Error::other("socket closed"))
            .with_operation(Operation::Load);
        assert_eq!(error.to_string(), "load: the session store is unavailable");
        assert_eq!(error.source().unwrap().to_string(), "socket closed");
        assert!(error.is_retryable());
    }

    #[test]
    fn detail_is_shown() {
        let error = Error::describe(ErrorKind::Config, "unknown option `tabel`");
        assert_eq!(error.to_string(), "the session configuration cannot work: unknown option `tabel`");
    }
}
