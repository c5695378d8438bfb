//! Keeps the write-ahead log bounded where readers keep SQLite's own checkpoints from starting it anew.

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

/// How much more a log may grow until the next attempt, if one fails. Also what is left of the file
/// after a success.
const STEP: u64 = 64 << 20;

/// How long writes may wait for readers to leave the log.
const PATIENCE: Duration = Duration::from_millis(100);

/// Looks at the log's size once in so many commits.
const COMMITS: u32 = 16;

/// The log of one database, as its writer looks after it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// `None` for a database in memory.
    log: Option<PathBuf>,
    commits: u32,
    limit: u64,
}

impl Checkpoints {
    pub(super) fn of_file(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { log: Some(log.into()), commits: 0, limit: LIMIT }
    }

    pub(super) fn none() -> Self {
        Self { log: None, commits: 0, limit: LIMIT }
    }

    /// To be called after each commit. Never fails a commit: a log that is too long is still right.
    pub(super) fn after_commit(&mut self, connection: &Connection) {
        self.commits += 1;
        let Some(log) = self.log.as_ref().filter(|_| self.commits.is_multiple_of(COMMITS)) else { return };
        let length = fs::metadata(log).map_or(0, |metadata| metadata.len());
        if length <= self.limit {
            return;
        }
        wait_until(Instant::now() + PATIENCE);
        // Copies all of the log, waits until nobody reads from it, and cuts it off.
        let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        if let Ok(false) = busy {
            self.limit = LIMIT;
        } else {
            self.limit = length + STEP;
            tracing::warn!(
                mebibytes = length >> 20,
                "a long read keeps the database's write-ahead log from being emptied"
            );
        }
    }
}
