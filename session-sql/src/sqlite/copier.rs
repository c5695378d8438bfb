//! The thread that copies a long write-ahead log to the database while writes go on.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::Connection;
use session_core::Result;

use super::checkpoint::{Copied, copy};
use super::thread::spawn;

/// Ends, and closes its connection, when it is dropped.
#[derive(Debug)]
pub(super) struct Copier {
    /// `None` while it is dropped.
    begin: Option<Sender<()>>,
    done: Receiver<()>,
    is_at_work: bool,
    thread: Option<JoinHandle<()>>,
}

/// Each round copies what was written during the one before, so they get shorter.
const ROUNDS: usize = 4;

/// So few pages are copied in a few milliseconds.
const FEW: usize = 500;

impl Copier {
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let ((begin, requests), (reports, done)) = (bounded(1), bounded(1));
        let thread = spawn(move || {
            while let Ok(()) = requests.recv() {
                // An error is for the writer to meet, whose commits it may fail.
                let mut rounds = (0..ROUNDS).map_while(|_| copy(&connection));
                let _ = rounds.find(|Copied { left, .. }| *left <= FEW);
                // There is room: it is begun again only once this was received.
                let _ = reports.try_send(());
            }
        })?;
        Ok(Self { begin: Some(begin), done, is_at_work: false, thread: Some(thread) })
    }

    /// Has it begin, unless it is at work.
    pub(super) fn begin(&mut self) {
        if let Some(begin) = self.begin.as_ref().filter(|_| !self.is_at_work) {
            self.is_at_work = begin.try_send(()).is_ok();
        }
    }

    /// Whether it has ended its work since this was asked the last time.
    pub(super) fn take_done(&mut self) -> bool {
        let is_done = self.is_at_work && self.done.try_recv().is_ok();
        self.is_at_work &= !is_done;
        is_done
    }

    /// Waits until it has ended its work.
    pub(super) fn wait(&mut self) {
        if self.is_at_work {
            let _ = self.done.recv();
            self.is_at_work = false;
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            // Copying does not panic, and if it did the log is none the worse.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::yield_now;

    use super::*;

    /// A copier of a log of `rows` rows, and another connection.
    fn site(rows: usize) -> (tempfile::TempDir, Copier, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let writer = Connection::open(&path).unwrap();
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        writer.execute_batch("CREATE TABLE t (data)").unwrap();
        for _ in 0..rows {
            writer.execute("INSERT INTO t VALUES (randomblob(5000))", []).unwrap();
        }
        (directory, Copier::start(Connection::open(&path).unwrap()).unwrap(), writer)
    }

    #[test]
    fn it_copies_what_is_there_and_says_once_that_it_has() {
        let (directory, mut copier, writer) = site(100);
        assert!(!copier.take_done());
        let before = std::fs::metadata(directory.path().join("a.db")).unwrap().len();
        copier.begin();
        copier.begin();
        while !copier.take_done() {
            yield_now();
        }
        assert!(!copier.take_done());
        assert!(std::fs::metadata(directory.path().join("a.db")).unwrap().len() > before + 500_000);
        assert_eq!(copy(&writer).unwrap().left, 0);
    }

    #[test]
    fn it_can_be_waited_for() {
        let (_directory, mut copier, writer) = site(100);
        copier.wait();
        copier.begin();
        copier.wait();
        assert_eq!(copy(&writer).unwrap().left, 0);
        assert!(!copier.take_done());
    }

    #[test]
    fn it_does_not_try_for_ever_to_copy_what_is_being_read() {
        let (_directory, mut copier, writer) = site(1);
        let reader = Connection::open(writer.path().unwrap()).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        for _ in 0..300 {
            writer.execute("INSERT INTO t VALUES (randomblob(5000))", []).unwrap();
        }
        copier.begin();
        while !copier.take_done() {
            yield_now();
        }
        assert!(copy(&writer).unwrap().left > FEW);
    }

    #[test]
    fn it_ends_when_it_is_dropped_at_work_as_well() {
        for begins in [false, true] {
            let (directory, mut copier, writer) = site(200);
            if begins {
                copier.begin();
            }
            drop(copier);
            drop(writer);
            assert!(!directory.path().join("a.db-wal").exists(), "SQLite tidies up with the last connection");
        }
    }
}
