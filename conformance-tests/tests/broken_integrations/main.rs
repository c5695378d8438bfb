//! The suite for HTTP on integrations that each break one rule: it must see every one of them.

mod answer;
mod fault;
mod server;
mod sessions;

use std::process::ExitCode;

use conformance_tests::http::{BrokenIntegration, run_broken};

use crate::server::Server;

fn main() -> ExitCode {
    let broken = fault::FAULTS
        .iter()
        .map(|&(fault, name, breaks)| BrokenIntegration::new(name, breaks, Server { fault }));
    run_broken(broken.collect(), "tests/broken_integrations.matrix")
}
