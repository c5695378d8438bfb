//! The conformance suite on a server that speaks TLS alone, which `SESSION_TEST_REDIS_TLS` names.

use std::process::ExitCode;

#[path = "conformance.rs"]
#[expect(dead_code, reason = "a program of its own, too")]
mod suite;

fn main() -> ExitCode {
    suite::run("redis-tls", "SESSION_TEST_REDIS_TLS", "tests/conformance_tls.expected")
}
