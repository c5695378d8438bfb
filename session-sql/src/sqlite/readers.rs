//! The threads that read. Each has a connection of its own, so a load need not wait for a list.

use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Receiver;
use rusqlite::Connection;
use session_core::Result;

use super::lock_wait::wait_until;
use super::queue::{Job, time_is_up};
use super::thread::spawn;

/// One thread for each of `connections`, behind one queue.
pub(super) fn start(connections: Vec<Connection>, jobs: &Receiver<Job>) -> Result<Vec<JoinHandle<()>>> {
    connections
        .into_iter()
        .map(|connection| {
            let jobs = jobs.clone();
            spawn(move || jobs.into_iter().for_each(|job| serve(&connection, job)))
        })
        .collect()
}

fn serve(connection: &Connection, mut job: Job) {
    if job.is_abandoned() {
        return;
    }
    let deadline = job.deadline();
    if Instant::now() >= deadline {
        return job.fail(time_is_up());
    }
    wait_until(deadline);
    let _ = job.run(connection);
    job.answer();
}
