//! The queue in which writers of one session wait for each other once they have met.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::{Error, ErrorKind, Result, SessionId};

/// Striped fair locks by session id, for this process.
///
/// Nobody waits here before a first conflict, so a session with one writer never pays. From then on the
/// writers of this process go one after the other, which bounds each to a few attempts; without
/// it some of fifty would lose dozens of times.
#[derive(Debug)]
pub(crate) struct Contention {
    stripes: Box<[Arc<Mutex<()>>]>,
}

/// A writer's turn: others of this process wait until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Whether others wrote meanwhile, so that what this writer knows of the session is old.
    pub(crate) waited: bool,
    _guard: OwnedMutexGuard<()>,
}

const STRIPES: usize = 256;

impl Contention {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect() }
    }

    /// Waits for a turn until `deadline`.
    ///
    /// # Errors
    ///
    /// [`Contended`](ErrorKind::Contended) when it has come.
    pub(crate) async fn turn(&self, id: SessionId, deadline: Instant) -> Result<Turn> {
        // Ids are random: any byte of them spreads evenly.
        let stripe = &self.stripes[usize::from(id.as_bytes()[0]) % STRIPES];
        if let Ok(guard) = Arc::clone(stripe).try_lock_owned() {
            return Ok(Turn { waited: false, _guard: guard });
        }
        let guard = tokio::time::timeout_at(deadline, Arc::clone(stripe).lock_owned())
            .await
            .map_err(|_elapsed| Error::from(ErrorKind::Contended))?;
        Ok(Turn { waited: true, _guard: guard })
    }
}
