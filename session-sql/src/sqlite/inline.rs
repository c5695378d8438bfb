//! Loads on the calling thread, as long as they are quick: handing one to another thread takes several times
//! as long as the read itself. What may take long goes to the reading threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use session_core::{ErrorKind, Result};

use super::error::Failure;
use super::queue::guarded;

/// Connections that callers read with themselves.
#[derive(Debug)]
pub(super) struct Inline {
    connections: Vec<Mutex<Connection>>,
    /// Where the search for a free one starts.
    next: AtomicU32,
    warmth: Arc<Warmth>,
}

impl Inline {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let connections = connections.into_iter().map(Mutex::new).collect();
        Self { connections, next: AtomicU32::new(0), warmth: Arc::default() }
    }

    /// To be told of what threads read.
    pub(super) fn warmth(&self) -> Arc<Warmth> {
        Arc::clone(&self.warmth)
    }

    /// What `read` comes to, unless it should go to a thread: because reads have not been quick of late, all
    /// connections are in use, or a lock would have to be waited for.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Option<Result<T>> {
        if !self.warmth.is_warm() {
            return None;
        }
        let connection = self.free_connection()?;
        let outcome = self.warmth.timed(|| guarded(|| read(&connection)));
        match outcome {
            Err(error) if error.kind() == ErrorKind::Timeout => None,
            outcome => Some(outcome),
        }
    }

    fn free_connection(&self) -> Option<MutexGuard<'_, Connection>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        let count = self.connections.len();
        (0..count).find_map(|step| match self.connections[(start + step) % count].try_lock() {
            Ok(connection) => Some(connection),
            Err(TryLockError::Poisoned(connection)) => Some(connection.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }
}

/// Whether reads are served from memory, by how long they take: the operating system does not say beforehand.
///
/// One slow read is enough to send the next ones to the threads, until [`QUICK_READS`] in a row were quick
/// there. So a database that is read from the disk again and again makes a caller wait for the disk at most
/// once in that many reads.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    /// Quick reads in a row, up to what it takes.
    quick: AtomicU32,
}

const QUICK_READS: u32 = 32;

/// Several times what a read from memory takes, and less than reading a few pages from most disks does.
const SLOW: Duration = Duration::from_micros(500);

impl Warmth {
    pub(super) fn is_warm(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_READS
    }

    /// Runs `read` and counts it.
    pub(super) fn timed<T>(&self, read: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = read();
        self.note(started.elapsed());
        outcome
    }

    fn note(&self, elapsed: Duration) {
        if elapsed > SLOW {
            self.quick.store(0, Ordering::Relaxed);
        } else if !self.is_warm() {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }
}
