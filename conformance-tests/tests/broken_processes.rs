//! The cases about processes on stores that each break one rule of sharing: they must see every one of them.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let run = |directory: &Path| {
        conformance_tests::broken::run_processes("tests/broken_processes.matrix", directory)
    };
    // Set for a process that the suite has started. It may be killed, and would leave a directory behind.
    if let Some(directory) = std::env::var_os("CONFORMANCE_BROKEN_DIRECTORY") {
        return run(Path::new(&directory));
    }
    match tempfile::tempdir() {
        Ok(directory) => run(directory.path()),
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            ExitCode::FAILURE
        }
    }
}
