//! One call of a verb on its way: what it asks for, and who waits for the answer.

use session_core::{Error, ErrorKind, Result, SessionId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// What a call asks for.
pub(crate) trait Request: Send + Sync + 'static {
    type Outcome: Send + 'static;

    /// Whether calls only read, so that any number about one session may be under way together.
    const ONLY_READS: bool;

    fn id(&self) -> SessionId;

    /// About how many bytes it sends.
    fn weight(&self) -> usize;
}

/// A call that has not been answered. Dropped, it tells its caller that nobody will.
pub(super) struct Call<R: Request> {
    pub(super) request: R,
    /// Until when it may wait to be begun.
    pub(super) deadline: Instant,
    pub(super) since: Instant,
    reply: oneshot::Sender<Result<R::Outcome>>,
    /// Of the bounded number of calls.
    _place: OwnedSemaphorePermit,
}

impl<R: Request> Call<R> {
    pub(super) fn new(
        request: R,
        since: Instant,
        deadline: Instant,
        place: OwnedSemaphorePermit,
    ) -> (Self, Answer<R>) {
        let (reply, answer) = oneshot::channel();
        (Self { request, deadline, since, reply, _place: place }, Answer(answer))
    }

    /// Whether its caller has gone: it need not be begun then.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    pub(super) fn answer(self, outcome: Result<R::Outcome>) {
        // Nobody may be waiting any more.
        let _ = self.reply.send(outcome);
    }
}

/// Where the outcome of a call comes. Dropped, it says that nobody waits any more.
pub(crate) struct Answer<R: Request>(oneshot::Receiver<Result<R::Outcome>>);

impl<R: Request> Answer<R> {
    pub(crate) async fn outcome(self) -> Result<R::Outcome> {
        self.0.await.map_err(|_| unserved())?
    }
}

/// What is told to those whom a task has left behind.
pub(super) fn unserved() -> Error {
    if std::thread::panicking() {
        return Error::describe(ErrorKind::Internal, "a verb panicked");
    }
    Error::describe(ErrorKind::Unavailable, "the runtime is shutting down")
}
