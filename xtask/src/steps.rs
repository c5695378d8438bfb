//! Runs the steps of a command one after the other, times them, and remembers which failed.

use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

/// A step that fails stops no other: one run shows everything that is wrong.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    failed: bool,
}

impl Steps {
    /// Runs one step; an `Err` says why it failed.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<(), String>) {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = work();
        if let Err(reason) = &result {
            println!("{name}: {reason}");
        }
        self.finished.push(Step { name: name.to_owned(), took: started.elapsed(), failed: result.is_err() });
    }

    /// One line for each step, and the sum.
    pub(crate) fn minutes(&self) -> String {
        let mut text = "minutes per step\n".to_owned();
        for Step { name, took, .. } in &self.finished {
            text.push_str(&format!("{:6.1}  {name}\n", minutes(*took)));
        }
        let total = self.finished.iter().map(|step| step.took).sum();
        text.push_str(&format!("{:6.1}  in total\n", minutes(total)));
        text
    }

    /// The line that names the failed steps; `None` if none failed.
    pub(crate) fn failures(&self) -> Option<String> {
        let names: Vec<&str> =
            self.finished.iter().filter(|step| step.failed).map(|step| step.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("failed steps: {}", names.join("; ")))
    }
}

/// Prints the command as it can be repeated by hand, runs it, and fails as it fails.
pub(crate) fn run_command(command: &mut Command) -> Result<(), String> {
    announce(command);
    let status = command.status().map_err(|error| format!("does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("failed ({status})")) }
}

pub(crate) fn announce(command: &Command) {
    let program = std::path::Path::new(command.get_program());
    let mut line = format!("$ {}", program.file_name().unwrap_or_default().display());
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    println!("{line}");
}

/// Says what happens on stderr. Who listens may be gone (an interrupted run), which is no reason to
/// fail as `eprintln` would.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_stops_no_other_and_is_named() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.run("first", || Ok(()));
        assert_eq!(steps.failures(), None);
        steps.run("second", || Err("broke".to_owned()));
        steps.run("third", || {
            ran += 1;
            Err("broke too".to_owned())
        });
        steps.run("fourth", || {
            ran += 1;
            Ok(())
        });
        assert_eq!(ran, 2);
        assert_eq!(steps.failures().unwrap(), "failed steps: second; third");
    }

    #[test]
    fn minutes_have_one_decimal() {
        let step = |name: &str, seconds| Step {
            name: name.to_owned(),
            took: Duration::from_secs(seconds),
            failed: false,
        };
        let steps = Steps { finished: vec![step("build", 90), step("unit tests", 633)] };
        assert_eq!(
            steps.minutes(),
            "minutes per step\n   1.5  build\n  10.6  unit tests\n  12.1  in total\n"
        );
    }
}
