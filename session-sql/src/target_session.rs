//! What a server must be like for sessions to go there.

use std::str::FromStr;

/// Which servers connections may go to: `target_session_attrs` in URLs, as libpq names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetSession {
    /// Those that take writes (`read-write`): neither a replica nor one that is read-only by its settings. Costs a
    /// question for each new connection.
    ReadWrite,
    /// Every server that lets the driver in (`any`). Writes fail on one that takes none, and what a replica answers
    /// may be old: a session that has ended still looks alive.
    Any,
}

impl FromStr for TargetSession {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "read-write" => Ok(Self::ReadWrite),
            "any" => Ok(Self::Any),
            _ => Err(()),
        }
    }
}
