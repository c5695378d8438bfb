//! What several clients asked and were told, and when: the material of the checker, in readable lines.

use std::fmt;

use session_core::SessionId;

use super::call::{Answer, Call};

/// A call of one client with the ticks of a clock that all clients share: each tick is dealt out once, in
/// the order of time.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) client: usize,
    pub(crate) call: Call,
    /// Drawn before the driver was called.
    pub(crate) invoked: u64,
    /// Drawn after it had answered; [`PENDING`] while it has not.
    pub(crate) returned: u64,
    /// `None` while the driver has not answered: the call may take effect, or may not.
    pub(crate) answer: Option<Answer>,
}

pub(crate) const PENDING: u64 = u64::MAX;

impl Event {
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.invoked < other.returned && other.invoked < self.returned
    }

    /// The same call, not answered yet.
    pub(crate) fn pending(&self) -> Self {
        Self { returned: PENDING, answer: None, ..self.clone() }
    }
}

/// Some calls, in the order of their beginning, as a report shows them.
pub(crate) struct History<'a>(pub(crate) &'a [Event]);

impl fmt::Display for History<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids: Vec<SessionId> = Vec::new();
        for Event { client, call, invoked, returned, answer } in self.0 {
            let known = ids.iter().position(|id| *id == call.id);
            let id = known.unwrap_or_else(|| {
                ids.push(call.id);
                ids.len() - 1
            });
            let returned = if *returned == PENDING { "..".to_owned() } else { returned.to_string() };
            write!(f, "    client {client}, tick {invoked:>2} to {returned:>2}: session {id}, {call} -> ")?;
            match answer {
                Some(answer) => writeln!(f, "{answer}")?,
                None => writeln!(f, "not answered yet")?,
            }
        }
        Ok(())
    }
}
