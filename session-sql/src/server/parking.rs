//! Connections that were in use a moment ago. To give one back to the pool costs a round trip, which for a verb of
//! one statement is as much as the verb.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long a connection stays here unused, at least; at most twice as long.
const STAY: Duration = Duration::from_millis(500);

/// After how long in use a connection goes back to the pool, which ends those that have lived too long.
const ABSENCE: Duration = Duration::from_secs(60);

/// A connection out of the pool.
pub(super) struct Borrowed<DB: Database> {
    pub(super) connection: PoolConnection<DB>,
    /// When the pool was asked for it: where it leads was decided after that.
    pub(super) since: Instant,
}

impl<DB: Database> Borrowed<DB> {
    /// Waits until the pool has one.
    pub(super) async fn ask(pool: &Pool<DB>) -> Result<Self, sqlx::Error> {
        let since = Instant::now();
        Ok(Self { connection: pool.acquire().await?, since })
    }
}

/// The connections of one pool that wait for their next use. While any does, a task watches them.
pub(super) struct Parking<DB: Database>(Mutex<State<DB>>);

struct State<DB: Database> {
    parked: Vec<(Borrowed<DB>, Instant)>,
    /// How many wait for the pool to lend one.
    seekers: usize,
    is_watched: bool,
    /// Where connections live: sqlx drops none outside of a runtime, be it one that has ended.
    home: Option<Handle>,
}

/// Somebody who waits for the pool: as long as anybody does, what comes back goes there.
pub(super) struct Seeker<'a, DB: Database>(&'a Parking<DB>);

impl<DB: Database> Default for Parking<DB> {
    fn default() -> Self {
        Self(Mutex::new(State { parked: Vec::new(), seekers: 0, is_watched: false, home: None }))
    }
}

impl<DB: Database> Parking<DB> {
    /// The connection that was used last, or the word that the pool is asked.
    pub(super) fn take(&self) -> Result<Borrowed<DB>, Seeker<'_, DB>> {
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
    pub(super) fn put(self: &Arc<Self>, connection: Borrowed<DB>) {
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

    fn lock(&self) -> MutexGuard<'_, State<DB>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<DB: Database> Drop for Parking<DB> {
    fn drop(&mut self) {
        let mut state = self.lock();
        let parked = std::mem::take(&mut state.parked);
        let _at_home = state.home.as_ref().map(Handle::enter);
        drop(parked);
    }
}

impl<DB: Database> Drop for Seeker<'_, DB> {
    fn drop(&mut self) {
        self.0.lock().seekers -= 1;
    }
}
