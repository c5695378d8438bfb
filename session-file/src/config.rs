//! What a file backend can be told, with the default and the cost of each choice.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use session_core::Durability;

/// Where the directory is, and how to treat it.
///
/// ```
/// use session_core::Durability;
/// use session_file::FileConfig;
///
/// let config = FileConfig::new("/var/lib/shop/sessions").with_durability(Durability::PowerLoss);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileConfig {
    /// The directory. No default. Its parent must exist; a relative path counts from the working directory at
    /// the time of connecting.
    pub path: PathBuf,

    /// What an acknowledged write survives. Default [`Durability::ProcessCrash`].
    /// [`Durability::PowerLoss`] costs two flushes to the disk for each write, and a third where a session gets
    /// its principal.
    pub durability: Durability,

    /// How long a verb waits for its turn: in the queue, and for the lock of a shard that another process
    /// holds. Default 4 s; at least 1 ms, at most an hour. Keep it clearly below the manager's `store_timeout`,
    /// 5 s by default: then it is the driver that gives up, and knows that nothing was written.
    pub busy_timeout: Duration,

    /// How many verbs may wait for a thread before further ones are `Overloaded`. Default 1024, at most 1,048,576;
    /// costs the memory of the records that wait.
    pub queue_capacity: NonZeroUsize,

    /// Threads that wait for the disk. Default 16, at most 1024. With more of them more flushes go to the disk at once,
    /// and share what the file system writes for each.
    pub threads: NonZeroUsize,

    /// Where loads run. Default [`FileExecution::WhereQuick`].
    pub execution: FileExecution,

    /// Whether to create the directory if there is none. Default `true`; its parent is never made. With `false` a
    /// path with nothing there is an error, not an empty store; in an empty directory a store begins either way.
    pub create_if_missing: bool,
}

/// Where loads run. Everything else runs on threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileExecution {
    /// On the calling thread as long as that is quick, which it is while the operating system has the files in its
    /// memory. A load that took longer than 250 µs sends the next ones to the backend's threads, until 32 in a row
    /// were quick there. The default: several times as fast as a thread's answer. Costs the calling thread some
    /// microseconds each, and a wait for the disk at most once in 33 loads.
    #[default]
    WhereQuick,
    /// On the backend's threads, always: the calling thread never waits for the disk. For slow disks and more
    /// sessions than the machine's memory holds.
    OnThreads,
}

impl FileConfig {
    /// The directory at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(4),
            queue_capacity: NonZeroUsize::MIN.saturating_add(1023),
            threads: NonZeroUsize::MIN.saturating_add(15),
            execution: FileExecution::default(),
            create_if_missing: true,
        }
    }

    /// Replaces [`durability`](Self::durability).
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Replaces [`busy_timeout`](Self::busy_timeout).
    #[must_use]
    pub fn with_busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// Replaces [`queue_capacity`](Self::queue_capacity).
    #[must_use]
    pub fn with_queue_capacity(mut self, queue_capacity: NonZeroUsize) -> Self {
        self.queue_capacity = queue_capacity;
        self
    }

    /// Replaces [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Replaces [`execution`](Self::execution).
    #[must_use]
    pub fn with_execution(mut self, execution: FileExecution) -> Self {
        self.execution = execution;
        self
    }

    /// Replaces [`create_if_missing`](Self::create_if_missing).
    #[must_use]
    pub fn with_create_if_missing(mut self, create_if_missing: bool) -> Self {
        self.create_if_missing = create_if_missing;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_documented() {
        let config = FileConfig::new("x");
        assert_eq!(config.durability, Durability::ProcessCrash);
        assert_eq!(config.busy_timeout, Duration::from_secs(4));
        assert_eq!((config.queue_capacity.get(), config.threads.get()), (1024, 16));
        assert_eq!(config.execution, FileExecution::WhereQuick);
        assert!(config.create_if_missing);
    }
}
