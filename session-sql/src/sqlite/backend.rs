//! The backend: sends each verb to the thread that may run it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Error, ErrorKind, Listing, Principal, Purged, Record, Result,
    Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};

use super::config::SqliteConfig;
use super::error::Failure;
use super::open::{Opened, open};
use super::verbs::Verbs;
use super::worker::{Workers, run_once};
use crate::table_name::TableName;

/// Sessions in a SQLite database. Clones share its connections.
///
/// What it guarantees and where it ends stands in the [module's documentation](super).
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    writer: Workers,
    readers: Workers,
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
    ///   created; its file system cannot do WAL; the table's name or a duration is out of its limits.
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
        let verbs = Arc::new(Verbs::new(&table));
        let Opened { writer, readers } = run_once(move || open(&config, &table)).await?;
        if readers.is_empty() {
            let (only, _) = Workers::start(vec![writer], Vec::new(), capacity, patience)?;
            return Ok(Self { writer: only.clone(), readers: only, verbs });
        }
        let (readers, threads) = Workers::start(readers, Vec::new(), capacity, patience)?;
        // SQLite tidies up when the last connection closes, and does not if several close at once.
        let (writer, _) = Workers::start(vec![writer], threads, capacity, patience)?;
        Ok(Self { writer, readers, verbs })
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

    async fn read<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Verbs, &Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let verbs = Arc::clone(&self.verbs);
        self.readers.run(move |connection| verb(&verbs, connection)).await
    }

    /// Runs `verb` in a transaction that holds the write lock from its beginning.
    async fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Verbs, &Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let verbs = Arc::clone(&self.verbs);
        self.writer
            .run(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let outcome = verb(&verbs, &transaction)?;
                transaction.commit()?;
                Ok(outcome)
            })
            .await
    }
}

#[async_trait]
impl SessionBackend for SqliteBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.write(move |verbs, connection| verbs.create(connection, id, &record, now)).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.read(move |verbs, connection| verbs.find(connection, id, now)).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.write(move |verbs, connection| verbs.update(connection, id, expected, &record, now)).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.write(move |verbs, connection| verbs.touch(connection, id, expires_at, now)).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.write(move |verbs, connection| verbs.delete(connection, id, expected, now)).await
    }

    /// In transactions of at most 500 rows each, so that other writers take their turns in between.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        if limit == 0 {
            return Ok(Purged::default());
        }
        let mut removed = 0;
        while removed < limit {
            let chunk = (limit - removed).min(PURGE_CHUNK);
            let count = self.write(move |verbs, connection| verbs.purge(connection, now, chunk)).await?;
            removed += count;
            if count < chunk {
                return Ok(Purged::new(removed as u64, false));
            }
        }
        Ok(Purged::new(removed as u64, true))
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
        self.read(move |verbs, connection| verbs.list(connection, principal.as_ref(), after, limit, now))
            .await
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

const PURGE_CHUNK: usize = 500;

#[cfg(test)]
mod tests;
