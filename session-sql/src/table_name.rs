//! The name of the table that holds the sessions: parsed once, for every dialect.

use std::fmt;

use session_core::{Error, ErrorKind, Result};

/// A name that is safe in every dialect, quoted or not.
///
/// Lower case only: SQLite ignores case in names, Postgres does not when they are quoted, and MySQL leaves it
/// to the file system, so that `Sessions` and `sessions` would be one table here and two there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName(String);

/// Leaves room for the suffixes of indexes below the 63 bytes that Postgres keeps of a name.
const MAX_LEN: usize = 48;

impl TableName {
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let is_word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let is_reserved = name.starts_with("sqlite_") || name.starts_with("pg_");
        if starts_well && is_word && !is_reserved && name.len() <= MAX_LEN {
            return Ok(Self(name.to_owned()));
        }
        let shown: String = name.chars().take(MAX_LEN).collect();
        Err(Error::describe(
            ErrorKind::Config,
            format!(
                "{shown:?} cannot be the session table's name: at most {MAX_LEN} lower-case letters, digits and \
                 underscores, not a digit first, nor `sqlite_` or `pg_`"
            ),
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names() {
        for name in ["sessions", "s", "_", "app2_sessions", "select", &"a".repeat(MAX_LEN)] {
            assert_eq!(TableName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in [
            "",
            "1st",
            "Sessions",
            "a b",
            "a.b",
            "a-b",
            "sessions;",
            "a\"b",
            "a`b",
            "a'b",
            "a]b",
            "a\0b",
            "a\nb",
            "a%",
            "a*",
            "sessions\" (id); DROP TABLE users; --",
            "séances",
            "ѕessions",
            "sqlite_master",
            "pg_class",
            &"a".repeat(MAX_LEN + 1),
            &"'".repeat(100_000),
        ] {
            let error = TableName::parse(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{name:?}");
            let text = error.to_string();
            assert!(!text.contains(['\n', '\0']) && text.len() < 400, "{text}");
        }
    }
}
