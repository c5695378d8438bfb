//! The conformance suite on a cluster, which `SESSION_TEST_REDIS_CLUSTER` names.

use std::process::ExitCode;

#[path = "conformance.rs"]
#[expect(dead_code, reason = "a program of its own, too")]
mod suite;

fn main() -> ExitCode {
    suite::run("redis-cluster", "SESSION_TEST_REDIS_CLUSTER", "tests/conformance_cluster.expected")
}
