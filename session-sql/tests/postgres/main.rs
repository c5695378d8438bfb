//! The Postgres driver where the conformance suite does not look: schema, roles, locks, faults, damage.
//!
//! The server is the one in `SESSION_TEST_POSTGRES`; without it these tests fail, unless
//! `SESSION_TEST_ALLOW_MISSING=1`.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod batches;
mod cancellation;
#[path = "../shared/certificates.rs"]
mod certificates;
mod common;
mod damage;
mod faults;
mod golden;
#[path = "../shared/golden_sessions.rs"]
mod golden_sessions;
mod hosts;
mod private_server;
#[path = "../shared/proxy.rs"]
mod proxy;
mod purge;
#[path = "../shared/purges.rs"]
mod purges;
mod races;
#[path = "../shared/records.rs"]
mod records;
mod replica;
mod replicas;
mod runtimes;
mod schema;
mod server;
mod tls;
mod unlogged;
mod verbs;
