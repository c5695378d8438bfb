//! Looks after the write-ahead log, in place of SQLite's own checkpoints: those make whoever commits copy all of a
//! long log to the database. Here a thread copies most of it beside the writes, and the writer the rest.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};
use session_core::Result;

use super::copier::Copier;
use super::error::Failure;
use super::lock_wait::wait_until;

/// A log of so many pages of the usual size, 62.5 MiB, is copied to the database: each page that is changed over and
/// over goes there once for all of it. With SQLite's default of 1000 the same load writes a multiple of that.
const LONG: usize = 16_000;

/// The usual size of a page.
const PAGE_BYTES: usize = 4096;

/// What the log says of each page.
const HEADER_BYTES: u32 = 24;

/// How many commits in a row try to have the log started anew. Somebody reads at most instants in a busy
/// application, and at few of them all the time.
const ATTEMPTS: u32 = 16;

/// A log that has grown to so many bytes was not started anew, because somebody was always reading it.
const LIMIT: u64 = 2 * MORE;

/// How much more a log may grow until the next attempt, if one fails.
const MORE: u64 = 64 << 20;

/// How long writes may wait for readers to leave the log.
const PATIENCE: Duration = Duration::from_millis(100);

/// Looks at the log's size once in so many commits.
const COMMITS: u32 = 16;

/// How long a disk is left alone on which no room could be made.
const PAUSE: Duration = Duration::from_secs(1);

/// The log of one database, as its writer looks after it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// `None` for a database in memory.
    log: Option<(PathBuf, Copier)>,
    /// About how many pages have been written since the log was started: SQLite does not tell.
    written: usize,
    /// How many of them make it long.
    long: usize,
    /// How many have to be written until it is copied: more than `long` if somebody read it and so kept it from
    /// being started anew.
    due: usize,
    /// What a page takes in the log, in bytes.
    frame: u64,
    /// Of the log's file, when it was looked at last. It grows only if the log fills it.
    length: u64,
    /// How many more commits try to copy the rest, once the thread has copied most.
    attempts: u32,
    commits: u32,
    limit: u64,
    /// The length of the log's file, if it was over the limit.
    too_long: Option<u64>,
    /// Whether the last commit could not be written.
    lacks_room: bool,
    no_room_since: Option<Instant>,
}

impl Checkpoints {
    /// Those of the database at `database`, which is no link to it; `connection` is to it, and not the writer's.
    pub(super) fn start(database: PathBuf, connection: Connection) -> Result<Self> {
        let mut log = database.into_os_string();
        log.push("-wal");
        let page: u32 = connection
            .query_row("PRAGMA page_size", [], |row| row.get(0))
            .map_err(|error| Failure::from(error).0)?;
        let (long, frame) = (LONG * PAGE_BYTES / page as usize, u64::from(page + HEADER_BYTES));
        let log = Some((log.into(), Copier::start(connection)?));
        Ok(Self { log, long, due: long, frame, ..Self::none() })
    }

    pub(super) fn none() -> Self {
        Self {
            log: None,
            written: 0,
            long: LONG,
            due: LONG,
            frame: u64::from(HEADER_BYTES),
            length: 0,
            attempts: 0,
            commits: 0,
            limit: LIMIT,
            too_long: None,
            lacks_room: false,
            no_room_since: None,
        }
    }

    /// Whether [`tend`](Self::tend) has something to do, or may have after the next commit, which may take its time.
    pub(super) fn are_due(&self) -> bool {
        self.written >= self.due || self.too_long.is_some() || self.lacks_room
    }

    /// To be called after each commit, with about how many pages it wrote. Takes no time.
    pub(super) fn after_commit(&mut self, pages: usize) {
        let Some((log, _)) = &self.log else { return };
        self.lacks_room = false;
        self.written += pages;
        self.commits = self.commits.wrapping_add(1);
        if self.commits.is_multiple_of(COMMITS) {
            let length = fs::metadata(log).map_or(0, |metadata| metadata.len());
            if length > self.length {
                let pages = usize::try_from(length / self.frame).unwrap_or(usize::MAX);
                self.written = self.written.max(pages);
            }
            self.length = length;
            self.too_long = (length > self.limit).then_some(length);
        }
    }

    /// To be called after a commit that could not be written.
    pub(super) fn after_failure(&mut self) {
        self.lacks_room = self.log.is_some();
    }

    /// Does what is due, where nobody minds that it takes its time. Never fails a commit: a log that is too long is
    /// still right.
    pub(super) fn tend(&mut self, connection: &Connection) {
        if self.lacks_room {
            return self.make_room(connection);
        }
        let Some((_, copier)) = &mut self.log else { return };
        if copier.take_done() {
            self.attempts = ATTEMPTS;
        }
        if self.attempts > 0 {
            self.start_anew(connection);
        } else if self.written >= self.due {
            copier.begin();
            // It cannot keep up: whoever writes has to leave it time.
            if self.too_long.is_some() {
                copier.wait();
                self.attempts = ATTEMPTS;
                self.start_anew(connection);
            }
        } else if let Some(length) = self.too_long.take() {
            self.empty(connection, length);
        }
    }

    /// Copies what is left, which is little: the next commit starts the log anew, unless it is being read just then.
    fn start_anew(&mut self, connection: &Connection) {
        self.attempts -= 1;
        match copy(connection) {
            Some(Copied { log, .. }) if log < self.long / 2 => {
                (self.attempts, self.written, self.due) = (0, log, self.long);
            }
            _ if self.attempts == 0 => self.due = self.written + self.long / 4,
            _ => {}
        }
    }

    /// Waits for readers.
    fn empty(&mut self, connection: &Connection, length: u64) {
        if empty_log(connection) {
            (self.written, self.due, self.limit) = (0, self.long, LIMIT);
        } else {
            self.limit = length + MORE;
            tracing::warn!(
                mebibytes = length >> 20,
                "a long read, or a slow disk, keeps the database's write-ahead log from being emptied"
            );
        }
    }

    /// Right after a commit that could not be written. The log may take the room that is missing: what is in it
    /// mostly replaces pages that the database has already.
    fn make_room(&mut self, connection: &Connection) {
        self.lacks_room = false;
        if self.no_room_since.is_none_or(|failed| failed.elapsed() >= PAUSE) {
            self.no_room_since = (!empty_log(connection)).then(Instant::now);
        }
    }
}

/// What a checkpoint has come to, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// The length of the log.
    pub(super) log: usize,
    /// How much of it is not in the database yet, because somebody reads what it would replace.
    pub(super) left: usize,
}

/// Copies what can be copied without waiting for anybody. `None` if somebody else is copying.
pub(super) fn copy(connection: &Connection) -> Option<Copied> {
    let copied = |row: &Row<'_>| {
        // It says -1 pages of what it has not come to see.
        let [log, copied] = [row.get::<_, i64>("log")?, row.get("checkpointed")?];
        let pages = |count: i64| usize::try_from(count).ok();
        Ok(pages(log).zip(pages(log - copied)).map(|(log, left)| Copied { log, left }))
    };
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], copied).ok()?
}

/// Copies all of the log to the database, waits until nobody reads from it, and cuts it off. Whether it did.
fn empty_log(connection: &Connection) -> bool {
    wait_until(Instant::now() + PATIENCE);
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    busy.is_ok_and(|busy| !busy)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::sqlite::lock_wait;

    /// A database with its writer, and a table that holds what [`Site::write`] has written last.
    struct Site {
        checkpoints: Checkpoints,
        writer: Connection,
        path: PathBuf,
        _directory: TempDir,
    }

    const MIB: u64 = 1 << 20;

    impl Site {
        /// With a log that is long at `long` pages and has its readers waited for at `limit` bytes.
        fn new(long: usize, limit: u64) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.db");
            let mut writer = connect(&path);
            writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
            writer.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, data)").unwrap();
            lock_wait::install(&mut writer).unwrap();
            let checkpoints = Checkpoints::start(path.clone(), connect(&path)).unwrap();
            let checkpoints = Checkpoints { long, due: long, limit, ..checkpoints };
            Self { checkpoints, writer, path, _directory: directory }
        }

        fn write(&mut self) {
            self.commit();
            self.checkpoints.tend(&self.writer);
        }

        fn commit(&mut self) {
            let rewrite = "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, randomblob(20000)); COMMIT";
            self.writer.execute_batch(rewrite).unwrap();
            self.checkpoints.after_commit(6);
        }

        /// Writes until `end`, or too often.
        fn write_until(&mut self, end: impl Fn(&Self) -> bool) {
            for _ in 0..20_000 {
                self.write();
                if end(self) {
                    return;
                }
            }
            panic!("never: {:?}", self.checkpoints);
        }

        fn length(&self) -> u64 {
            fs::metadata(self.path.with_extension("db-wal")).unwrap().len()
        }
    }

    fn connect(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).unwrap();
        connection
    }

    fn begin_reading(reader: &Connection) {
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    }

    #[test]
    fn a_log_is_not_copied_before_it_is_long() {
        let mut site = Site::new(LONG, LIMIT);
        (0..200).for_each(|_| site.write());
        assert!(site.length() > 1_000 * 4096, "SQLite's default would have started it anew");
        assert!(!site.checkpoints.are_due());
        assert!(fs::metadata(&site.path).unwrap().len() <= 4096, "nothing was copied");
    }

    #[test]
    fn a_long_log_is_copied_and_started_anew_and_not_cut_off() {
        let mut site = Site::new(300, u64::MAX);
        for _ in 0..3 {
            site.write_until(|site| site.checkpoints.are_due());
            site.write_until(|site| !site.checkpoints.are_due());
            assert!(site.checkpoints.written < 150 + 6, "{:?}", site.checkpoints);
            assert!(site.length() >= 300 * 4096, "a log that has to grow again is slow");
        }
        let length = site.length();
        site.write_until(|site| site.checkpoints.are_due());
        assert_eq!(site.length(), length, "it is written again from its beginning");
    }

    #[test]
    fn readers_that_take_turns_do_not_keep_the_log() {
        let mut site = Site::new(LONG, MIB);
        let (first, second) = (connect(&site.path), connect(&site.path));
        begin_reading(&first);
        // Somebody reads at all times, so that no commit finds the log to itself.
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    begin_reading(&second);
                    first.execute_batch("COMMIT").unwrap();
                    begin_reading(&first);
                    second.execute_batch("COMMIT").unwrap();
                }
            });
            site.write_until(|site| site.length() > MIB);
            site.write_until(|site| site.checkpoints.limit == LIMIT);
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_reader_that_stays_is_not_waited_for_again_and_again() {
        let mut site = Site::new(200, MIB);
        let reader = connect(&site.path);
        begin_reading(&reader);
        let started = Instant::now();
        site.write_until(|site| site.checkpoints.limit > MORE);
        assert!(started.elapsed() >= PATIENCE);
        assert!(site.checkpoints.limit > site.length(), "given up until the log has grown much more");
        reader.execute_batch("COMMIT").unwrap();
        site.checkpoints.limit = MIB;
        site.write_until(|site| site.length() < MIB);
        assert_eq!(site.checkpoints.limit, LIMIT, "which is the one of every database from then on");
    }

    #[test]
    fn a_log_that_somebody_else_copies_is_not_taken_for_empty() {
        let mut site = Site::new(LONG, LIMIT);
        (0..20).for_each(|_| site.write());
        // Holds the lock of those that copy, and waits for the one of those that write.
        let (lock, other) = (connect(&site.path), connect(&site.path));
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        other.busy_timeout(Duration::from_secs(60)).unwrap();
        thread::scope(|scope| {
            let is_busy = |row: &Row<'_>| row.get::<_, bool>("busy");
            scope
                .spawn(move || while other.query_row("PRAGMA wal_checkpoint(FULL)", [], is_busy).unwrap() {});
            while !site.writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], is_busy).unwrap() {
                thread::yield_now();
            }
            let copied = copy(&site.writer);
            lock.execute_batch("ROLLBACK").unwrap();
            assert_eq!(copied, None);
        });
        assert!(copy(&site.writer).unwrap().log > 0);
    }

    #[test]
    fn readers_are_not_waited_for_before_it_is_due() {
        let mut site = Site::new(LONG, MIB);
        let reader = connect(&site.path);
        begin_reading(&reader);
        while !site.checkpoints.are_due() {
            assert!(site.length() < 2 * MIB);
            assert_eq!(site.checkpoints.limit, MIB, "a caller's thread would have waited");
            site.commit();
        }
        site.write();
        assert!(site.checkpoints.limit > MORE);
        assert!(!site.checkpoints.are_due());
    }

    #[test]
    fn a_log_of_more_pages_than_were_counted_is_long_all_the_same() {
        let mut site = Site::new(300, u64::MAX);
        for _ in 0..3 {
            site.write_until(|site| site.checkpoints.are_due());
            site.write_until(|site| !site.checkpoints.are_due());
        }
        // Many times as much as is said to be written.
        let rewrite = "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, randomblob(100000)); COMMIT";
        for _ in 0..5 * COMMITS {
            site.writer.execute_batch(rewrite).unwrap();
            site.checkpoints.after_commit(1);
        }
        assert!(site.checkpoints.are_due(), "{:?}", site.checkpoints);
    }

    #[test]
    fn commits_may_go_on_for_ever() {
        let mut site = Site::new(LONG, LIMIT);
        site.checkpoints.commits = u32::MAX;
        site.write();
    }
}
