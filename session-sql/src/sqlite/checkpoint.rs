//! Looks after the write-ahead log where SQLite's own checkpoints do not: when readers keep it from being
//! started anew, and when there is no room for more of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::lock_wait::wait_until;

/// SQLite checkpoints when a commit finds this many pages in the log, 62.5 MiB: each page that is changed over
/// and over goes to the database once for all of it. With its default of 1000 the same load writes a
/// multiple of that.
pub(super) const AUTOMATIC_PAGES: u32 = 16_000;

/// A log that has grown to this was not started anew after a checkpoint, because somebody was always reading it.
const LIMIT: u64 = 2 * STEP;

/// How much more a log may grow until the next attempt, if one fails.
const STEP: u64 = 64 << 20;

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
    log: Option<PathBuf>,
    commits: u32,
    limit: u64,
    no_room_since: Option<Instant>,
}

impl Checkpoints {
    pub(super) fn of_file(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { log: Some(log.into()), commits: 0, limit: LIMIT, no_room_since: None }
    }

    pub(super) fn none() -> Self {
        Self { log: None, commits: 0, limit: LIMIT, no_room_since: None }
    }

    /// To be called after each commit. Never fails a commit: a log that is too long is still right.
    pub(super) fn after_commit(&mut self, connection: &Connection) {
        self.commits += 1;
        let Some(log) = self.log.as_ref().filter(|_| self.commits.is_multiple_of(COMMITS)) else { return };
        let length = fs::metadata(log).map_or(0, |metadata| metadata.len());
        if length <= self.limit {
            return;
        }
        if empty_log(connection) {
            self.limit = LIMIT;
        } else {
            self.limit = length + STEP;
            tracing::warn!(
                mebibytes = length >> 20,
                "a long read keeps the database's write-ahead log from being emptied"
            );
        }
    }

    /// To be called after a commit that could not be written. The log may take the room that is missing: what
    /// is in it mostly replaces pages that the database has already.
    pub(super) fn after_failure(&mut self, connection: &Connection) {
        let is_worth_it = self.no_room_since.is_none_or(|failed| failed.elapsed() >= PAUSE);
        if self.log.is_some() && is_worth_it {
            self.no_room_since = (!empty_log(connection)).then(Instant::now);
        }
    }
}

/// Copies all of the log to the database, waits until nobody reads from it, and cuts it off. Whether it did.
fn empty_log(connection: &Connection) -> bool {
    wait_until(Instant::now() + PATIENCE);
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    busy.is_ok_and(|busy| !busy)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::sqlite::lock_wait;

    const SMALL_LIMIT: u64 = 1 << 20;

    /// A database whose log may grow to 1 MiB, with its writer.
    fn site() -> (TempDir, PathBuf, Connection, Checkpoints) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let mut writer = connect(&path);
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        writer.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, data)").unwrap();
        lock_wait::install(&mut writer).unwrap();
        let mut checkpoints = Checkpoints::of_file(&path);
        checkpoints.limit = SMALL_LIMIT;
        (directory, path, writer, checkpoints)
    }

    fn connect(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).unwrap();
        connection
    }

    fn write(writer: &Connection, checkpoints: &mut Checkpoints, commits: usize) {
        for _ in 0..commits {
            let rewrite = "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, randomblob(20000)); COMMIT";
            writer.execute_batch(rewrite).unwrap();
            checkpoints.after_commit(writer);
        }
    }

    fn length(path: &Path) -> u64 {
        fs::metadata(path.with_extension("db-wal")).unwrap().len()
    }

    fn begin_reading(reader: &Connection) {
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    }

    #[test]
    fn a_log_over_its_limit_is_emptied() {
        let (_directory, path, writer, mut checkpoints) = site();
        write(&writer, &mut checkpoints, 64);
        assert!(length(&path) < SMALL_LIMIT, "{}", length(&path));
        assert_eq!(checkpoints.limit, LIMIT, "which is the one of every database from then on");
    }

    #[test]
    fn readers_that_take_turns_do_not_keep_the_log() {
        let (_directory, path, writer, mut checkpoints) = site();
        let (first, second) = (connect(&path), connect(&path));
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
            write(&writer, &mut checkpoints, 320);
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(checkpoints.limit, LIMIT, "it was emptied");
    }

    #[test]
    fn a_reader_that_stays_is_not_waited_for_again_and_again() {
        let (_directory, path, writer, mut checkpoints) = site();
        let reader = connect(&path);
        begin_reading(&reader);
        let started = Instant::now();
        write(&writer, &mut checkpoints, 320);
        assert!(checkpoints.limit > STEP, "given up until the log has grown much more");
        assert!(started.elapsed() >= PATIENCE);
        assert!(length(&path) > 320 * 20_000);
        reader.execute_batch("COMMIT").unwrap();
        checkpoints.limit = SMALL_LIMIT;
        write(&writer, &mut checkpoints, 16);
        assert!(length(&path) < SMALL_LIMIT, "emptied once the reader has left");
    }
}
