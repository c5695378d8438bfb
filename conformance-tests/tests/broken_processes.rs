//! The cases about processes on stores that each break one rule of sharing: they must see every one of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tempfile::tempdir() {
        Ok(directory) => {
            conformance_tests::broken::run_processes("tests/broken_processes.matrix", directory.path())
        }
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            ExitCode::FAILURE
        }
    }
}
