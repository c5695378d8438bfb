//! The backend: sends each verb to the thread that may run it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Durability, Error, ErrorKind, Listing, Principal, Purged, Record,
    Result, Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};

use super::config::{SqliteConfig, SqliteExecution, SqliteLocation};
use super::error::Failure;
use super::inline_reads::InlineReads;
use super::inline_writes::InlineWrites;
use super::open::{Opened, open};
use super::queue::{Place, Queue};
use super::readers;
use super::thread::run_once;
use super::verbs::Verbs;
use super::warmth::Warmth;
use super::writer::{self, BATCH_BYTES, Writer};
use tokio::task::coop::consume_budget;

use crate::table_name::TableName;

/// Sessions in a SQLite database. Clones share its connections.
///
/// What it guarantees and where it ends stands in the [module's documentation](super).
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    shared: Arc<Shared>,
}

/// In this order they end: the writer's connection is the last to close, which is when SQLite tidies up.
#[derive(Debug)]
struct Shared {
    inline_reads: Option<InlineReads>,
    inline_writes: Option<InlineWrites>,
    readers: Queue,
    writer: Queue,
    verbs: Arc<Verbs>,
}

impl SqliteBackend {
    /// Opens the database file at `path`, with the defaults of [`SqliteConfig::new`]: the file and the table
    /// are made if they are missing.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::connect(SqliteConfig::new(path)).await
    }

    /// Opens the database that `config` describes.
    ///
    /// Finds out at once whether it can be written and whether the table is as it should be.
    ///
    /// # Errors
    ///
    /// - [`Config`](ErrorKind::Config): the file's directory does not exist, or the file, and it may not be
    ///   created; its file system cannot do WAL; the table's name, a duration or a count is out of its limits.
    /// - [`SchemaMissing`](ErrorKind::SchemaMissing): a table of that name has other columns; or it is
    ///   not complete, and `auto_migrate` is off.
    /// - [`Unavailable`](ErrorKind::Unavailable): the file cannot be opened or written.
    /// - [`Timeout`](ErrorKind::Timeout): another connection held a lock until `busy_timeout` was over.
    /// - [`Corrupt`](ErrorKind::Corrupt): the file is not a SQLite database, or a damaged one.
    pub async fn connect(config: SqliteConfig) -> Result<Self> {
        let table = TableName::parse(&config.table)?;
        let (patience, capacity) = (config.busy_timeout, config.queue_capacity.get());
        if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&patience) {
            let detail = format!("a busy timeout of {patience:?}; at least 1 ms, at most an hour");
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        if capacity > MOST_WAITING {
            let detail = format!("a queue of {capacity}; at most {MOST_WAITING}");
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        let verbs = Arc::new(Verbs::new(&table));
        // A commit that survives a power cut waits for the disk each time.
        let writes_inline = config.execution == SqliteExecution::WhereQuick
            && config.durability == Durability::ProcessCrash
            && config.location != SqliteLocation::Memory;
        let Opened { writer, checkpoints, readers, inline } = run_once(move || open(&config, &table)).await?;
        let (writes, jobs) = Queue::new(capacity, patience);
        let (threads, reads) = if readers.is_empty() {
            (Vec::new(), writes.clone())
        } else {
            let (reads, jobs) = Queue::new(capacity, patience);
            (readers::start(readers, &jobs)?, reads)
        };
        let (writer, warmth) =
            (Arc::new(Mutex::new(Writer::new(writer, checkpoints))), Arc::<Warmth>::default());
        writer::start(Arc::clone(&writer), Arc::clone(&warmth), jobs, threads)?;
        let inline_reads = (!inline.is_empty()).then(|| InlineReads::new(inline));
        let inline_writes = writes_inline.then(|| InlineWrites::new(writer, warmth));
        let shared = Shared { inline_reads, inline_writes, readers: reads, writer: writes, verbs };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes the file, the table, its indexes and its view where they are missing; all there, it changes
    /// nothing. For deployments that connect with [`auto_migrate`](SqliteConfig::auto_migrate) off.
    ///
    /// Any number of processes may do it at the same time.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn migrate(config: SqliteConfig) -> Result<()> {
        Self::connect(config.with_auto_migrate(true)).await.map(drop)
    }

    /// Runs `verb` in a transaction that holds the write lock from its beginning, along with others.
    async fn write<T: Send + 'static>(
        &self,
        place: Place,
        verb: impl Fn(&Verbs, &Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let Shared { inline_writes, writer, verbs, .. } = &*self.shared;
        let verbs = Arc::clone(verbs);
        let (job, answer) = writer.call(place, move |connection| verb(&verbs, connection));
        let under_way = inline_writes.as_ref().map(InlineWrites::enter);
        let for_the_thread = match &under_way {
            Some(under_way) => under_way.commit(job).err(),
            None => Some(job),
        };
        let Some(job) = for_the_thread else {
            drop(under_way);
            // As for a load.
            consume_budget().await;
            return answer.outcome().await;
        };
        writer.send(job)?;
        answer.outcome().await
    }
}

#[async_trait]
impl SessionBackend for SqliteBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let place = storing(id, &record);
        self.write(place, move |verbs, connection| verbs.create(connection, id, &record, now)).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let Shared { inline_reads, readers, verbs, .. } = &*self.shared;
        if let Some(inline) = inline_reads
            && let Some(outcome) = inline.read(|connection| verbs.find(connection, id, now))
        {
            // A load that is ready at once must not keep its task from yielding now and then.
            consume_budget().await;
            return outcome;
        }
        let (verbs, warmth) = (Arc::clone(verbs), inline_reads.as_ref().map(InlineReads::warmth));
        readers
            .run(about(id), move |connection| {
                let find = || verbs.find(connection, id, now);
                warmth.as_ref().map_or_else(find, |warmth| warmth.timed(find))
            })
            .await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let place = storing(id, &record);
        self.write(place, move |verbs, connection| verbs.update(connection, id, expected, &record, now)).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.write(about(id), move |verbs, connection| verbs.touch(connection, id, expires_at, now)).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.write(about(id), move |verbs, connection| verbs.delete(connection, id, expected, now)).await
    }

    /// In transactions of at most 500 rows each, so that other writers take their turns in between. May remove
    /// fewer than `limit`, even none, and say that there is more: the rows of sessions that have been used since
    /// they were first to expire count as well, and are not looked at again before they expire.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        if limit == 0 {
            return Ok(Purged::default());
        }
        let (mut removed, mut left) = (0, limit);
        while left > 0 {
            let chunk = left.min(PURGE_CHUNK);
            let purged =
                self.write(MANY, move |verbs, connection| verbs.purge(connection, now, chunk)).await?;
            removed += purged.removed;
            if !purged.more {
                return Ok(Purged::new(removed, false));
            }
            left -= chunk;
        }
        Ok(Purged::new(removed, true))
    }

    /// Leaves damaged rows out, with a warning for each. A page ends early at 4 MiB of payload.
    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let principal = principal.cloned();
        let after = after.map(|cursor| cursor.session_id()).transpose()?;
        let verbs = Arc::clone(&self.shared.verbs);
        self.shared
            .readers
            .run(MANY, move |connection| verbs.list(connection, principal.as_ref(), after, limit, now))
            .await
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// A queue takes its memory at once.
const MOST_WAITING: usize = 1 << 20;

const PURGE_CHUNK: usize = 500;

/// About what a row and its places in the indexes take beside the record's contents.
const ROW_BYTES: usize = 256;

/// A verb over many sessions: the last of its batch.
const MANY: Place = Place { id: None, weight: BATCH_BYTES };

fn about(id: SessionId) -> Place {
    Place { id: Some(id), weight: ROW_BYTES }
}

fn storing(id: SessionId, record: &Record) -> Place {
    Place { id: Some(id), weight: ROW_BYTES + record.meta.len() + record.data.len() }
}

#[cfg(test)]
mod tests;
