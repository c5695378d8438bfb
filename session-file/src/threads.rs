//! The threads that wait for the disk, so that the async runtime need not. Dropping a caller's future abandons the
//! answer only.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use session_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use crate::queue::{Answer, Full, Queue};

/// Threads behind one queue. They end once the last clone is dropped and the queue is empty.
#[derive(Clone)]
pub(crate) struct Threads {
    callers: Arc<Callers>,
    patience: Duration,
}

/// Whoever may queue something. Closes the queue when there is nobody left.
struct Callers(Arc<Queue>);

impl Drop for Callers {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A verb's turn on a thread.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    /// When its caller's patience ends.
    pub(crate) deadline: Instant,
    patience: Duration,
    is_abandoned: &'a dyn Fn() -> bool,
}

impl Turn<'_> {
    /// When the patience for the next of many locks ends.
    pub(crate) fn deadline_from_now(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Whether its caller has gone. What goes through many sessions looks now and then.
    pub(crate) fn is_abandoned(&self) -> bool {
        (self.is_abandoned)()
    }
}

impl Threads {
    /// `count` threads, behind a queue of at most `capacity` verbs that wait for `patience` each.
    pub(crate) fn start(count: NonZeroUsize, capacity: NonZeroUsize, patience: Duration) -> Result<Self> {
        let callers = Callers(Arc::new(Queue::new(capacity)));
        for _ in 0..count.get() {
            let queue = Arc::clone(&callers.0);
            spawn(move || {
                let mut answer = None;
                while let Some(job) = queue.answer_and_pop(answer) {
                    answer = Some(job());
                }
            })?;
        }
        Ok(Self { callers: Arc::new(callers), patience })
    }

    /// Queues `work` and waits for its outcome. Once begun it goes on whether or not anybody waits; if nobody
    /// does when its turn comes, or its time is up by then, it is not begun.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Turn<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_with_rest(|turn| work(turn).map(|outcome| (outcome, ()))).await
    }

    /// As [`run`](Self::run), for work that leaves something which nobody need wait for: it is dropped on the thread,
    /// after the answer.
    pub(crate) async fn run_with_rest<T: Send + 'static, R: 'static>(
        &self,
        work: impl FnOnce(Turn<'_>) -> Result<(T, R)> + Send + 'static,
    ) -> Result<T> {
        let (reply, outcome) = oneshot::channel();
        let patience = self.patience;
        let deadline = Instant::now() + patience;
        let job = move || -> Answer {
            if reply.is_closed() {
                return Box::new(|| {});
            }
            let outcome = if Instant::now() < deadline {
                let turn = Turn { deadline, patience, is_abandoned: &|| reply.is_closed() };
                guarded(|| work(turn))
            } else {
                Err(time_is_up())
            };
            let (outcome, rest) = match outcome {
                Ok((outcome, rest)) => (Ok(outcome), Some(rest)),
                Err(error) => (Err(error), None),
            };
            Box::new(move || {
                // Nobody may be waiting any more.
                let _ = reply.send(outcome);
                drop(rest);
            })
        };
        self.callers.0.push(Box::new(job)).map_err(|Full| Error::from(ErrorKind::Overloaded))?;
        outcome.await.map_err(|_| ended())?
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Runs `work` on a thread of its own.
pub(crate) async fn run_once<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (reply, outcome) = oneshot::channel();
    spawn(move || {
        let _ = reply.send(guarded(work));
    })?;
    outcome.await.map_err(|_| ended())?
}

/// Why a verb was not begun.
pub(crate) fn time_is_up() -> Error {
    Error::describe(ErrorKind::Timeout, "others were served until the time was up")
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = Builder::new().name("session-file".to_owned()).spawn(body);
    thread.map(drop).map_err(|error| Error::new(ErrorKind::Unavailable, error).with_detail("no thread"))
}

fn ended() -> Error {
    Error::describe(ErrorKind::Internal, "a thread of the file driver ended unexpectedly")
}

fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::describe(ErrorKind::Internal, "a verb panicked")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn threads(capacity: usize, patience: Duration) -> Threads {
        Threads::start(NonZeroUsize::MIN, NonZeroUsize::new(capacity).unwrap(), patience).unwrap()
    }

    #[tokio::test]
    async fn what_is_begun_goes_on_and_what_waits_unwanted_is_not_begun() {
        let threads = threads(8, Duration::from_secs(60));
        let (begun, has_begun) = oneshot::channel();
        let (open, gate) = mpsc::channel::<()>();
        let (done, is_done) = mpsc::channel();
        let first = {
            let (threads, done) = (threads.clone(), done.clone());
            tokio::spawn(async move {
                let work = move |turn: Turn<'_>| {
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    done.send(("first", turn.is_abandoned())).unwrap();
                    Ok(())
                };
                threads.run(work).await
            })
        };
        has_begun.await.unwrap();
        let mut second = Box::pin(threads.run(move |_| {
            done.send(("second", false)).unwrap();
            Ok(())
        }));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(second);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        open.send(()).unwrap();
        threads.run(|_| Ok(())).await.unwrap();
        assert_eq!(is_done.try_iter().collect::<Vec<_>>(), [("first", true)]);
    }

    /// Notes when it is dropped whether its gate was open.
    struct Rest {
        gate: mpsc::Receiver<()>,
        was_open: mpsc::Sender<bool>,
    }

    impl Drop for Rest {
        fn drop(&mut self) {
            let is_open = self.gate.recv_timeout(Duration::from_secs(60)).is_ok();
            self.was_open.send(is_open).unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_left_over_is_dropped_after_the_answer() {
        let threads = threads(1, Duration::from_secs(60));
        let (open, gate) = mpsc::channel();
        let (was_open, note) = mpsc::channel();
        let outcome = threads.run_with_rest(move |_| Ok((7, Rest { gate, was_open }))).await;
        open.send(()).unwrap();
        assert_eq!(outcome.unwrap(), 7);
        assert!(note.recv().unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_is_overloaded_and_a_late_turn_a_timeout() {
        let threads = threads(1, Duration::from_secs(60));
        let (begun, has_begun) = oneshot::channel();
        let (open, gate) = mpsc::channel::<()>();
        let busy = threads.clone();
        let first = tokio::spawn(async move {
            let work = move |_: Turn<'_>| {
                begun.send(()).unwrap();
                gate.recv().unwrap();
                Ok(())
            };
            busy.run(work).await
        });
        has_begun.await.unwrap();
        let hasty = Threads { patience: Duration::ZERO, ..threads.clone() };
        let mut second = Box::pin(hasty.run(|_| Ok(())));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(threads.run(|_| Ok(())).await.unwrap_err().kind(), ErrorKind::Overloaded);
        open.send(()).unwrap();
        assert_eq!(second.await.unwrap_err().kind(), ErrorKind::Timeout);
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let threads = threads(1, Duration::from_secs(60));
        let panicked: Result<()> = threads.run(|_| panic!("on purpose")).await;
        assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Internal);
        threads.run(|_| Ok(())).await.unwrap();
    }
}
