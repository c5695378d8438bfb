//! Processes of their own: what the program under test does instead of running cases, and the case's hold on it.

use std::env;
use std::fmt;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;

use session_core::{
    CreateOutcome, Error, ErrorKind, Record, Revision, SessionBackend, SessionId, UpdateOutcome,
};
use session_core::{Result, Timestamp};

use crate::check::{CaseResult, Failure, ensure};
use crate::context::{DAY, START};
use crate::harness::Harness;

/// Tells a process its part: the role, the namespace and the ids of sessions, in decimal.
const PART: &str = "CONFORMANCE_PROCESS";

/// How often a process of [`Role::Count`] counts.
pub(crate) const COUNTS: u32 = 60;

/// What a process does with the sessions that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Counts up to [`COUNTS`] on each of them, along with others.
    Count,
    /// Updates each of them for ever, one task per session, and prints what was acknowledged.
    Write,
    /// Opens the namespace as the first one would, and creates them.
    Open,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "count",
            Self::Write => "write",
            Self::Open => "open",
        })
    }
}

/// A process at work. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(
        mut command: Command,
        role: Role,
        namespace: &str,
        ids: &[SessionId],
    ) -> CaseResult<Self> {
        let ids: Vec<_> = ids.iter().map(|id| u128::from_be_bytes(*id.as_bytes()).to_string()).collect();
        command.env(PART, format!("{role} {namespace} {}", ids.join(" "))).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failure("start", &error))?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("a process without output"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// The next write that was acknowledged: the place of its session, and its revision's sequence.
    pub(crate) fn acknowledged(&mut self) -> CaseResult<Option<(usize, u32)>> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line.map_err(|error| failure("listen to", &error))?;
        let numbers = line
            .split_once(' ')
            .and_then(|(place, sequence)| Some((place.parse().ok()?, sequence.parse().ok()?)));
        numbers.map(Some).ok_or_else(|| Failure::new(format!("a process says `{line}`")))
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&mut self) -> CaseResult {
        self.child.kill().map_err(|error| failure("kill", &error))?;
        self.child.wait().map(drop).map_err(|error| failure("wait for", &error))
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn succeed(mut self) -> CaseResult {
        let status = self.child.wait().map_err(|error| failure("wait for", &error))?;
        ensure(status.success(), format!("a process has failed: {status}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failure(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {what} a process: {error}"))
}

/// The part that this process was started for, played to its end, if it was.
pub(crate) fn play(harness: &Arc<dyn Harness>) -> Option<ExitCode> {
    let part = env::var(PART).ok()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime
        .map_err(|error| Error::new(ErrorKind::Internal, error))
        .and_then(|runtime| runtime.block_on(play_part(&**harness, &part)));
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{part}: {error:?}");
            ExitCode::FAILURE
        }
    })
}

async fn play_part(harness: &dyn Harness, part: &str) -> Result<()> {
    let mut words = part.split(' ');
    let (Some(role), Some(namespace)) = (words.next(), words.next()) else {
        return Err(Error::describe(ErrorKind::Config, "a part is a role, a namespace and ids"));
    };
    let ids: Vec<SessionId> = words
        .filter_map(|word| word.parse().ok())
        .map(|number: u128| SessionId::from_bytes(number.to_be_bytes()))
        .collect();
    if role == Role::Open.to_string() {
        let backend = harness.open(namespace).await?;
        for id in ids {
            match backend.create(id, numbered(1, Revision::first(rand::random())), START).await? {
                CreateOutcome::Created => {}
                CreateOutcome::Occupied(_) => return Err(unexpected("occupied")),
            }
        }
        return Ok(());
    }
    let backend = harness.second_handle(namespace).await?.ok_or_else(|| unexpected("no second handle"))?;
    let mut tasks = tokio::task::JoinSet::new();
    for (place, id) in ids.into_iter().enumerate() {
        if role == Role::Count.to_string() {
            tasks.spawn(count(backend.clone(), id));
        } else {
            tasks.spawn(write(backend.clone(), place, id));
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| Error::new(ErrorKind::Internal, error))??;
    }
    Ok(())
}

async fn count(backend: Arc<dyn SessionBackend>, id: SessionId) -> Result<()> {
    for _ in 0..COUNTS {
        let mut current = backend.load(id, START).await?.ok_or_else(|| unexpected("no session"))?;
        loop {
            match backend.update(id, current.revision, successor(&current), START).await? {
                UpdateOutcome::Updated => break,
                UpdateOutcome::Conflict(newer) => current = newer,
                UpdateOutcome::Gone => return Err(unexpected("gone")),
            }
        }
    }
    Ok(())
}

async fn write(backend: Arc<dyn SessionBackend>, place: usize, id: SessionId) -> Result<()> {
    let mut current = backend.load(id, START).await?.ok_or_else(|| unexpected("no session"))?;
    loop {
        let next = successor(&current);
        match backend.update(id, current.revision, next.clone(), START).await? {
            UpdateOutcome::Updated => println!("{place} {}", next.revision.sequence()),
            other => {
                return Err(unexpected(match other {
                    UpdateOutcome::Gone => "gone",
                    _ => "a conflict",
                }));
            }
        }
        current = next;
    }
}

fn unexpected(what: &'static str) -> Error {
    Error::describe(ErrorKind::Internal, what)
}

/// The record after `current`.
pub(crate) fn successor(current: &Record) -> Record {
    let revision = current.revision.next(rand::random());
    numbered(revision.sequence(), revision)
}

/// A record whose contents follow from `sequence`, and are long enough to be torn.
pub(crate) fn numbered(sequence: u32, revision: Revision) -> Record {
    let end: Timestamp = START.saturating_add(DAY);
    Record::new(revision, START, end, end).with_data(format!("{sequence} ").repeat(1_000))
}
