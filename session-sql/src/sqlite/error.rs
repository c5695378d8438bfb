//! From SQLite's errors to the kinds of the contract. Only the code goes on: SQLite's messages may quote
//! SQL, and what a conversion failed on may be a session's data.

use std::error::Error as StdError;

use rusqlite::ffi;
use session_core::{Error, ErrorKind};

/// An [`Error`] on its way out of a piece of work on a connection, where `?` takes rusqlite's errors too.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(&error)
    }
}

impl Failure {
    /// For an error that several callers hear of.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        Self(match sqlite_error(error) {
            Some(code) => from_code(code, says_schema_is_missing(error)),
            // Anything else is a mistake of this crate, like a wrong number of parameters.
            None => Error::describe(ErrorKind::Internal, "rusqlite was misused"),
        })
    }
}

/// What a verb hears whose commit failed with `error`. Parts of the transaction may have reached the disk by
/// then, so it is never a kind that says that nothing was changed.
pub(super) fn failed_commit(error: &rusqlite::Error) -> Error {
    let Failure(failure) = Failure::of(error);
    match failure.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout => failure,
        _ => match sqlite_error(error) {
            Some(code) => Error::new(ErrorKind::Internal, code),
            None => Error::from(ErrorKind::Internal),
        },
    }
}

/// SQLite's own error inside one of rusqlite's, of which several variants carry one.
pub(super) fn sqlite_error(error: &rusqlite::Error) -> Option<ffi::Error> {
    error.source()?.downcast_ref().copied()
}

/// Whether an insert met a row with the same key.
pub(super) fn is_duplicate_key(error: &rusqlite::Error) -> bool {
    sqlite_error(error).is_some_and(|error| {
        matches!(error.extended_code, ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE)
    })
}

/// Whether another connection is in the way.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    sqlite_error(error).is_some_and(|error| {
        matches!(error.code, ffi::ErrorCode::DatabaseBusy | ffi::ErrorCode::DatabaseLocked)
    })
}

/// SQLite has no code for a missing table or column, only these words.
fn says_schema_is_missing(error: &rusqlite::Error) -> bool {
    let message = error.to_string();
    ["no such table", "no such column", "has no column named"].iter().any(|words| message.contains(words))
}

fn from_code(error: ffi::Error, schema_is_missing: bool) -> Error {
    if error.code == ffi::ErrorCode::Unknown && schema_is_missing {
        return Error::new(ErrorKind::SchemaMissing, error).with_detail(
            "the table has gone or changed since connecting; connect again with `auto_migrate`, call \
             `SqliteBackend::migrate`, or run the output of `schema_sql`",
        );
    }
    Error::new(kind(error.code), error)
}

fn kind(code: ffi::ErrorCode) -> ErrorKind {
    use ffi::ErrorCode as Code;
    match code {
        Code::DatabaseBusy | Code::DatabaseLocked => ErrorKind::Timeout,
        Code::PermissionDenied
        | Code::OutOfMemory
        | Code::ReadOnly
        | Code::OperationInterrupted
        | Code::SystemIoFailure
        | Code::DiskFull
        | Code::CannotOpen
        // What the race of several processes for recovering one WAL comes down to.
        | Code::FileLockingProtocolFailed => ErrorKind::Unavailable,
        Code::DatabaseCorrupt | Code::NotADatabase => ErrorKind::Corrupt,
        Code::TooBig => ErrorKind::TooLarge,
        // Reported once SQLite has prepared a statement again and again against a changing schema.
        Code::SchemaChanged => ErrorKind::SchemaMissing,
        Code::InternalMalfunction
        | Code::OperationAborted
        | Code::NotFound
        // Not a duplicate key: a trigger or a constraint that somebody has added.
        | Code::ConstraintViolation
        | Code::TypeMismatch
        | Code::ApiMisuse
        | Code::NoLargeFileSupport
        | Code::AuthorizationForStatementDenied
        | Code::ParameterOutOfRange
        | Code::Unknown => ErrorKind::Internal,
        // The enum may grow; what nobody has thought about is not a promise that a retry helps.
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(code: i32) -> Error {
        Failure::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("canary".to_owned()))).0
    }

    #[test]
    fn every_primary_code_has_its_kind() {
        let kinds = [
            (ffi::SQLITE_ERROR, ErrorKind::Internal),
            (ffi::SQLITE_INTERNAL, ErrorKind::Internal),
            (ffi::SQLITE_PERM, ErrorKind::Unavailable),
            (ffi::SQLITE_ABORT, ErrorKind::Internal),
            (ffi::SQLITE_BUSY, ErrorKind::Timeout),
            (ffi::SQLITE_LOCKED, ErrorKind::Timeout),
            (ffi::SQLITE_NOMEM, ErrorKind::Unavailable),
            (ffi::SQLITE_READONLY, ErrorKind::Unavailable),
            (ffi::SQLITE_INTERRUPT, ErrorKind::Unavailable),
            (ffi::SQLITE_IOERR, ErrorKind::Unavailable),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt),
            (ffi::SQLITE_NOTFOUND, ErrorKind::Internal),
            (ffi::SQLITE_FULL, ErrorKind::Unavailable),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Unavailable),
            (ffi::SQLITE_PROTOCOL, ErrorKind::Unavailable),
            (ffi::SQLITE_SCHEMA, ErrorKind::SchemaMissing),
            (ffi::SQLITE_TOOBIG, ErrorKind::TooLarge),
            (ffi::SQLITE_CONSTRAINT, ErrorKind::Internal),
            (ffi::SQLITE_MISMATCH, ErrorKind::Internal),
            (ffi::SQLITE_MISUSE, ErrorKind::Internal),
            (ffi::SQLITE_NOLFS, ErrorKind::Internal),
            (ffi::SQLITE_AUTH, ErrorKind::Internal),
            (ffi::SQLITE_RANGE, ErrorKind::Internal),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupt),
            // Extended codes have the kind of their primary one.
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Timeout),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Unavailable),
            (ffi::SQLITE_READONLY_DBMOVED, ErrorKind::Unavailable),
        ];
        for (code, kind) in kinds {
            assert_eq!(converted(code).kind(), kind, "{code}");
        }
    }

    #[test]
    fn messages_of_sqlite_do_not_get_out() {
        let error = converted(ffi::SQLITE_FULL);
        let chain = format!("{error} {error:?} {}", error.source().unwrap());
        assert!(!chain.contains("canary"), "{chain}");
        assert!(chain.contains("full"), "{chain}");
    }

    #[test]
    fn values_of_conversions_do_not_get_out() {
        let inner = "canary".parse::<i64>().unwrap_err();
        let error =
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(inner));
        let error = Failure::from(error).0;
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.source().is_none());
    }

    #[test]
    fn a_missing_table_says_what_to_run() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for sql in ["SELECT a FROM b", "INSERT INTO b (a) VALUES (1)"] {
            let error = Failure::from(connection.prepare(sql).unwrap_err()).0;
            assert_eq!(error.kind(), ErrorKind::SchemaMissing);
            assert!(error.to_string().contains("migrate"), "{error}");
        }
        connection.execute_batch("CREATE TABLE b (c)").unwrap();
        for sql in ["SELECT a FROM b", "INSERT INTO b (a) VALUES (1)"] {
            let error = Failure::from(connection.prepare(sql).unwrap_err()).0;
            assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{sql}");
        }
        let error = Failure::from(connection.prepare("SELEC 1").unwrap_err()).0;
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
