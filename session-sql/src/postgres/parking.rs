//! Connections that were in use a moment ago. To give one back to the pool costs a round trip, which for a verb of
//! one statement is as much as the verb.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long a connection stays here unused, at least; at most twice as long.
const STAY: Duration = Duration::from_millis(500);

/// After how long in use a connection goes back to the pool, which ends those that have lived too long.
const ABSENCE: Duration = Duration::from_secs(60);

/// A connection out of the pool.
pub(super) struct Borrowed {
    pub(super) connection: PoolConnection<Postgres>,
    pub(super) since: Instant,
}

impl Borrowed {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, since: Instant::now() }
    }
}

/// The connections of one pool that wait for their next use. While any does, a task watches them.
#[derive(Default)]
pub(super) struct Parking(Mutex<State>);

#[derive(Default)]
struct State {
    parked: Vec<(Borrowed, Instant)>,
    /// How many wait for the pool to lend one.
    seekers: usize,
    is_watched: bool,
    /// Where connections live: sqlx drops none outside of a runtime, be it one that has ended.
    home: Option<Handle>,
}

/// Somebody who waits for the pool: as long as anybody does, what comes back goes there.
pub(super) struct Seeker<'a>(&'a Parking);

impl Parking {
    /// The connection that was used last, or the word that the pool is asked.
    pub(super) fn take(&self) -> Result<Borrowed, Seeker<'_>> {
        let mut state = self.lock();
        match state.parked.pop() {
            Some((connection, _)) => Ok(connection),
            None => {
                state.seekers += 1;
                Err(Seeker(self))
            }
        }
    }

    /// Keeps a connection for its next use. To be called on the runtime where connections live.
    pub(super) fn put(self: &Arc<Self>, connection: Borrowed) {
        let mut state = self.lock();
        if state.seekers > 0 || connection.since.elapsed() > ABSENCE {
            drop(state);
            return drop(connection);
        }
        state.parked.push((connection, Instant::now()));
        state.home.get_or_insert_with(Handle::current);
        if !state.is_watched {
            state.is_watched = true;
            drop(state);
            tokio::spawn(Arc::clone(self).watch());
        }
    }

    /// Gives back to the pool what nobody uses, until there is nothing left.
    async fn watch(self: Arc<Self>) {
        loop {
            sleep(STAY).await;
            let mut state = self.lock();
            let unused: Vec<_> = state.parked.extract_if(.., |(_, since)| since.elapsed() >= STAY).collect();
            state.is_watched = !state.parked.is_empty();
            let is_over = !state.is_watched;
            drop(state);
            drop(unused);
            if is_over {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Parking {
    fn drop(&mut self) {
        let mut state = self.lock();
        let parked = std::mem::take(&mut state.parked);
        let _at_home = state.home.as_ref().map(Handle::enter);
        drop(parked);
    }
}

impl Drop for Seeker<'_> {
    fn drop(&mut self) {
        self.0.lock().seekers -= 1;
    }
}
