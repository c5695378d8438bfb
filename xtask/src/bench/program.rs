//! One program of the bench: a process with a filled store, told one cell at a time. `bench/harness` is what it
//! is built on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::rows::Contender;
use crate::services::TestRun;

/// What to measure.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) operation: &'static str,
    pub(super) tasks: usize,
    pub(super) millis: u64,
    /// Where the picks start, the same for all sides of a round.
    pub(super) seed: u64,
}

impl Cell {
    /// The cell of a contender in a round of a row with `tasks`; none for a store at rest.
    pub(super) fn of(contender: Contender, tasks: usize, millis: u64, round: u64) -> Option<Self> {
        let tasks = contender.tasks.unwrap_or(tasks);
        contender.operation.map(|operation| Self { operation, tasks, millis, seed: round + 1 })
    }
}

/// What was measured: by the second, in seconds, microseconds and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) rate: f64,
    pub(super) seconds: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) added: f64,
    pub(super) log_restarts: f64,
    pub(super) bytes_per_session: f64,
    pub(super) file_bytes_per_session: f64,
    pub(super) files_per_session: f64,
    pub(super) server_bytes_per_session: f64,
}

pub(super) struct Program {
    process: Child,
    /// `None` once the program was told to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    directory: PathBuf,
    name: String,
    at_rest: Outcome,
}

impl Program {
    /// Starts it, and waits until its store is filled.
    pub(super) fn start(
        target_directory: &Path,
        servers: &TestRun,
        contender: Contender,
    ) -> Result<Self, String> {
        let name = contender.to_string();
        let directory = target_directory.join("bench-data").join(name.replace(' ', "-"));
        let fresh = fs::remove_dir_all(&directory).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        fresh
            .and_then(|()| fs::create_dir_all(&directory))
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        let mut command = Command::new(target_directory.join("release").join(contender.program));
        servers.describe_to(&mut command);
        let mut process = command
            .args([contender.store, &contender.sessions.to_string(), contender.values])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        let mut program = Self { process, input, output, directory, name, at_rest: Outcome::default() };
        let ready = program.answer()?;
        program.at_rest.bytes_per_session = number(&ready, "bytes_per_session")?;
        program.at_rest.file_bytes_per_session = number(&ready, "file_bytes_per_session")?;
        program.at_rest.files_per_session = number(&ready, "files_per_session")?;
        program.at_rest.server_bytes_per_session = number(&ready, "server_bytes_per_session")?;
        Ok(program)
    }

    pub(super) fn run(&mut self, cell: &Cell) -> Result<Outcome, String> {
        let Cell { operation, tasks, millis, seed } = *cell;
        let line = json!({ "operation": operation, "tasks": tasks, "millis": millis, "seed": seed });
        let input = self.input.as_mut().ok_or("the program has ended")?;
        writeln!(input, "{line}")
            .and_then(|()| input.flush())
            .map_err(|error| format!("{} takes no cell: {error}", self.name))?;
        let answer = self.answer()?;
        Outcome::read(&answer).map_err(|problem| format!("{}, {operation}: {problem}", self.name))
    }

    /// What can be said without running anything.
    pub(super) fn at_rest(&self) -> Outcome {
        self.at_rest
    }

    fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| format!("{}: {error}", self.name))?;
        serde_json::from_str(&line).map_err(|_| format!("{} has ended; what it said is above", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Outcome {
    fn read(answer: &Value) -> Result<Self, String> {
        Ok(Self {
            rate: number(answer, "rate")?,
            seconds: number(answer, "seconds")?,
            p50: number(answer, "p50")?,
            p99: number(answer, "p99")?,
            p999: number(answer, "p999")?,
            added: number(answer, "added")?,
            log_restarts: number(answer, "log_restarts")?,
            ..Self::default()
        })
    }
}

fn number(answer: &Value, name: &str) -> Result<f64, String> {
    answer[name].as_f64().ok_or_else(|| format!("no `{name}` in {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_complete_or_an_error() {
        let mut answer = json!({
            "rate": 10.5, "seconds": 0.4, "p50": 1, "p99": 2, "p999": 3, "added": 0, "log_restarts": 4
        });
        let outcome = Outcome::read(&answer).unwrap();
        assert_eq!((outcome.rate, outcome.p50, outcome.p99, outcome.p999), (10.5, 1.0, 2.0, 3.0));
        assert_eq!((outcome.seconds, outcome.added, outcome.log_restarts), (0.4, 0.0, 4.0));
        answer["p99"] = Value::Null;
        assert!(Outcome::read(&answer).unwrap_err().contains("`p99`"));
    }
}
