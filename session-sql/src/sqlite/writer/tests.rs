//! Batches: who shares a transaction, and what becomes of the others when one fails.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;

use session_core::{ErrorKind, SessionId};
use tempfile::TempDir;
use tokio::task::{JoinHandle as Task, spawn_blocking};

use super::super::lock_wait;
use super::super::queue::{Place, Queue};
use super::*;

const SMALL: Place = Place { id: None, weight: 1 };

fn at(first: u8) -> Place {
    Place { id: Some(SessionId::from_bytes([first; 16])), weight: 1 }
}

/// A writer on a file of its own, with a table `t`.
struct Site {
    directory: TempDir,
    queue: Queue,
}

impl Site {
    fn new(capacity: usize, patience: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(directory.path().join("a.db")).unwrap();
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = ON; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        // Whatever refers to a number that is not there fails the commit, not the statement.
        let child = "CREATE TABLE child (n REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)";
        connection.execute_batch(child).unwrap();
        lock_wait::install(&mut connection).unwrap();
        let (queue, jobs) = Queue::new(capacity, patience);
        let writer = Arc::new(Mutex::new(Writer::new(connection, Checkpoints::none())));
        start(writer, Arc::default(), jobs, Vec::new()).unwrap();
        Self { directory, queue }
    }

    fn patient() -> Self {
        Self::new(64, Duration::from_secs(60))
    }

    /// Another connection.
    fn other(&self) -> Connection {
        Connection::open(self.directory.path().join("a.db")).unwrap()
    }

    fn numbers(&self) -> Vec<i64> {
        numbers(&self.other())
    }

    /// Keeps the thread busy until the sender is used, so that what is queued meanwhile waits together.
    async fn hold(&self) -> (mpsc::Sender<()>, Task<Result<()>>) {
        let (open, gate) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let queue = self.queue.clone();
        let held = tokio::spawn(async move {
            let work = move |_: &Connection| {
                started.send(()).unwrap();
                gate.recv().unwrap();
                Ok(())
            };
            queue.run(SMALL, work).await
        });
        spawn_blocking(move || running.recv().unwrap()).await.unwrap();
        (open, held)
    }
}

fn numbers(connection: &Connection) -> Vec<i64> {
    let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn insert(number: i64) -> impl FnMut(&Connection) -> Result<(), Failure> + Send + 'static {
    move |connection| Ok(connection.execute("INSERT INTO t VALUES (?1)", [number]).map(drop)?)
}

fn report<T: Copy + Send + 'static>(
    done: mpsc::Sender<T>,
    value: T,
) -> impl FnMut(&Connection) -> Result<(), Failure> + Send + 'static {
    move |_| {
        done.send(value).unwrap();
        Ok(())
    }
}

/// Queues `work`, which then waits behind whatever was queued before.
async fn queued<T: Send + 'static>(
    queue: &Queue,
    place: Place,
    work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
) -> Pin<Box<dyn Future<Output = Result<T>> + Send>> {
    let queue = queue.clone();
    let mut future: Pin<Box<dyn Future<Output = Result<T>> + Send>> =
        Box::pin(async move { queue.run(place, work).await });
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    future
}

#[tokio::test]
async fn what_is_queued_together_commits_together() {
    let site = Site::patient();
    let (open, held) = site.hold().await;
    let first = queued(&site.queue, SMALL, insert(1)).await;
    let other = std::sync::Mutex::new(site.other());
    let second = queued(&site.queue, SMALL, move |connection| {
        Ok((numbers(connection), numbers(&other.lock().unwrap())))
    })
    .await;
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap(), (vec![1], vec![]), "not committed yet, for nobody else to see");
    first.await.unwrap();
    assert_eq!(site.numbers(), [1]);
}

#[tokio::test]
async fn a_verb_that_fails_fails_alone() {
    let site = Site::patient();
    let (open, held) = site.hold().await;
    let first = queued(&site.queue, SMALL, insert(1)).await;
    let second = queued(&site.queue, SMALL, |connection| -> Result<(), Failure> {
        insert(2)(connection)?;
        Err(Failure(Error::from(ErrorKind::Corrupt)))
    })
    .await;
    let third = queued(&site.queue, SMALL, |connection| -> Result<(), Failure> {
        insert(3)(connection)?;
        panic!("on purpose")
    })
    .await;
    let fourth = queued(&site.queue, SMALL, insert(4)).await;
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    first.await.unwrap();
    assert_eq!(second.await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(third.await.unwrap_err().kind(), ErrorKind::Internal);
    fourth.await.unwrap();
    assert_eq!(site.numbers(), [1, 4], "what the failing ones did is rolled back");
}

#[tokio::test]
async fn a_failed_commit_fails_all_of_its_batch() {
    let site = Site::patient();
    let (open, held) = site.hold().await;
    let orphan = |connection: &Connection| Ok(connection.execute("INSERT INTO child VALUES (9)", [])?);
    let first = queued(&site.queue, SMALL, insert(1)).await;
    let second = queued(&site.queue, SMALL, orphan).await;
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    for error in [first.await.unwrap_err(), second.await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
    assert!(site.numbers().is_empty());
    site.queue.run(SMALL, insert(2)).await.unwrap();
    assert_eq!(site.numbers(), [2], "the thread has come clean out of it");
}

#[tokio::test]
async fn a_batch_goes_by_id_and_in_order_on_one_id() {
    let site = Site::patient();
    let (open, held) = site.hold().await;
    let (done, order) = mpsc::channel();
    let mut waiting = Vec::new();
    for (number, place) in [(0, at(9)), (1, at(3)), (2, at(9)), (3, at(1)), (4, at(3))] {
        let done = done.clone();
        waiting.push(queued(&site.queue, place, report(done, number)).await);
    }
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    for verb in waiting {
        verb.await.unwrap();
    }
    assert_eq!(order.try_iter().collect::<Vec<_>>(), [3, 1, 4, 0, 2]);
}

#[tokio::test]
async fn a_heavy_verb_ends_its_batch() {
    let site = Site::patient();
    let (open, held) = site.hold().await;
    let heavy = Place { id: None, weight: BATCH_BYTES };
    let first = queued(&site.queue, heavy, insert(1)).await;
    let other = std::sync::Mutex::new(site.other());
    let second = queued(&site.queue, SMALL, move |_| Ok(numbers(&other.lock().unwrap()))).await;
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    first.await.unwrap();
    assert_eq!(second.await.unwrap(), [1], "the first was committed by then");
}

#[tokio::test]
async fn a_full_queue_is_overloaded_and_recovers() {
    let site = Site::new(1, Duration::from_secs(60));
    let (open, held) = site.hold().await;
    let waiting = queued(&site.queue, SMALL, insert(1)).await;
    assert_eq!(site.queue.run(SMALL, insert(2)).await.unwrap_err().kind(), ErrorKind::Overloaded);
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    waiting.await.unwrap();
    site.queue.run(SMALL, insert(3)).await.unwrap();
    assert_eq!(site.numbers(), [1, 3]);
}

#[tokio::test]
async fn work_whose_time_is_up_is_not_begun() {
    let site = Site::new(8, Duration::from_nanos(1));
    assert_eq!(site.queue.run(SMALL, insert(1)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(site.numbers().is_empty());
}

#[tokio::test]
async fn a_lock_that_goes_in_time_is_waited_for() {
    let site = Site::patient();
    let other = site.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = queued(&site.queue, SMALL, insert(1)).await;
    other.execute_batch("INSERT INTO t VALUES (7); COMMIT").unwrap();
    waiting.await.unwrap();
    assert_eq!(site.numbers(), [1, 7]);
}

#[tokio::test]
async fn work_is_begun_only_if_somebody_waits_for_it() {
    let site = Site::patient();
    let (open, held) = site.hold().await;
    drop(queued(&site.queue, SMALL, insert(1)).await);
    let waited_for = queued(&site.queue, SMALL, insert(2)).await;
    open.send(()).unwrap();
    held.await.unwrap().unwrap();
    waited_for.await.unwrap();
    assert_eq!(site.numbers(), [2]);
}

#[tokio::test]
async fn a_caller_that_goes_while_the_lock_is_waited_for_is_noticed() {
    let site = Site::patient();
    let other = site.other();
    for number in 1..20 {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(queued(&site.queue, SMALL, insert(number)).await);
        other.execute_batch("COMMIT").unwrap();
        // Its turn comes behind the one that was dropped.
        site.queue.run(SMALL, |_| Ok(())).await.unwrap();
    }
    assert!(site.numbers().is_empty());
}

#[tokio::test]
async fn work_that_was_begun_happens_though_nobody_waits() {
    let site = Site::patient();
    let (started, running) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let work = queued(&site.queue, SMALL, move |connection| {
        started.send(()).unwrap();
        gate.recv().unwrap();
        insert(1)(connection)
    })
    .await;
    spawn_blocking(move || running.recv().unwrap()).await.unwrap();
    drop(work);
    open.send(()).unwrap();
    site.queue.run(SMALL, |_| Ok(())).await.unwrap();
    assert_eq!(site.numbers(), [1]);
}
