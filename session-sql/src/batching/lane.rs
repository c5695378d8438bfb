//! The queue of one verb, and the rules of what goes together: at most so many calls and bytes, by id, and of those
//! that write, one for each id at a time.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result, SessionId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::batch::Batch;
use super::call::{Answer, Call, Request, unserved};

/// How many statements of a verb are under way at most: while the server works on one, the other's answers are
/// handed out and its successor fills.
const TURNS: usize = 2;

/// What bounds the calls of a verb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Calls of a batch.
    pub(crate) calls: usize,
    /// Bytes of a batch of several calls.
    pub(crate) bytes: usize,
    /// How long a call waits to be begun.
    pub(crate) patience: Duration,
}

/// The calls of a verb that wait.
pub(crate) struct Lane<R: Request> {
    queue: Arc<Queue<R>>,
    places: Arc<Semaphore>,
}

pub(super) struct Queue<R: Request> {
    limits: Limits,
    state: Mutex<State<R>>,
}

struct State<R: Request> {
    /// As they came, so by deadline too.
    waiting: VecDeque<Call<R>>,
    /// The ids of writing calls that are under way.
    busy: HashSet<SessionId>,
    turns: usize,
    /// How many turns are about to take a batch, and wait for a connection to do so.
    about_to_take: usize,
}

impl<R: Request> Lane<R> {
    /// An empty one, whose calls take a place each until they are answered.
    pub(crate) fn new(limits: Limits, places: Arc<Semaphore>) -> Self {
        let state = State { waiting: VecDeque::new(), busy: HashSet::new(), turns: 0, about_to_take: 0 };
        Self { queue: Arc::new(Queue { limits, state: Mutex::new(state) }), places }
    }

    /// Queues a call. Whoever gets a turn with it has to see to it that the queue is served.
    ///
    /// # Errors
    ///
    /// [`Overloaded`](ErrorKind::Overloaded) if there is no place.
    pub(crate) fn add(&self, request: R) -> Result<(Answer<R>, Option<Turn<R>>)> {
        let place = || Arc::clone(&self.places).try_acquire_owned();
        let place = place().or_else(|_| {
            // Those whose callers have gone need none.
            self.queue.lock().waiting.retain(|call| !call.is_abandoned());
            place()
        });
        let place = place.map_err(|_| ErrorKind::Overloaded)?;
        let mut state = self.queue.lock();
        // Read under the lock, which keeps the queue in order.
        let now = Instant::now();
        let (call, answer) = Call::new(request, now, now + self.queue.limits.patience, place);
        let is_blocked = state.busy.contains(&call.request.id());
        state.waiting.push_back(call);
        // Whoever waits for a connection takes it along, if it fits, and whoever has its id under way looks here
        // afterwards.
        let needs_turn = state.turns < TURNS
            && !is_blocked
            && (state.about_to_take == 0 || !state.fits(&self.queue.limits));
        if needs_turn {
            state.turns += 1;
        }
        Ok((answer, needs_turn.then(|| Turn::new(Arc::clone(&self.queue)))))
    }
}

impl<R: Request> Queue<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // Whatever panics under the lock leaves nothing half-done that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others at the sessions that a batch has had.
    pub(super) fn free(&self, ids: &[SessionId]) {
        let mut state = self.lock();
        for id in ids {
            state.busy.remove(id);
        }
    }
}

impl<R: Request> State<R> {
    /// The next batch, by id: the oldest calls that may go together. Those whose callers have gone are left out.
    fn take(&mut self, limits: &Limits) -> VecDeque<Call<R>> {
        let (mut batch, mut rest) = (VecDeque::new(), VecDeque::new());
        let mut bytes = 0;
        let mut is_full = false;
        for call in self.waiting.drain(..) {
            let id = call.request.id();
            if is_full || (!R::ONLY_READS && self.busy.contains(&id)) {
                rest.push_back(call);
            } else if !call.is_abandoned() {
                let weight = call.request.weight();
                is_full = !batch.is_empty() && bytes + weight > limits.bytes;
                if is_full {
                    rest.push_back(call);
                    continue;
                }
                bytes += weight;
                if !R::ONLY_READS {
                    self.busy.insert(id);
                }
                batch.push_back(call);
                is_full = batch.len() >= limits.calls;
            }
        }
        self.waiting = rest;
        batch.make_contiguous().sort_by_key(|call| call.request.id());
        batch
    }

    /// Whether a single batch takes all that wait.
    fn fits(&self, limits: &Limits) -> bool {
        let bytes = || self.waiting.iter().map(|call| call.request.weight()).sum::<usize>();
        self.waiting.len() <= limits.calls && bytes() <= limits.bytes
    }

    fn has_work(&self) -> bool {
        self.waiting.iter().any(|call| R::ONLY_READS || !self.busy.contains(&call.request.id()))
    }

    /// Removes the oldest calls for which `is_over` holds.
    fn remove_while(&mut self, is_over: impl Fn(&Call<R>) -> bool) -> Vec<Call<R>> {
        let count = self.waiting.iter().take_while(|call| is_over(call)).count();
        self.waiting.drain(..count).collect()
    }
}

/// The right to have one statement of the verb under way, and the duty to go on while calls wait.
pub(crate) struct Turn<R: Request> {
    queue: Arc<Queue<R>>,
    is_about_to_take: bool,
    is_over: bool,
}

impl<R: Request> Turn<R> {
    /// Counted by whoever makes it.
    fn new(queue: Arc<Queue<R>>) -> Self {
        Self { queue, is_about_to_take: false, is_over: false }
    }

    /// Whether there is anything to do; if not, the turn is over.
    pub(super) fn goes_on(&mut self) -> bool {
        let mut state = self.queue.lock();
        let goes_on = state.has_work();
        if goes_on != self.is_about_to_take {
            self.is_about_to_take = goes_on;
            if goes_on {
                state.about_to_take += 1;
            } else {
                state.about_to_take -= 1;
            }
        }
        if !goes_on {
            state.turns -= 1;
            self.is_over = true;
        }
        goes_on
    }

    /// What goes next; `None` if all have gone.
    pub(super) fn take(&mut self) -> Option<Batch<R>> {
        let mut state = self.queue.lock();
        if self.is_about_to_take {
            state.about_to_take -= 1;
            self.is_about_to_take = false;
        }
        let calls = state.take(&self.queue.limits);
        drop(state);
        (!calls.is_empty()).then(|| Batch::new(Arc::clone(&self.queue), calls))
    }

    /// What `future` comes to. Meanwhile calls whose time is up get `error`. If it is for those who wait, it is
    /// given up, as `None`, once nobody does.
    pub(super) async fn during<F: Future>(
        &self,
        future: F,
        is_for_those_who_wait: bool,
        error: impl Fn() -> Error,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            if let Ok(output) = timeout_at(self.next_deadline(), future.as_mut()).await {
                return Some(output);
            }
            let now = Instant::now();
            self.fail(&error, |call| call.deadline <= now);
            if is_for_those_who_wait && self.queue.lock().waiting.is_empty() {
                return None;
            }
        }
    }

    /// Fails the calls that were waiting at `since`.
    pub(super) fn fail_older(&self, since: Instant, error: impl Fn() -> Error) {
        self.fail(error, |call| call.since <= since);
    }

    fn fail(&self, error: impl Fn() -> Error, is_over: impl Fn(&Call<R>) -> bool) {
        let over = self.queue.lock().remove_while(is_over);
        over.into_iter().for_each(|call| call.answer(Err(error())));
    }

    /// Of the oldest call. One that comes while there is none cannot have an earlier one than this.
    fn next_deadline(&self) -> Instant {
        let state = self.queue.lock();
        let oldest = state.waiting.front().map(|call| call.deadline);
        oldest.unwrap_or_else(|| Instant::now() + self.queue.limits.patience)
    }
}

impl<R: Request> Drop for Turn<R> {
    /// A turn that did not come to its end, as its runtime did or it panicked, leaves nobody waiting for it.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.queue.lock();
        state.turns -= 1;
        if self.is_about_to_take {
            state.about_to_take -= 1;
        }
        if state.turns == 0 {
            let left = std::mem::take(&mut state.waiting);
            drop(state);
            left.into_iter().for_each(|call| call.answer(Err(unserved())));
        }
    }
}
