//! The conformance suite for drivers of session-kit: what every `SessionBackend` must do, as named tests.
//!
#![doc = include_str!("../README.md")]

pub mod broken;
mod case;
mod cases;
mod check;
mod context;
mod execute;
mod expected;
mod harness;
pub mod http;
mod race;
mod recorder;
mod run;
mod scan;
mod site;
mod spy;
mod summary;

pub use harness::{Damage, Harness, Promises};
pub use run::run;
pub use session_core::async_trait;
