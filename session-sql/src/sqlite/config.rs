//! What a SQLite backend can be told, with the default and the cost of each choice.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use session_core::Durability;

/// Where the database is, and how to treat it.
///
/// ```
/// use session_core::Durability;
/// use session_sql::sqlite::SqliteConfig;
///
/// let config = SqliteConfig::new("/var/lib/shop/sessions.db")
///     .with_table("shop_sessions")
///     .with_durability(Durability::PowerLoss);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The database file, or memory. No default.
    pub location: SqliteLocation,

    /// The table. Default `sessions`; at most 48 lower-case ASCII letters, digits and underscores.
    /// Applications that share a file take different names.
    pub table: String,

    /// What an acknowledged write survives. Default [`Durability::ProcessCrash`] (`synchronous = NORMAL`).
    /// [`Durability::PowerLoss`] (`synchronous = FULL`) costs one flush to the disk for each write.
    pub durability: Durability,

    /// How long a verb waits for its turn: in the queue, and for locks of other connections. Default 4 s;
    /// at least 1 ms, at most an hour. A long one keeps callers waiting on a database that another
    /// process holds; a short one fails under bursts. Keep it clearly below the manager's `store_timeout`,
    /// 5 s by default: then it is the driver that gives up, and knows that nothing was written.
    pub busy_timeout: Duration,

    /// How many verbs may wait for the writer, and as many for the readers, before further ones are
    /// `Overloaded`. Default 1024, at most 1,048,576; costs the memory of the records that wait.
    pub queue_capacity: NonZeroUsize,

    /// Threads that read, each with a connection of its own, and as many connections for loads on the calling
    /// thread. Default: one per core, at least 2, so that a load need not wait for a list, and at most 4.
    /// Each connection costs a page cache of up to 2 MiB. A database in memory has none: its one
    /// connection reads and writes.
    pub readers: NonZeroUsize,

    /// Where loads and writes run. Default [`SqliteExecution::WhereQuick`].
    pub execution: SqliteExecution,

    /// Whether to create the database file if there is none. Default `true`. Directories are never made.
    /// `false` makes a misspelt path an error instead of an empty store.
    pub create_if_missing: bool,

    /// Whether connecting makes what is missing of the table, its indexes and its view. Default `true`; costs
    /// nothing when they are there. With `false` connecting to a database without them is
    /// `SchemaMissing`. A database in memory is always made ready.
    pub auto_migrate: bool,
}

/// Where a SQLite database is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqliteLocation {
    /// A file. A relative path counts from the working directory at the time of connecting.
    File(PathBuf),
    /// Memory: lost with the last clone of the backend.
    Memory,
}

/// Where loads and writes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqliteExecution {
    /// On the calling thread as long as that is quick, which it is while the operating system has the
    /// file in its memory. A load that took longer than 250 µs sends the next ones to the backend's
    /// threads, until 32 in a row were quick there; so do locks, and as many loads at once as there are
    /// connections. The same holds for a write of up to 16 KiB while no other is under way, at
    /// [`ProcessCrash`](Durability::ProcessCrash): its commit goes to the operating system, not to the disk. The
    /// default: several times as fast as a thread's answer. Costs the calling thread some microseconds each,
    /// and a wait for the disk at most once in 33 loads or writes.
    #[default]
    WhereQuick,
    /// On the backend's threads, always: the calling thread never waits for the disk. For files on
    /// slow disks that are much larger than memory.
    OnThreads,
}

impl SqliteConfig {
    /// The database in the file at `path`; `:memory:` means memory, as everywhere in SQLite.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        if path == Path::new(":memory:") {
            return Self::in_memory();
        }
        Self::at(SqliteLocation::File(path.to_owned()))
    }

    /// A fresh database in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::at(SqliteLocation::Memory)
    }

    fn at(location: SqliteLocation) -> Self {
        Self {
            location,
            table: "sessions".to_owned(),
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(4),
            queue_capacity: NonZeroUsize::MIN.saturating_add(1023),
            readers: available_parallelism()
                .map_or(FEWEST_READERS, |cores| cores.clamp(FEWEST_READERS, MOST_READERS)),
            execution: SqliteExecution::default(),
            create_if_missing: true,
            auto_migrate: true,
        }
    }

    /// Replaces [`table`](Self::table).
    #[must_use]
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
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

    /// Replaces [`readers`](Self::readers).
    #[must_use]
    pub fn with_readers(mut self, readers: NonZeroUsize) -> Self {
        self.readers = readers;
        self
    }

    /// Replaces [`execution`](Self::execution).
    #[must_use]
    pub fn with_execution(mut self, execution: SqliteExecution) -> Self {
        self.execution = execution;
        self
    }

    /// Replaces [`create_if_missing`](Self::create_if_missing).
    #[must_use]
    pub fn with_create_if_missing(mut self, create_if_missing: bool) -> Self {
        self.create_if_missing = create_if_missing;
        self
    }

    /// Replaces [`auto_migrate`](Self::auto_migrate).
    #[must_use]
    pub fn with_auto_migrate(mut self, auto_migrate: bool) -> Self {
        self.auto_migrate = auto_migrate;
        self
    }
}

const FEWEST_READERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const MOST_READERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_its_usual_name() {
        assert_eq!(SqliteConfig::new(":memory:").location, SqliteLocation::Memory);
        assert_eq!(SqliteConfig::new("x.db").location, SqliteLocation::File("x.db".into()));
    }

    #[test]
    fn defaults_are_those_documented() {
        let config = SqliteConfig::new("x.db");
        assert_eq!(config.table, "sessions");
        assert_eq!(config.durability, Durability::ProcessCrash);
        assert_eq!(config.busy_timeout, Duration::from_secs(4));
        assert_eq!(config.queue_capacity.get(), 1024);
        assert!((2..=4).contains(&config.readers.get()));
        assert_eq!(config.execution, SqliteExecution::WhereQuick);
        assert!(config.create_if_missing && config.auto_migrate);
    }
}
