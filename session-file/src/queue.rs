//! What the backend's threads take their work from. One of them at a time looks about for the next verb before it
//! sleeps: whoever writes one session after the other has it ready before a thread could be put to sleep and woken.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// Work, which ends with its answer.
pub(crate) type Job = Box<dyn FnOnce() -> Answer + Send>;

/// Answers, and then drops what nobody need wait for.
pub(crate) type Answer = Box<dyn FnOnce()>;

/// About what it takes to put a thread to sleep and to wake it.
const LOOKS_ABOUT: Duration = Duration::from_micros(100);

/// First come, first served.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
    /// How many jobs there are, for the thread that looks about without the lock.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Whether a thread looks about: it takes the next job, and nobody need be woken for that.
    is_watched: bool,
    sleeping: usize,
    is_closed: bool,
}

/// Why a job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Queue {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        let capacity = capacity.get();
        Self { state: Mutex::default(), wake: Condvar::new(), capacity, waiting: AtomicUsize::new(0) }
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), Full> {
        let mut state = self.lock();
        if state.jobs.len() == self.capacity {
            return Err(Full);
        }
        state.jobs.push_back(job);
        self.waiting.store(state.jobs.len(), Ordering::Relaxed);
        let is_expected = state.is_watched && state.jobs.len() == 1;
        let wakes = state.sleeping > 0 && !is_expected;
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Gives `answer`, and waits for the next job; none once the queue is closed and empty.
    pub(crate) fn answer_and_pop(&self, answer: Option<Answer>) -> Option<Job> {
        let mut state = self.lock();
        // From before the answer: whoever gets it may be back before the rest is dropped.
        let watches = state.jobs.is_empty() && !state.is_watched && !state.is_closed;
        state.is_watched |= watches;
        drop(state);
        if let Some(answer) = answer {
            // The waker of a caller may do anything.
            let _ = catch_unwind(AssertUnwindSafe(answer));
        }
        if watches {
            self.look_about();
        }
        let mut state = self.lock();
        if watches {
            state.is_watched = false;
        }
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.waiting.store(state.jobs.len(), Ordering::Relaxed);
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state.sleeping += 1;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
    }

    /// Others that want the processor go first.
    fn look_about(&self) {
        let started = Instant::now();
        while self.waiting.load(Ordering::Relaxed) == 0 && started.elapsed() < LOOKS_ABOUT {
            yield_now();
        }
    }

    /// Lets the threads end once they have done what is there.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No job runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread::{Scope, scope};

    use super::*;

    fn queue() -> Queue {
        Queue::new(NonZeroUsize::MIN.saturating_add(1))
    }

    /// Says its number.
    fn job(number: u32, said: &mpsc::Sender<u32>) -> Job {
        let said = said.clone();
        Box::new(move || {
            said.send(number).unwrap();
            Box::new(|| {})
        })
    }

    /// Closes the queue when it is dropped, so that a test that fails ends.
    struct Closes<'a>(&'a Queue);

    impl Drop for Closes<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    /// A thread that does what comes, asleep by now, until the queue is closed.
    fn sleeper<'scope>(scope: &'scope Scope<'scope, '_>, queue: &'scope Queue) -> Closes<'scope> {
        scope.spawn(|| {
            let mut answer = None;
            while let Some(job) = queue.answer_and_pop(answer) {
                answer = Some(job());
            }
        });
        while queue.lock().sleeping == 0 {
            yield_now();
        }
        Closes(queue)
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn who_has_looked_about_in_vain_sleeps_and_is_woken() {
        let (queue, (said, hears)) = (&queue(), mpsc::channel());
        scope(|scope| {
            let _closes = sleeper(scope, queue);
            assert!(!queue.lock().is_watched);
            queue.push(job(1, &said)).unwrap();
            assert_eq!(hears.recv_timeout(PATIENCE), Ok(1));
        });
    }

    #[test]
    fn one_looks_about_and_takes_one_job_and_more_of_them_wake_others() {
        let (queue, (said, hears)) = (&queue(), mpsc::channel());
        queue.lock().is_watched = true;
        scope(|scope| {
            let _closes = sleeper(scope, queue);
            assert!(queue.lock().is_watched, "it has not looked about");
            queue.push(job(1, &said)).unwrap();
            queue.push(job(2, &said)).unwrap();
            let heard = [hears.recv_timeout(PATIENCE), hears.recv_timeout(PATIENCE)];
            assert_eq!(heard, [Ok(1), Ok(2)]);
        });
    }

    #[test]
    fn a_thread_looks_about_before_its_answer_is_there() {
        let queue = Arc::new(queue());
        let (said, hears) = mpsc::channel();
        let (saw, seen) = mpsc::channel();
        let caller = Arc::clone(&queue);
        let answer = Box::new(move || {
            saw.send(caller.lock().is_watched).unwrap();
            caller.push(job(1, &said)).unwrap();
        });
        drop(queue.answer_and_pop(Some(answer)).unwrap()());
        assert_eq!((seen.try_recv(), hears.try_recv()), (Ok(true), Ok(1)));
        assert!(!queue.lock().is_watched);
    }

    #[test]
    fn an_answer_that_panics_ends_nothing() {
        let (queue, (said, hears)) = (queue(), mpsc::channel());
        queue.push(job(1, &said)).unwrap();
        drop(queue.answer_and_pop(Some(Box::new(|| panic!("on purpose")))).unwrap()());
        assert_eq!(hears.try_recv(), Ok(1));
    }

    #[test]
    fn a_closed_queue_is_emptied_in_order() {
        let (queue, (said, hears)) = (queue(), mpsc::channel());
        queue.push(job(1, &said)).unwrap();
        queue.push(job(2, &said)).unwrap();
        assert_eq!(queue.push(job(3, &said)), Err(Full));
        queue.close();
        while let Some(job) = queue.answer_and_pop(None) {
            drop(job());
        }
        assert_eq!(hears.try_iter().collect::<Vec<_>>(), [1, 2]);
    }
}
