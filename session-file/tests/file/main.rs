//! The file driver where the conformance suite does not look: power cuts, failing calls, processes, permissions, damage.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod common;
mod damage;
mod flushes;
mod io_faults;
mod permissions;
mod power_cut;
mod processes;
mod purge;
