//! Waiting for locks of other connections until a deadline, in steps that are short enough to get a turn.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::Connection;

thread_local! {
    /// Until when this thread's connection waits. SQLite's callback has no other way to know.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes `connection` wait for locks as long as [`wait_until`] says on the thread that it is used on.
pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(wait as fn(i32) -> bool))
}

pub(super) fn wait_until(deadline: Instant) {
    DEADLINE.set(Some(deadline));
}

/// SQLite's own handler soon sleeps for 100 ms at a time, and a process that commits all the time leaves the
/// lock free for moments only: whoever looks ten times a second misses many of them.
fn wait(attempts: i32) -> bool {
    let now = Instant::now();
    let Some(left) = DEADLINE.get().and_then(|deadline| deadline.checked_duration_since(now)) else {
        return false;
    };
    if left.is_zero() {
        return false;
    }
    let step = FIRST_STEP * 2_u32.pow(attempts.clamp(0, DOUBLINGS).unsigned_abs());
    sleep(step.min(left));
    true
}

const FIRST_STEP: Duration = Duration::from_micros(50);

/// Up to 1.6 ms.
const DOUBLINGS: i32 = 5;
