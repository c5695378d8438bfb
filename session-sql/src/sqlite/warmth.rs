//! Whether calls are quick enough to be served on the calling thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Whether calls are served from memory, by how long they take: the operating system does not say beforehand.
///
/// One slow call is enough to send the next ones to the threads, until [`QUICK_CALLS`] in a row were quick
/// there. So a database whose disk is needed again and again makes a caller wait for it at most once in
/// that many calls.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    /// Quick calls in a row, up to what it takes.
    quick: AtomicU32,
}

const QUICK_CALLS: u32 = 32;

/// Ten times and more what a read or a write in memory takes, and less than a few pages from most disks do.
const SLOW: Duration = Duration::from_micros(250);

impl Warmth {
    pub(super) fn is_warm(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_CALLS
    }

    /// Runs `call` and counts it.
    pub(super) fn timed<T>(&self, call: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = call();
        self.note(started.elapsed());
        outcome
    }

    fn note(&self, elapsed: Duration) {
        if elapsed > SLOW {
            self.quick.store(0, Ordering::Relaxed);
        } else if !self.is_warm() {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn heat(&self) {
        self.quick.store(QUICK_CALLS, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn chill(&self) {
        self.note(SLOW * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(5);

    #[test]
    fn calls_are_taken_for_slow_until_enough_were_quick_in_a_row() {
        let warmth = Warmth::default();
        for _ in 1..QUICK_CALLS {
            warmth.note(QUICK);
        }
        assert!(!warmth.is_warm());
        warmth.note(SLOW * 2);
        for _ in 1..QUICK_CALLS {
            warmth.note(QUICK);
        }
        assert!(!warmth.is_warm());
        warmth.note(QUICK);
        assert!(warmth.is_warm());
    }
}
