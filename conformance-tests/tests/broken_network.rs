//! The cases about cancellation and networks on clients that each break one rule: they must see every one of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance_tests::broken::run_network("tests/broken_network.matrix")
}
