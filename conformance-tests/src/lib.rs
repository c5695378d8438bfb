//! The conformance suites of session-kit: what every `SessionBackend` must do, and every integration with a web
//! framework, as named tests.
//!
#![doc = include_str!("../README.md")]

pub mod broken;
mod case;
mod cases;
mod check;
mod context;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
pub mod disk;
mod equivalence;
mod execute;
mod expected;
mod harness;
pub mod http;
mod linearizability;
pub mod network;
mod process;
mod race;
mod recorder;
mod run;
mod scan;
mod site;
mod spy;
mod summary;
mod wire;

pub use harness::{Damage, Harness, Promises};
pub use run::run;
pub use session_core::async_trait;
