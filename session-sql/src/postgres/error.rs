//! From Postgres's errors to the kinds of the contract, by SQLSTATE.

use std::fmt;

use session_core::ErrorKind;
use sqlx::postgres::PgDatabaseError;

use crate::batching::Remedy;
use crate::server::{CHANGED, Failure};

/// What an error of the server means.
pub(crate) fn failure(error: &PgDatabaseError) -> Failure {
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
    let failure = Failure::caused(kind, source).with_detail(detail).with_remedy(remedy(code));
    if spoils_connection { failure.spoiling() } else { failure }
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
    }
}
