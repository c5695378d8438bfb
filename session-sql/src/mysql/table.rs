//! The table's name with the database that it may be in.

use std::fmt;

use session_core::Result;

use crate::table_name::TableName;

/// `sessions`, in the connection's own database, or `web.sessions`. `Display` quotes both parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QualifiedName {
    database: Option<TableName>,
    name: TableName,
}

impl QualifiedName {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (database, name) = match text.split_once('.') {
            Some((database, name)) => (Some(TableName::parse(database)?), name),
            None => (None, text),
        };
        Ok(Self { database, name: TableName::parse(name)? })
    }

    /// The name without the database.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The database, where it is not the connection's own.
    pub(super) fn database(&self) -> Option<&str> {
        self.database.as_ref().map(TableName::as_str)
    }

    /// What goes before another name in the same database: `` `web`. ``, or nothing.
    pub(super) fn prefix(&self) -> String {
        self.database.as_ref().map(|database| format!("`{database}`.")).unwrap_or_default()
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}`{}`", self.prefix(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn both_parts_are_quoted() {
        for (text, quoted) in
            [("sessions", "`sessions`"), ("web.sessions", "`web`.`sessions`"), ("select", "`select`")]
        {
            assert_eq!(QualifiedName::parse(text).unwrap().to_string(), quoted);
        }
    }

    #[test]
    fn both_parts_are_checked() {
        for text in ["", ".", "a.", ".a", "a.b.c", "Web.sessions", "web.`s", "pg_catalog.s", "a .b"] {
            assert_eq!(QualifiedName::parse(text).unwrap_err().kind(), ErrorKind::Config, "{text}");
        }
    }
}
