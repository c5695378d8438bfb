//! From the server's errors to the kinds of the contract, by its error numbers: its SQLSTATE is too coarse.

use std::fmt;

use session_core::ErrorKind;
use sqlx::mysql::MySqlDatabaseError;

use crate::batching::Remedy;
use crate::server::{CHANGED, Failure};

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

/// What an error of the server means.
pub(crate) fn failure(error: &MySqlDatabaseError) -> Failure {
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
    // With some the server ends the connection; another's prepared statements stay unfit as long as it lives; a server
    // that takes no writes any more has a successor, which only a new connection finds.
    let spoils_connection =
        matches!(number, 1053 | 1152..=1161 | 1184 | 1243 | 1290 | 1615 | 1792 | 1836 | 1927 | 4031);
    let failure = Failure::caused(kind, source).with_detail(detail).with_remedy(remedy(number));
    if spoils_connection { failure.spoiling() } else { failure }
}

/// What may help after a statement that the server has rolled back and said so.
fn remedy(number: u16) -> Remedy {
    match number {
        // Deadlock, or a conflict within a cluster; a record that has changed since the snapshot.
        1213 | 1020 | 3101 => Remedy::Again,
        // A lock that somebody holds on one of the rows.
        1205 => Remedy::HeldLast,
        // The data itself, a constraint (3819 of MySQL, 4025 of MariaDB), a trigger, a limit, damage: it is one of the
        // rows, or some.
        1022 | 1048 | 1062 | 1118 | 1162 | 1264 | 1292 | 1301 | 1364 | 1366 | 1406 | 1451 | 1452 | 1644
        | 1690 | 3819 | 4025 | 1034 | 1194 | 1195 | 1712 | 1877 => Remedy::Singly,
        _ => Remedy::None,
    }
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
    fn only_what_was_rolled_back_is_done_again() {
        for (number, expected) in [
            (1213, Remedy::Again),
            (1020, Remedy::Again),
            (3101, Remedy::Again),
            (1205, Remedy::HeldLast),
            (1062, Remedy::Singly),
            (1406, Remedy::Singly),
            (1644, Remedy::Singly),
            (3819, Remedy::Singly),
            (4025, Remedy::Singly),
            (1712, Remedy::Singly),
            // All rows alike, or with an outcome that nobody knows.
            (1146, Remedy::None),
            (1153, Remedy::None),
            (1290, Remedy::None),
            (1317, Remedy::None),
            (1969, Remedy::None),
            (1053, Remedy::None),
            (0, Remedy::None),
        ] {
            assert_eq!(remedy(number), expected, "{number}");
        }
    }
}
