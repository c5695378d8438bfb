//! The queues in front of the threads: verbs wait there for their turn, and callers for the answer. Dropping
//! a caller's future abandons the answer only.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::Connection;
use session_core::{Error, ErrorKind, Result, SessionId};
use tokio::sync::oneshot;

use super::error::Failure;
use super::thread::ended;

/// A verb that waits for its turn.
pub(super) type Job = Box<dyn Pending>;

/// What a thread does with a [`Job`]: runs it, perhaps more than once, and answers its caller exactly once.
pub(super) trait Pending: Send {
    fn place(&self) -> Place;

    /// When its caller's patience ends.
    fn deadline(&self) -> Instant;

    /// Whether its caller has gone: it is not begun then.
    fn is_abandoned(&self) -> bool;

    /// Runs it on `connection` and keeps the outcome. Whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Sends the outcome of the last run.
    fn answer(self: Box<Self>);

    /// Sends `error`, whatever a run has come to.
    fn fail(self: Box<Self>, error: Error);
}

/// What a verb is about, for those that put several of them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// `None` if it is not about one session.
    pub(super) id: Option<SessionId>,
    /// About how many bytes it writes.
    pub(super) weight: usize,
}

/// The end of a queue where verbs go in. The threads behind it end once its last clone is dropped and
/// the queue is empty.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    jobs: Sender<Job>,
    patience: Duration,
}

impl Queue {
    /// A queue of at most `capacity` verbs that wait for `patience` each, and the end where they come out.
    pub(super) fn new(capacity: usize, patience: Duration) -> (Self, Receiver<Job>) {
        let (jobs, receiver) = bounded(capacity);
        (Self { jobs, patience }, receiver)
    }

    /// Queues `work` and waits for its outcome. Once begun it goes on whether or not anybody waits; if nobody
    /// does when its turn comes, or its time is up by then, it is not begun.
    ///
    /// It may be run again after its transaction was rolled back on somebody else's account.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = self.call(place, work);
        self.send(job)?;
        answer.outcome().await
    }

    /// `work` as a verb whose time runs, and where its outcome will be.
    pub(super) fn call<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> (Job, Answer<T>) {
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + self.patience;
        (Box::new(Call { place, deadline, work, outcome: None, reply }), Answer(answer))
    }

    pub(super) fn send(&self, job: Job) -> Result<()> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::from(ErrorKind::Overloaded),
            TrySendError::Disconnected(_) => ended(),
        })
    }
}

/// Where the outcome of a verb comes. Dropped, it says that nobody waits any more.
pub(super) struct Answer<T>(oneshot::Receiver<Result<T>>);

impl<T> Answer<T> {
    pub(super) async fn outcome(self) -> Result<T> {
        self.0.await.map_err(|_| ended())?
    }
}

/// Why a verb was not begun.
pub(super) fn time_is_up() -> Error {
    Error::describe(ErrorKind::Timeout, "others were served until the time was up")
}

struct Call<T, W> {
    place: Place,
    deadline: Instant,
    work: W,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, W: FnMut(&Connection) -> Result<T, Failure> + Send> Pending for Call<T, W> {
    fn place(&self) -> Place {
        self.place
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let outcome = guarded(|| (self.work)(connection));
        let succeeded = outcome.is_ok();
        self.outcome = Some(outcome);
        succeeded
    }

    fn answer(self: Box<Self>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(ended()));
        // Nobody may be waiting any more.
        let _ = self.reply.send(outcome);
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

/// What `work` comes to, a panic being an error. Unwinding through it is safe for the connection:
/// statements are reset on the way, and whoever has begun a transaction rolls it back.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|Failure(error)| error),
        Err(_) => Err(Error::describe(ErrorKind::Internal, "a verb panicked")),
    }
}
