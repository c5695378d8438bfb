//! One private instance of a service: a directory, and the processes that run in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use super::home::Home;
use super::service::{Service, Setup};
use super::state::State;
use super::{process, progress};
use crate::programs::Programs;
use crate::user;

/// How long a server may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a server that runs already may take: it can be busy, or recovering.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a server may take to end in order.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A free port can be taken by anyone before the server has it.
const START_ATTEMPTS: usize = 3;

const LOG_LINES: usize = 20;

pub(crate) struct Instance<'a> {
    service: &'a dyn Service,
    directory: PathBuf,
}

#[derive(Debug)]
enum StartFailure {
    DoesNotStart(io::Error),
    Exited(ExitStatus),
    NotReady(String),
}

impl<'a> Instance<'a> {
    pub(crate) fn new(service: &'a dyn Service, home: &Home) -> Self {
        Self { service, directory: home.directory_of(service.name()) }
    }

    /// Makes sure that it runs and answers, and returns its URL.
    ///
    /// One that runs already stays as it is and changes hands at most: from a test run to a later
    /// one, or to nobody, so that it outlives them all.
    pub(crate) fn up(&self, owner: Option<&str>, programs: &mut Programs) -> Result<String, String> {
        let programs = programs.of(&self.service.package())?;
        let found = State::read(&self.state_path());
        let runs = |state: &State| state.prepared && self.servers().len() >= self.service.process_count();
        if let Some(state) = found.clone().filter(runs) {
            let mut setup = self.setup(state, &programs)?;
            if process::wait_until(ANSWER_PATIENCE, || self.service.check(&setup).is_ok()) {
                setup.state.owner = setup.state.owner.as_deref().and(owner).map(str::to_owned);
                self.write(&setup.state)?;
                return Ok(self.service.url(&setup));
            }
        }

        self.stop()?;
        if let Some(mut state) = found.clone().filter(|state| state.prepared && state.is_of_this_boot()) {
            self.report("starting again, in the directory of a server that has ended");
            state.owner = owner.map(str::to_owned);
            match self.setup(state, &programs).and_then(|setup| self.start(setup)) {
                Ok(url) => return Ok(url),
                Err(reason) => self.report(&format!("{reason}\nits data is given up")),
            }
        }
        self.remove()?;
        self.report("starting");
        self.start_anew(found, owner, &programs)
    }

    /// Stops it and removes its directory; `false` if there was nothing.
    pub(crate) fn down(&self) -> Result<bool, String> {
        if !self.directory.exists() && self.processes().is_empty() {
            return Ok(false);
        }
        self.report("stopping");
        self.stop()?;
        self.remove()?;
        Ok(true)
    }

    /// Whether the test run is to stop it. What has no state belongs to whoever finds it: its
    /// beginning was interrupted.
    pub(crate) fn belongs_to(&self, run: &str) -> bool {
        State::read(&self.state_path()).is_none_or(|state| state.owner.as_deref() == Some(run))
    }

    /// Keeps the port and the password that were in use before, for those who know the URL.
    fn start_anew(
        &self,
        found: Option<State>,
        owner: Option<&str>,
        programs: &BTreeMap<&'static str, PathBuf>,
    ) -> Result<String, String> {
        let mut state = State::new(owner).map_err(|error| format!("cannot begin: {error}"))?;
        if let Some(found) = found {
            state.ports = found.ports;
            state.password = found.password;
        }
        Setup::create_directory(&self.directory, self.user()?.as_ref())?;
        self.write(&state)?;
        let mut setup = self.setup(state, programs)?;
        self.service.prepare(&setup).map_err(|reason| self.with_log(&reason))?;
        setup.state.prepared = true;
        self.write(&setup.state)?;
        self.start(setup)
    }

    fn start(&self, mut setup: Setup) -> Result<String, String> {
        let mut attempts_left = START_ATTEMPTS;
        loop {
            if setup.state.ports.len() != self.service.port_count() || !are_free(&setup.state.ports) {
                setup.state.ports = free_ports(self.service.port_count())
                    .map_err(|error| format!("there is no free port: {error}"))?;
            }
            self.write(&setup.state)?;
            let Err(failure) = self.start_once(&setup) else { return Ok(self.service.url(&setup)) };
            self.stop()?;
            attempts_left -= 1;
            let lost_its_port = matches!(failure, StartFailure::Exited(_)) && !are_free(&setup.state.ports);
            if !lost_its_port || attempts_left == 0 {
                return Err(self.with_log(&failure.to_string()));
            }
        }
    }

    fn start_once(&self, setup: &Setup) -> Result<(), StartFailure> {
        let mut servers = Vec::new();
        for mut command in self.service.servers(setup) {
            // A group of its own: who interrupts this program does not interrupt the servers.
            servers.push(command.process_group(0).spawn().map_err(StartFailure::DoesNotStart)?);
        }
        let mut outcome = Err(StartFailure::NotReady("nobody asked".to_owned()));
        process::wait_until(START_PATIENCE, || {
            outcome = match servers.iter_mut().find_map(exited) {
                Some(failure) => Err(failure),
                None => self.service.check(setup).map_err(StartFailure::NotReady),
            };
            !matches!(outcome, Err(StartFailure::NotReady(_)))
        });
        outcome
    }

    fn stop(&self) -> Result<(), String> {
        let stopped =
            process::stop(self.service.stop_signal(), &self.servers(), STOP_PATIENCE, || self.processes());
        stopped.map_err(|reason| format!("it does not stop: {reason}"))
    }

    fn remove(&self) -> Result<(), String> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", self.directory.display()))
            }
            _ => Ok(()),
        }
    }

    fn servers(&self) -> Vec<u32> {
        process::find(|arguments| self.is_server(arguments))
    }

    /// The servers, and what they started: it can outlive them for a moment.
    fn processes(&self) -> Vec<u32> {
        let tag = State::read(&self.state_path()).map(|state| state.tag);
        let has_tag = |name: &str| tag.as_ref().is_some_and(|tag| name.contains(tag));
        process::find(|arguments| self.is_server(arguments) || has_tag(&arguments[0]))
    }

    fn is_server(&self, arguments: &[String]) -> bool {
        let Some((program, arguments)) = arguments.split_first() else { return false };
        let program = Path::new(program).file_name();
        self.service.programs().iter().any(|known| program == Some(OsStr::new(known)))
            && arguments.iter().any(|argument| Path::new(argument).starts_with(&self.directory))
    }

    fn setup(&self, state: State, programs: &BTreeMap<&'static str, PathBuf>) -> Result<Setup, String> {
        Setup::new(&self.directory, state, programs.clone(), self.user()?)
    }

    fn user(&self) -> Result<Option<user::User>, String> {
        (self.service.refuses_root() && user::is_root()).then(user::unprivileged).transpose()
    }

    fn write(&self, state: &State) -> Result<(), String> {
        let path = self.state_path();
        state.write(&path).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn state_path(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    fn report(&self, what: &str) {
        progress(&format!("{}: {what}", self.service.name()));
    }

    fn with_log(&self, reason: &str) -> String {
        let path = self.directory.join("log");
        let log = fs::read(&path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        format!("{reason}; the end of {}:\n{}", path.display(), last.join("\n"))
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotStart(error) => write!(formatter, "the server does not start: {error}"),
            Self::Exited(status) => write!(formatter, "the server ended at its start ({status})"),
            Self::NotReady(answer) => {
                write!(formatter, "not ready after {} seconds: {answer}", START_PATIENCE.as_secs())
            }
        }
    }
}

fn exited(server: &mut Child) -> Option<StartFailure> {
    match server.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(StartFailure::Exited(status)),
        Err(error) => Some(StartFailure::DoesNotStart(error)),
    }
}

fn are_free(ports: &[u16]) -> bool {
    ports.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

/// Different ones: all are held until the last is found. None of those that the system hands out, as to clients:
/// one of them might be taken before the server has it, or while it is stopped.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut held = Vec::new();
    while held.len() < count {
        let random = RandomState::new().build_hasher().finish() % 20_000;
        let port = 10_000 + u16::try_from(random).map_err(io::Error::other)?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests;
