//! The suite on backends that each break one rule: it must see every one of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance_tests::broken::run("tests/broken.matrix")
}
