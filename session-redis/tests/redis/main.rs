//! The Redis driver where the conformance suite does not look: keys, scripts, rights, connections.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod cancellation;
mod common;
mod connection;
mod damage;
mod expiry;
mod index;
mod keys;
mod memory;
mod rights;
mod runtimes;
mod scripts;
mod server;
#[cfg(feature = "tls")]
mod tls;
