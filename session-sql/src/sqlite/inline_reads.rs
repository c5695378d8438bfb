//! Loads on the calling thread, as long as they are quick: handing one to another thread takes several times
//! as long as the read itself. What may take long goes to the reading threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use rusqlite::Connection;
use session_core::{ErrorKind, Result};

use super::error::Failure;
use super::queue::guarded;
use super::warmth::Warmth;

/// Connections that callers read with themselves.
#[derive(Debug)]
pub(super) struct InlineReads {
    connections: Vec<Mutex<Connection>>,
    /// Where the search for a free one starts.
    next: AtomicU32,
    warmth: Arc<Warmth>,
}

impl InlineReads {
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

    pub(super) fn free_connection(&self) -> Option<MutexGuard<'_, Connection>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        let count = self.connections.len();
        (0..count).find_map(|step| match self.connections[(start + step) % count].try_lock() {
            Ok(connection) => Some(connection),
            Err(TryLockError::Poisoned(connection)) => Some(connection.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_read_sends_the_next_ones_to_the_threads() {
        let inline = InlineReads::new(vec![Connection::open_in_memory().unwrap()]);
        assert!(inline.read(|_| Ok(())).is_none(), "nothing is known yet");
        inline.warmth.heat();
        assert!(inline.read(|_| Ok(())).is_some());
        inline.warmth.chill();
        assert!(inline.read(|_| Ok(())).is_none());
    }

    /// What `read` comes to while reads are taken for quick, however long the last one took.
    fn read_warm<T>(
        inline: &InlineReads,
        read: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Option<Result<T>> {
        inline.warmth.heat();
        inline.read(read)
    }

    #[test]
    fn what_would_have_to_be_waited_for_goes_to_the_threads() {
        let inline = InlineReads::new(vec![Connection::open_in_memory().unwrap()]);
        let fail = |kind: ErrorKind| move |_: &Connection| Err::<(), _>(Failure(kind.into()));
        assert!(read_warm(&inline, fail(ErrorKind::Timeout)).is_none());
        let failed = read_warm(&inline, fail(ErrorKind::Corrupt));
        assert_eq!(failed.unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
        let in_use = inline.free_connection().unwrap();
        assert!(read_warm(&inline, |_| Ok(())).is_none());
        drop(in_use);
        assert!(read_warm(&inline, |_| Ok(())).is_some());
    }

    #[test]
    fn a_panic_leaves_the_connection_in_use() {
        let inline = InlineReads::new(vec![Connection::open_in_memory().unwrap()]);
        let failed = read_warm(&inline, |_| -> Result<(), Failure> { panic!("on purpose") });
        assert_eq!(failed.unwrap().unwrap_err().kind(), ErrorKind::Internal);
        read_warm(&inline, |_| Ok(())).unwrap().unwrap();
    }
}
