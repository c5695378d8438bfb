//! The SQLite driver where the conformance suite does not look: files, locks, damage, processes.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod cancellation;
mod common;
mod damage;
mod disk;
mod faults;
mod golden;
#[path = "../shared/golden_sessions.rs"]
mod golden_sessions;
mod io_faults;
mod model;
mod power_cut;
mod processes;
#[path = "../shared/records.rs"]
mod records;
mod runtimes;
mod schema;
mod verbs;
