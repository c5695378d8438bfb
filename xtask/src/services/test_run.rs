//! The services of one run of tests or of the bench: started before it, stopped when it ends, however it ends.
//!
//! A second process does the stopping. It notices the end of the run by the end of its own input,
//! so an interrupt, a panic and `kill -9` leave as little behind as a run that ends well.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::service::Service;
use super::state::random_hex;
use super::{BENCHED, KNOWN, process, progress};

/// Marks all processes of a run, so that those of an interrupted one can be ended with it.
const RUN: &str = "SESSION_TEST_RUN";

/// What the guard reads before the end of its input if the run was not interrupted.
const COMPLETE: &str = "complete";

/// How long the processes of an interrupted run may take to end in order.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct TestRun {
    guard: Option<Child>,
    environment: Vec<(String, String)>,
    missing: Vec<&'static str>,
}

impl TestRun {
    /// Starts the services. One that cannot be started is an `Err`, unless that is allowed.
    pub(crate) fn start(
        &mut self,
        target: &Path,
        services: &[&'static dyn Service],
        allow_missing: bool,
    ) -> Result<(), String> {
        let run = random_hex().map_err(|error| format!("cannot name this run: {error}"))?;
        let program = std::env::current_exe().map_err(|error| format!("cannot find itself: {error}"))?;
        let mut guard = Command::new(program);
        guard.args(["services", "guard", &run]).process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::null());
        self.guard = Some(guard.spawn().map_err(|error| format!("the guard does not start: {error}"))?);
        self.environment.push((RUN.to_owned(), run.clone()));

        for (service, started) in super::up(target, services, Some(&run)) {
            match started {
                Ok(url) => self.environment.push((service.variable(), url)),
                Err(reason) => {
                    progress(&reason);
                    self.missing.push(service.name());
                }
            }
        }
        if self.missing.is_empty() || allow_missing {
            return Ok(());
        }
        Err(format!("missing: {}; --allow-missing goes on without", self.missing.join(", ")))
    }

    /// Tells a test or a program of the bench where the services are.
    pub(crate) fn describe_to(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// The services that could not be started.
    pub(crate) fn missing(&self) -> &[&'static str] {
        &self.missing
    }

    /// Stops what this run has started, and waits for that.
    pub(crate) fn stop(self) -> Result<(), String> {
        let Some(mut guard) = self.guard else { return Ok(()) };
        if let Some(mut input) = guard.stdin.take() {
            // A guard that is gone is seen by how it ended.
            let _ = input.write_all(COMPLETE.as_bytes());
        }
        match guard.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the services may still run ({status}): `cargo xtask services down`")),
            Err(error) => Err(format!("the guard cannot be waited for: {error}")),
        }
    }
}

/// Waits for the end of the run, and stops the services that are still its own.
pub(super) fn guard(target: &Path, run: &str) -> Result<bool, String> {
    let mut said = String::new();
    let read = io::stdin().read_to_string(&mut said);
    if read.is_err() || said != COMPLETE {
        progress("interrupted; ending what still runs");
        let remaining = || process::find_by_environment(RUN, run);
        process::stop("TERM", &remaining(), STOP_PATIENCE, remaining)?;
    }
    let all: Vec<_> = KNOWN.into_iter().chain(BENCHED).collect();
    super::down(target, &all, |instance| instance.belongs_to(run))
}
