//! The thread that writes: whatever has queued while it was busy goes into its next transaction, so that
//! verbs share the cost of a commit and none waits for another to come.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, yield_now};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, TryRecvError};
use rusqlite::Connection;
use session_core::{Error, Result};

use super::checkpoint::Checkpoints;
use super::error::{Failure, failed_commit, is_busy};
use super::lock_wait::wait_until;
use super::queue::{Job, time_is_up};
use super::thread::spawn;
use super::warmth::Warmth;

/// How many verbs share a commit at most. More of them would gain nothing, and each waits for all.
const BATCH_JOBS: usize = 256;

/// About how many bytes a transaction writes at most: what a batch is full with before it has that many verbs.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// Of a database, as a rule.
const PAGE_BYTES: usize = 4096;

const LOOKS_ABOUT: Duration = Duration::from_micros(100);

const RETRY_PAUSE: Duration = Duration::from_micros(200);

/// Starts the thread. It lets the writer go once the `readers` have closed their connections: SQLite tidies up when
/// the last connection closes, and does not if several close at once.
pub(super) fn start(
    writer: Arc<Mutex<Writer>>,
    warmth: Arc<Warmth>,
    jobs: Receiver<Job>,
    readers: Vec<JoinHandle<()>>,
) -> Result<JoinHandle<()>> {
    spawn(move || {
        while let Ok(first) = next(&jobs) {
            let batch = batch(first, &jobs);
            let is_alone = batch.len() == 1;
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let commit = || writer.commit_together(batch);
            if is_alone { warmth.timed(commit) } else { commit() }
        }
        for reader in readers {
            // Work that panics does not end a thread, so there is nothing to hear from it.
            let _ = reader.join();
        }
    })
}

/// The next verb. Whoever writes one after the other has it ready within the time it would take to put this thread
/// to sleep and to wake it, so it looks about for as long; others that want the processor go first.
fn next(jobs: &Receiver<Job>) -> Result<Job, RecvError> {
    let started = Instant::now();
    while started.elapsed() < LOOKS_ABOUT {
        match jobs.try_recv() {
            Ok(job) => return Ok(job),
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => yield_now(),
        }
    }
    jobs.recv()
}

/// `first` and what else is queued, by id: neighbours share pages. Verbs on one id keep their order.
fn batch(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut weight = first.place().weight;
    let mut batch = vec![first];
    while weight < BATCH_BYTES && batch.len() < BATCH_JOBS {
        let Ok(job) = jobs.try_recv() else { break };
        weight += job.place().weight;
        batch.push(job);
    }
    batch.sort_by_key(|job| job.place().id);
    batch
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// Before the connection, which is the last to be closed.
    checkpoints: Checkpoints,
    connection: Connection,
}

impl Writer {
    pub(super) fn new(connection: Connection, checkpoints: Checkpoints) -> Self {
        Self { checkpoints, connection }
    }

    /// Commits one verb and answers, as the thread would, unless something has to be waited for: then `job` comes
    /// back as it was.
    pub(super) fn commit_at_once(&mut self, job: Job) -> Result<(), Job> {
        wait_until(Instant::now());
        if self.checkpoints.are_due() || execute(&self.connection, "BEGIN IMMEDIATE").is_err() {
            return Err(job);
        }
        self.write(vec![job]);
        Ok(())
    }

    /// Commits all of `batch` in one transaction and answers. If a verb fails nothing is kept of the
    /// transaction, as SQLite does not say for every error what is left of it: the verb is answered
    /// with its error, and each of the others gets a transaction of its own.
    fn commit_together(&mut self, batch: Vec<Job>) {
        let mut batch = self.begin(batch);
        // Looked at when the lock is there: a caller that went while it was waited for has been told that its verb
        // did not come to its turn.
        batch.retain(|job| !job.is_abandoned());
        if batch.is_empty() {
            return self.roll_back();
        }
        self.write(batch);
        self.checkpoints.tend(&self.connection);
    }

    /// Runs and commits `batch` in the transaction that is open.
    fn write(&mut self, mut batch: Vec<Job>) {
        match batch.iter_mut().position(|job| !job.run(&self.connection)) {
            None => self.commit(batch),
            Some(failed) => {
                self.roll_back();
                batch.remove(failed).answer();
                batch.into_iter().for_each(|job| self.commit_together(vec![job]));
            }
        }
    }

    /// Takes the write lock, waiting for each verb no longer than it may, and returns those that still have
    /// time. The transaction is open if there is one.
    fn begin(&self, mut batch: Vec<Job>) -> Vec<Job> {
        let mut met_lock = None;
        loop {
            let now = Instant::now();
            batch.retain(|job| !job.is_abandoned());
            let (late, rest) = batch.into_iter().partition(|job| job.deadline() <= now);
            batch = rest;
            fail_all(late, || met_lock.as_ref().map_or_else(time_is_up, |error| Failure::of(error).0));
            let Some(deadline) = batch.iter().map(|job| job.deadline()).min() else { return batch };
            wait_until(deadline);
            match execute(&self.connection, "BEGIN IMMEDIATE") {
                Ok(()) => return batch,
                Err(error) if is_busy(&error) => {
                    met_lock = Some(error);
                    // SQLite reports some conflicts without asking for how long it should wait.
                    sleep(RETRY_PAUSE);
                }
                Err(error) => {
                    fail_all(batch, || Failure::of(&error).0);
                    return Vec::new();
                }
            }
        }
    }

    fn commit(&mut self, batch: Vec<Job>) {
        // Each verb changes a page of its own as a rule.
        let pages = batch.iter().map(|job| 1 + job.place().weight / PAGE_BYTES).sum();
        match execute(&self.connection, "COMMIT") {
            Ok(()) => {
                batch.into_iter().for_each(|job| job.answer());
                self.checkpoints.after_commit(pages);
            }
            Err(error) => {
                self.roll_back();
                self.checkpoints.after_failure();
                fail_all(batch, || failed_commit(&error));
            }
        }
    }

    fn roll_back(&self) {
        // SQLite has done it by itself after some errors.
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(error = %Failure::from(error).0, "a transaction could not be rolled back");
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn fail_all(jobs: Vec<Job>, error: impl Fn() -> Error) {
    jobs.into_iter().for_each(|job| job.fail(error()));
}

#[cfg(test)]
mod tests;
