//! The backend: sends each verb to a thread that may wait for the disk, but for loads that will not have to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Error, ErrorKind, Listing, Principal, Purged, Record, Result,
    Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};
use tokio::task::coop::consume_budget;

use crate::config::{FileConfig, FileExecution};
use crate::purge::MOST_FILES;
use crate::store::Store;
use crate::threads::{Threads, Turn, run_once};
use crate::verbs::Loaded;
use crate::warmth::Warmth;

/// Sessions in a directory of files. Clones share its threads.
///
/// What it guarantees and where it ends stands in the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct FileBackend {
    store: Arc<Store>,
    threads: Threads,
    /// `None`: loads run on threads only.
    warmth: Option<Arc<Warmth>>,
}

impl FileBackend {
    /// Opens the directory at `path`, with the defaults of [`FileConfig::new`]: it is made if it is missing.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::connect(FileConfig::new(path)).await
    }

    /// Opens the directory that `config` describes.
    ///
    /// # Errors
    ///
    /// - [`Config`](ErrorKind::Config): the path is that of something else or of a symbolic link, its parent does
    ///   not exist, or it does not and may not be created; the path is no path, being too long or with a zero byte;
    ///   the directory belongs to another user, or others may write in it; a duration or a count is out of its limits.
    /// - [`Unavailable`](ErrorKind::Unavailable): the directory cannot be made, opened or written.
    pub async fn connect(config: FileConfig) -> Result<Self> {
        let patience = config.busy_timeout;
        if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&patience) {
            let detail = format!("a busy timeout of {patience:?}; at least 1 ms, at most an hour");
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        if config.threads.get() > MOST_THREADS {
            let detail = format!("{} threads; at most {MOST_THREADS}", config.threads);
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        if config.queue_capacity.get() > MOST_WAITING {
            let detail = format!("a queue of {}; at most {MOST_WAITING}", config.queue_capacity);
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        let (threads, capacity) = (config.threads, config.queue_capacity);
        let warmth = (config.execution == FileExecution::WhereQuick).then(Arc::default);
        let store = run_once(move || Store::open(&config)).await?;
        let threads = Threads::start(threads, capacity, patience)?;
        Ok(Self { store: Arc::new(store), threads, warmth })
    }

    async fn run<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Store, Turn<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        self.threads.run(move |turn| verb(&store, turn)).await
    }
}

#[async_trait]
impl SessionBackend for FileBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.run(move |store, turn| store.create(id, &record, now, turn.deadline)).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        if let Some(warmth) = &self.warmth
            && warmth.is_warm()
        {
            let outcome = match warmth.timed(|| self.store.load_unlocked(id, now)) {
                Ok(Loaded::Whole(record)) => Some(Ok(record)),
                Ok(Loaded::HalfWritten) => None,
                // It may be half-written too: that takes the lock to find out.
                Err(error) if error.kind() == ErrorKind::Corrupt => None,
                Err(error) => Some(Err(error)),
            };
            if let Some(outcome) = outcome {
                // A load that is ready at once must not keep its task from yielding now and then.
                consume_budget().await;
                return outcome;
            }
        }
        let warmth = self.warmth.clone();
        let load = move |store: &Store, turn: Turn<'_>| {
            let load = || store.load(id, now, turn.deadline);
            warmth.as_ref().map_or_else(load, |warmth| warmth.timed(load))
        };
        self.run(load).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let store = Arc::clone(&self.store);
        self.threads.run_with_rest(move |turn| store.update(id, expected, &record, now, turn.deadline)).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.run(move |store, turn| store.touch(id, expires_at, now, turn.deadline)).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.run(move |store, turn| store.delete(id, expected, now, turn.deadline)).await
    }

    /// Holds the lock of a shard for 64 files at a time. Stops after 50,000 files, and says that there is more; the
    /// next call goes on there. A dropped call stops by itself.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        self.run(move |store, turn| store.purge(now, limit, MOST_FILES, turn)).await
    }

    /// Ascending by id. Leaves damaged files out, with a warning for each. A page ends early at 4 MiB of payload.
    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let principal = principal.cloned();
        let after = after.map(|cursor| cursor.session_id()).transpose()?;
        self.run(move |store, turn| store.list(principal.as_ref(), after, limit, now, turn)).await
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);
const MOST_THREADS: usize = 1024;
/// The queue takes its memory at once.
const MOST_WAITING: usize = 1 << 20;

#[cfg(test)]
mod tests;
