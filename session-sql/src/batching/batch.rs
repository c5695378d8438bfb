//! Calls that go together, and what a failure of all means for each.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use session_core::{Error, Result, SessionId};

use super::call::{Call, Request, unserved};
use super::lane::Queue;

/// How a dialect carries out a verb on a connection.
pub(crate) trait Verb: Send + Sync + 'static {
    type Request: Request;
    type Connection: Send;
    type Fault: Fault;

    /// Carries out several calls, and answers each by [`Batch::settle`] as soon as its outcome is known. What it
    /// leaves unanswered goes alone. A failure is about those that were not answered, and nothing of them has
    /// happened if its remedy is to do them again.
    fn together(
        &self,
        connection: &mut Self::Connection,
        batch: &mut Batch<Self::Request>,
    ) -> impl Future<Output = Result<(), Self::Fault>> + Send;

    /// Carries out one.
    fn alone(
        &self,
        connection: &mut Self::Connection,
        request: &Self::Request,
    ) -> impl Future<Output = Result<<Self::Request as Request>::Outcome, Self::Fault>> + Send;

    /// Which sessions of those that are asked for somebody keeps locked now, without waiting for them.
    fn held(
        &self,
        _connection: &mut Self::Connection,
        _batch: &Batch<Self::Request>,
    ) -> impl Future<Output = Result<HashSet<SessionId>, Self::Fault>> + Send {
        std::future::ready(Ok(HashSet::new()))
    }
}

/// A failure of a dialect.
pub(crate) trait Fault: Send {
    /// For one of the callers that it concerns.
    fn error(&self) -> Error;

    fn remedy(&self) -> Remedy;

    /// Whether the connection is better closed than used again.
    fn spoils_connection(&self) -> bool;
}

/// What may help after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same again: others were in the way, and nothing has happened.
    Again,
    /// Each by itself: one of them is to blame, and nothing has happened.
    Singly,
    /// Those that nobody holds first: one of them has waited for its session, and nothing has happened.
    HeldLast,
    /// Nothing that the driver can do.
    None,
}

/// How often a batch is done again as it is.
const RETRIES: usize = 3;

/// How often one call is, which then nobody else waits for.
const RETRIES_ALONE: usize = 15;

/// Calls under way, by id. Those that are left when it is dropped are told so.
pub(crate) struct Batch<R: Request> {
    queue: Arc<Queue<R>>,
    calls: VecDeque<Call<R>>,
    /// Those that go when the others are answered.
    last: VecDeque<Call<R>>,
    /// Of all calls that it began with, if they keep others from their sessions.
    ids: Vec<SessionId>,
}

impl<R: Request> Batch<R> {
    pub(super) fn new(queue: Arc<Queue<R>>, calls: VecDeque<Call<R>>) -> Self {
        let ids =
            if R::ONLY_READS { Vec::new() } else { calls.iter().map(|call| call.request.id()).collect() };
        Self { queue, calls, last: VecDeque::new(), ids }
    }

    /// What is asked for and not answered, by id.
    pub(crate) fn requests(&self) -> impl ExactSizeIterator<Item = &R> + Clone {
        self.calls.iter().map(|call| &call.request)
    }

    /// Answers those for which there is an outcome. The others stay, in their order.
    pub(crate) fn settle(&mut self, mut outcome: impl FnMut(usize, &R) -> Option<Result<R::Outcome>>) {
        let calls = std::mem::take(&mut self.calls);
        for (index, call) in calls.into_iter().enumerate() {
            match outcome(index, &call.request) {
                Some(outcome) => call.answer(outcome),
                None => self.calls.push_back(call),
            }
        }
    }

    /// Carries out and answers all. An error is for those that are left; the connection may be spoilt then.
    pub(super) async fn run<V: Verb<Request = R>>(
        &mut self,
        verb: &V,
        connection: &mut V::Connection,
    ) -> Result<(), V::Fault> {
        let mut retries = 0;
        while self.calls.len() > 1 {
            match verb.together(connection, self).await {
                Ok(()) => break,
                Err(fault) => match fault.remedy() {
                    Remedy::Again if retries < RETRIES => retries += 1,
                    Remedy::HeldLast if self.last.is_empty() => {
                        let held = verb.held(connection, self).await?;
                        let is_held = |call: &Call<R>| held.contains(&call.request.id());
                        (self.last, self.calls) = self.calls.drain(..).partition(is_held);
                        if self.last.is_empty() {
                            break;
                        }
                    }
                    Remedy::Again | Remedy::Singly | Remedy::HeldLast => break,
                    Remedy::None => return Err(fault),
                },
            }
        }
        self.run_singly(verb, connection).await?;
        self.calls.append(&mut self.last);
        self.run_singly(verb, connection).await
    }

    async fn run_singly<V: Verb<Request = R>>(
        &mut self,
        verb: &V,
        connection: &mut V::Connection,
    ) -> Result<(), V::Fault> {
        while let Some(call) = self.calls.front() {
            let outcome = match retried(verb, connection, &call.request).await {
                Err(fault) if fault.spoils_connection() => return Err(fault),
                outcome => outcome.map_err(|fault| fault.error()),
            };
            if let Some(call) = self.calls.pop_front() {
                call.answer(outcome);
            }
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, error: impl Fn() -> Error) {
        self.calls.drain(..).chain(self.last.drain(..)).for_each(|call| call.answer(Err(error())));
    }
}

/// One call, again if others were in the way.
async fn retried<V: Verb>(
    verb: &V,
    connection: &mut V::Connection,
    request: &V::Request,
) -> Result<<V::Request as Request>::Outcome, V::Fault> {
    let mut retries = 0;
    loop {
        match verb.alone(connection, request).await {
            Err(fault) if fault.remedy() == Remedy::Again && retries < RETRIES_ALONE => retries += 1,
            outcome => return outcome,
        }
    }
}

impl<R: Request> Drop for Batch<R> {
    fn drop(&mut self) {
        self.queue.free(&self.ids);
        self.fail(unserved);
    }
}
