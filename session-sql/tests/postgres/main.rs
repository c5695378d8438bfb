//! The Postgres driver where the conformance suite does not look: schema, roles, locks, faults, damage.
//!
//! The server is the one in `SESSION_TEST_POSTGRES`; without it these tests fail, unless
//! `SESSION_TEST_ALLOW_MISSING=1`.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

#[path = "../server/batches/mod.rs"]
mod batches;
#[path = "../server/cancellation.rs"]
mod cancellation;
#[path = "../shared/certificates.rs"]
mod certificates;
#[path = "../server/common.rs"]
mod common;
#[path = "../server/damage.rs"]
mod damage;
mod defaults;
mod dialect;
mod errors;
#[path = "../server/faults.rs"]
mod faults;
#[path = "../server/golden.rs"]
mod golden;
#[path = "../shared/golden_sessions.rs"]
mod golden_sessions;
mod hosts;
mod indexes;
mod partitions;
mod private_server;
#[path = "../shared/proxy.rs"]
mod proxy;
#[path = "../server/purge.rs"]
mod purge;
mod purge_costs;
#[path = "../server/races.rs"]
mod races;
mod read_only;
#[path = "../shared/records.rs"]
mod records;
mod replica;
mod replicas;
#[path = "../server/runtimes.rs"]
mod runtimes;
mod schema;
mod server;
mod statements;
#[path = "../server/tables.rs"]
mod tables;
mod tls;
mod unlogged;
#[path = "../server/urls.rs"]
mod urls;
#[path = "../server/verbs.rs"]
mod verbs;
