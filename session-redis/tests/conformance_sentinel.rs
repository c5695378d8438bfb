//! The conformance suite on a master that sentinels name, which `SESSION_TEST_REDIS_SENTINEL` names.

use std::process::ExitCode;

#[path = "conformance.rs"]
#[expect(dead_code, reason = "a program of its own, too")]
mod suite;

fn main() -> ExitCode {
    suite::run("redis-sentinel", "SESSION_TEST_REDIS_SENTINEL", "tests/conformance_sentinel.expected")
}
