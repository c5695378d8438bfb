//! Threads that own connections. All work on the database goes to one of them through a bounded queue, so
//! that the async runtime never blocks, and dropping a future never stops anything half-way.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::Connection;
use session_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use super::error::Failure;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Threads with a connection each, behind one queue. They end once the last clone is dropped and the queue
/// is empty.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    queue: Sender<Job>,
    patience: Duration,
}

impl Workers {
    /// One thread for each of `connections`; work waits for `patience` at most. The first thread keeps its
    /// connection open until the `earlier` threads have closed theirs.
    pub(super) fn start(
        connections: Vec<Connection>,
        mut earlier: Vec<JoinHandle<()>>,
        capacity: usize,
        patience: Duration,
    ) -> Result<(Self, Vec<JoinHandle<()>>)> {
        let (queue, jobs) = bounded::<Job>(capacity);
        let mut threads = Vec::with_capacity(connections.len());
        for mut connection in connections {
            let jobs: Receiver<Job> = jobs.clone();
            let earlier = mem::take(&mut earlier);
            threads.push(spawn(move || {
                jobs.into_iter().for_each(|job| job(&mut connection));
                for thread in earlier {
                    // Work that panics does not end a thread, so there is nothing to hear from it.
                    let _ = thread.join();
                }
            })?);
        }
        Ok((Self { queue, patience }, threads))
    }

    /// Queues `work` and waits for its result. Once queued it runs whether or not anybody waits.
    ///
    /// `patience` counts from here: what is left of it when the work's turn comes is what SQLite waits for
    /// other connections' locks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        let (queued_at, patience) = (Instant::now(), self.patience);
        let job = Box::new(move |connection: &mut Connection| {
            // Nobody may be waiting any more.
            let _ = reply.send(attempt(connection, queued_at, patience, work));
        });
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::from(ErrorKind::Overloaded),
            TrySendError::Disconnected(_) => thread_ended(),
        })?;
        result.await.map_err(|_| thread_ended())?
    }
}

fn attempt<T>(
    connection: &mut Connection,
    queued_at: Instant,
    patience: Duration,
    work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
) -> Result<T> {
    let left = patience.saturating_sub(queued_at.elapsed());
    if left.is_zero() {
        return Err(Error::describe(ErrorKind::Timeout, "others were served until the time was up"));
    }
    // Unwinding through the work is safe for the connection: open transactions roll back on the way.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        connection.busy_timeout(left)?;
        work(connection)
    }));
    match outcome {
        Ok(result) => result.map_err(|Failure(error)| error),
        Err(_) => Err(Error::describe(ErrorKind::Internal, "a verb panicked")),
    }
}

/// Runs blocking `work` that has no connection yet on a thread of its own.
pub(super) async fn run_once<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (reply, result) = oneshot::channel();
    spawn(move || {
        // Nobody may be waiting any more.
        let _ = reply.send(work());
    })?;
    result.await.map_err(|_| thread_ended())?
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // Debuggers and `top` show 15 characters of it.
    let thread = thread::Builder::new().name("session-sqlite".to_owned());
    thread.spawn(body).map_err(|error| Error::new(ErrorKind::Unavailable, error).with_detail("no thread"))
}

fn thread_ended() -> Error {
    Error::describe(ErrorKind::Internal, "a database thread ended unexpectedly")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn workers(capacity: usize, patience: Duration) -> Workers {
        let connection = Connection::open_in_memory().unwrap();
        Workers::start(vec![connection], Vec::new(), capacity, patience).unwrap().0
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let workers = workers(8, Duration::from_secs(60));
        workers.run(|connection| Ok(connection.execute_batch("CREATE TABLE t (n)")?)).await.unwrap();
        let error = workers
            .run(|connection| -> Result<(), Failure> {
                let transaction = connection.transaction()?;
                transaction.execute_batch("INSERT INTO t VALUES (1)")?;
                panic!("on purpose")
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let count = "SELECT count(*) FROM t";
        let rows: i64 =
            workers.run(|connection| Ok(connection.query_row(count, [], |row| row.get(0))?)).await.unwrap();
        assert_eq!(rows, 0, "the panicking work's transaction has been rolled back");
    }

    #[tokio::test]
    async fn a_full_queue_is_overloaded_and_recovers() {
        let workers = workers(1, Duration::from_secs(60));
        let (open, gate) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let blocked = tokio::spawn({
            let workers = workers.clone();
            async move {
                workers
                    .run(move |_| {
                        started.send(()).unwrap();
                        gate.recv().unwrap();
                        Ok(())
                    })
                    .await
            }
        });
        tokio::task::spawn_blocking(move || running.recv().unwrap()).await.unwrap();
        let mut waiting = Box::pin(workers.run(|_| Ok(())));
        assert!(poll_once(&mut waiting).await.is_none(), "takes the one place in the queue");
        assert_eq!(workers.run(|_| Ok(())).await.unwrap_err().kind(), ErrorKind::Overloaded);
        open.send(()).unwrap();
        blocked.await.unwrap().unwrap();
        waiting.await.unwrap();
        workers.run(|_| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn work_whose_time_is_up_is_not_begun() {
        let workers = workers(8, Duration::from_nanos(1));
        let begun = workers.run(|_| Ok(())).await;
        assert_eq!(begun.unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[tokio::test]
    async fn dropped_work_that_was_queued_still_runs() {
        let workers = workers(8, Duration::from_secs(60));
        let (done, finished) = mpsc::channel();
        let mut dropped = Box::pin(workers.run(move |_| {
            done.send(()).unwrap();
            Ok(())
        }));
        let _ = poll_once(&mut dropped).await;
        drop(dropped);
        drop(workers);
        // Waits for the thread, which also ends: the sender is gone afterwards.
        tokio::task::spawn_blocking(move || {
            finished.recv().unwrap();
            finished.recv().unwrap_err();
        })
        .await
        .unwrap();
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
