//! One measurement: what is asked for, and what came out. `xtask/src/bench/program.rs` holds the other end.

use serde::{Deserialize, Serialize};

/// What to do, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Load one record by its id.
    Load,
    /// Load, while a million other records that have expired are removed. The cell ends when they are gone.
    LoadDuringPurge,
    /// Load, while a purge looks at all sessions and finds none to remove. The cell ends when it has.
    LoadDuringIdlePurge,
    /// Load what the system does not have in its memory.
    LoadFromDisk,
    /// Write a live session with values that differ from those stored.
    Update,
    /// Store a session under a fresh id.
    Create,
    /// Find the session and decode one of its values.
    ReadOne,
    /// A request with a session's cookie through no session layer at all.
    Bare,
    /// The same without a cookie.
    BareNoCookie,
    /// A request without a cookie through the layer.
    NoCookie,
    /// A request with a session's cookie whose handler leaves the session alone.
    Untouched,
    /// A request that reads one value.
    Read,
    /// A request that counts one up.
    Counter,
}

impl Operation {
    /// Whether it is a request, whose cost is measured in CPU time over that of [`bare`](Self::bare).
    pub(crate) fn is_request(self) -> bool {
        matches!(self, Self::NoCookie | Self::Untouched | Self::Read | Self::Counter)
    }

    /// The same request through no layer: what it takes to make and to route falls out of the difference.
    pub(crate) fn bare(self) -> Self {
        if self == Self::NoCookie { Self::BareNoCookie } else { Self::Bare }
    }
}

/// One measurement to make.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Cell {
    /// What each task does.
    pub operation: Operation,
    /// How many tasks do it at the same time.
    pub tasks: usize,
    /// For how long.
    pub millis: u64,
    /// Where the picks start: another in each round, the same on all sides.
    pub seed: u64,
}

/// What a cell measured.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// How many operations were done in each second.
    pub rate: f64,
    /// How long the cell took.
    pub seconds: f64,
    /// Latency in microseconds that half of the operations kept.
    pub p50: f64,
    /// The same for 99%.
    pub p99: f64,
    /// The same for 99.9%.
    pub p999: f64,
    /// CPU time in microseconds that a request takes more than a bare one; zero for other operations.
    pub added: f64,
    /// How often a write-ahead log was started anew, which a complete checkpoint comes before.
    pub log_restarts: u32,
}
