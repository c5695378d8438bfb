//! Writes on the calling thread: one that is alone, on a quick disk that need not be flushed, takes a fraction of
//! what it takes to hand it to another thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use super::queue::Job;
use super::warmth::Warmth;
use super::writer::Writer;

/// The writer, for callers that find it idle.
#[derive(Debug)]
pub(super) struct InlineWrites {
    writer: Arc<Mutex<Writer>>,
    warmth: Arc<Warmth>,
    under_way: AtomicUsize,
}

/// What weighs more is copied too long for a thread that others wait for.
const HEAVIEST: usize = 16 << 10;

impl InlineWrites {
    /// `warmth` is told of what the thread writes.
    pub(super) fn new(writer: Arc<Mutex<Writer>>, warmth: Arc<Warmth>) -> Self {
        Self { writer, warmth, under_way: AtomicUsize::new(0) }
    }

    /// Counts a write as under way until the guard is dropped.
    pub(super) fn enter(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }
}

/// A write between its call and its answer.
pub(super) struct UnderWay<'a>(&'a InlineWrites);

impl UnderWay<'_> {
    /// Runs `job`, commits and answers, unless it should go to the thread: because others are under way, with which
    /// it can share a commit; because writes have not been quick of late; or because it would have to wait.
    pub(super) fn commit(&self, job: Job) -> Result<(), Job> {
        let Self(InlineWrites { writer, warmth, under_way }) = self;
        if under_way.load(Ordering::Relaxed) > 1 || !warmth.is_warm() || job.place().weight > HEAVIEST {
            return Err(job);
        }
        let mut writer = match writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(writer)) => writer.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(job),
        };
        warmth.timed(|| writer.commit_at_once(job))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::Connection;
    use session_core::{ErrorKind, Result};
    use tempfile::TempDir;

    use super::super::checkpoint::Checkpoints;
    use super::super::error::Failure;
    use super::super::lock_wait;
    use super::super::queue::{Answer, Place, Queue};
    use super::*;

    struct Site {
        writes: InlineWrites,
        queue: Queue,
        directory: TempDir,
    }

    const SMALL: Place = Place { id: None, weight: 1 };

    impl Site {
        /// On a file with a table `t`, where writes are taken for quick.
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let mut connection = Connection::open(directory.path().join("a.db")).unwrap();
            connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
            connection
                .execute_batch("PRAGMA foreign_keys = ON; CREATE TABLE t (n INTEGER PRIMARY KEY)")
                .unwrap();
            // Whatever refers to a number that is not there fails the commit, not the statement.
            let child = "CREATE TABLE child (n REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)";
            connection.execute_batch(child).unwrap();
            lock_wait::install(&mut connection).unwrap();
            let path = directory.path().join("a.db");
            let checkpoints = Checkpoints::start(path.clone(), Connection::open(path).unwrap()).unwrap();
            let writer = Arc::new(Mutex::new(Writer::new(connection, checkpoints)));
            let writes = InlineWrites::new(writer, Arc::default());
            writes.warmth.heat();
            Self { writes, queue: Queue::new(1, Duration::from_secs(60)).0, directory }
        }

        fn other(&self) -> Connection {
            Connection::open(self.directory.path().join("a.db")).unwrap()
        }

        fn insert(&self, place: Place, number: i64) -> (Job, Answer<()>) {
            let insert = move |connection: &Connection| -> Result<(), Failure> {
                Ok(connection.execute("INSERT INTO t VALUES (?1)", [number]).map(drop)?)
            };
            self.queue.call(place, insert)
        }

        /// Whether a write is done at once.
        fn accepts(&self, place: Place) -> bool {
            let (job, _answer) = self.insert(place, 7);
            let accepted = self.writes.enter().commit(job).is_ok();
            let stored = self.other().execute("DELETE FROM t WHERE n = 7", []).unwrap() == 1;
            assert_eq!(accepted, stored);
            accepted
        }
    }

    #[tokio::test]
    async fn a_write_alone_is_committed_and_answered_at_once() {
        let site = Site::new();
        let (job, answer) = site.insert(SMALL, 1);
        assert!(site.writes.enter().commit(job).is_ok());
        answer.outcome().await.unwrap();
        let stored: i64 = site.other().query_row("SELECT n FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(stored, 1);
    }

    #[tokio::test]
    async fn one_that_fails_leaves_nothing_behind() {
        let site = Site::new();
        let (job, answer) = site.queue.call(SMALL, |connection| -> Result<(), Failure> {
            connection.execute("INSERT INTO t VALUES (1)", [])?;
            panic!("on purpose")
        });
        assert!(site.writes.enter().commit(job).is_ok());
        assert_eq!(answer.outcome().await.unwrap_err().kind(), ErrorKind::Internal);
        // To panic is slow.
        site.writes.warmth.heat();
        assert!(site.accepts(SMALL));
        assert_eq!(site.other().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)), Ok(0));
    }

    #[test]
    fn what_can_share_a_commit_goes_to_the_thread() {
        let site = Site::new();
        let other = site.writes.enter();
        assert!(!site.accepts(SMALL));
        drop(other);
        assert!(site.accepts(SMALL));
    }

    #[tokio::test]
    async fn room_after_a_failed_commit_is_made_by_the_thread() {
        let site = Site::new();
        let log = site.directory.path().join("a.db-wal");
        let orphan = |connection: &Connection| Ok(connection.execute("INSERT INTO child VALUES (9)", [])?);
        let (job, answer) = site.queue.call(SMALL, orphan);
        assert!(site.writes.enter().commit(job).is_ok());
        assert_eq!(answer.outcome().await.unwrap_err().kind(), ErrorKind::Internal);
        assert!(log.metadata().unwrap().len() > 0, "to empty it takes a flush");
        site.writes.warmth.heat();
        assert!(!site.accepts(SMALL));
    }

    #[test]
    fn what_has_been_slow_of_late_or_may_be_goes_to_the_thread() {
        let site = Site::new();
        assert!(site.accepts(Place { id: None, weight: HEAVIEST }));
        assert!(!site.accepts(Place { id: None, weight: HEAVIEST + 1 }));
        site.writes.warmth.chill();
        assert!(!site.accepts(SMALL));
    }

    #[test]
    fn what_would_have_to_wait_goes_to_the_thread() {
        let site = Site::new();
        let other = site.other();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (job, _answer) = site.insert(SMALL, 1);
        assert!(site.writes.enter().commit(job).is_err(), "another connection holds the lock");
        other.execute_batch("ROLLBACK").unwrap();
        let in_use = site.writes.writer.lock().unwrap();
        let (job, _answer) = site.insert(SMALL, 1);
        assert!(site.writes.enter().commit(job).is_err(), "the thread writes");
        drop(in_use);
        assert!(site.accepts(SMALL));
    }
}
