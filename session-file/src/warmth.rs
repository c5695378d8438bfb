//! Whether loads are quick enough to be served on the calling thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Whether loads are served from memory, by how long they take: the operating system does not say beforehand.
///
/// One slow load is enough to send the next ones to the threads, until [`QUICK_LOADS`] in a row were quick there. So a
/// store whose disk is needed again and again makes a caller wait for it at most once in that many loads.
#[derive(Debug, Default)]
pub(crate) struct Warmth {
    /// Quick loads in a row, up to what it takes.
    quick: AtomicU32,
}

const QUICK_LOADS: u32 = 32;

/// Ten times and more what a load from memory takes, and less than one from most disks.
const SLOW: Duration = Duration::from_micros(250);

impl Warmth {
    pub(crate) fn is_warm(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_LOADS
    }

    /// Runs `load` and counts it.
    pub(crate) fn timed<T>(&self, load: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = load();
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
    pub(crate) fn heat(&self) {
        self.quick.store(QUICK_LOADS, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(5);

    #[test]
    fn loads_are_taken_for_slow_until_enough_were_quick_in_a_row() {
        let warmth = Warmth::default();
        for _ in 1..QUICK_LOADS {
            warmth.note(QUICK);
        }
        assert!(!warmth.is_warm());
        warmth.note(SLOW * 2);
        for _ in 1..QUICK_LOADS {
            warmth.note(QUICK);
        }
        assert!(!warmth.is_warm());
        warmth.note(QUICK);
        assert!(warmth.is_warm());
        warmth.note(SLOW * 2);
        assert!(!warmth.is_warm());
    }
}
