//! The network between a driver and its server, with faults that a test switches on and off at known points.

mod proxy;
mod relay;
mod state;
#[cfg(test)]
mod tests;

pub use proxy::FaultProxy;
pub use state::{Fault, Traffic, Way};
