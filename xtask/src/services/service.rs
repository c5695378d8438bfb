//! What makes one kind of server different from another, and what all of them are given.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::state::State;
use crate::programs::Package;
use crate::user::User;

const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// A server, or several that make one store (a cluster, a primary with its replica).
pub(crate) trait Service: Sync {
    /// As it stands on the command line and in the conformance table.
    fn name(&self) -> &'static str;

    /// The files of the programs that run in the directory. A process is recognised by one of them
    /// together with a path of the directory among its arguments.
    fn programs(&self) -> &'static [&'static str];

    /// Where the programs may be, besides the search path.
    fn directories(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The package of Debian that holds the programs.
    fn package_name(&self) -> &'static str;

    fn package(&self) -> Package {
        Package {
            name: self.package_name(),
            programs: self.programs().to_vec(),
            directories: self.directories(),
            instead: format!("name a server in {}", self.variable()),
        }
    }

    fn refuses_root(&self) -> bool {
        false
    }

    fn port_count(&self) -> usize {
        1
    }

    /// How many server processes there are, if not one for each port.
    fn process_count(&self) -> usize {
        self.port_count()
    }

    /// The signal that makes a server end soon and in order.
    fn stop_signal(&self) -> &'static str {
        "TERM"
    }

    /// Fills the empty directory with all that does not depend on the ports.
    fn prepare(&self, setup: &Setup) -> Result<(), String>;

    /// One command for each server process. They stay in the foreground.
    fn servers(&self, setup: &Setup) -> Vec<Command>;

    /// Asks once whether the service is ready; an `Err` says what it answered instead.
    fn check(&self, setup: &Setup) -> Result<(), String>;

    /// As `session_kit::connect` takes it.
    fn url(&self, setup: &Setup) -> String;

    /// The variable by which tests are told the URL.
    fn variable(&self) -> String {
        format!("SESSION_TEST_{}", self.name().to_uppercase().replace('-', "_"))
    }
}

/// One instance's directory, ports, programs and secrets.
pub(crate) struct Setup {
    pub(crate) directory: PathBuf,
    pub(crate) state: State,
    programs: BTreeMap<&'static str, PathBuf>,
    user: Option<User>,
    log: File,
}

impl Setup {
    /// Expects the directory.
    pub(crate) fn new(
        directory: &Path,
        state: State,
        programs: BTreeMap<&'static str, PathBuf>,
        user: Option<User>,
    ) -> Result<Self, String> {
        let log = directory.join("log");
        let cannot = |error: io::Error| format!("cannot open {}: {error}", log.display());
        let log = File::options().append(true).create(true).mode(0o600).open(&log).map_err(cannot)?;
        Ok(Self { directory: directory.to_owned(), state, programs, user, log })
    }

    /// Makes the empty directory, which nobody else can look into.
    pub(crate) fn create_directory(directory: &Path, user: Option<&User>) -> Result<(), String> {
        let cannot = |error: io::Error| format!("cannot create {}: {error}", directory.display());
        fs::DirBuilder::new().mode(0o700).create(directory).map_err(cannot)?;
        give(directory, user).map_err(cannot)
    }

    /// The port of a service that has one.
    pub(crate) fn port(&self) -> u16 {
        self.port_of(0)
    }

    /// The port of one of several servers.
    pub(crate) fn port_of(&self, server: usize) -> u16 {
        self.state.ports.get(server).copied().unwrap_or_default()
    }

    /// A program of the service, run in the directory as the right user. Nothing of the caller's
    /// environment but the path reaches it: variables could change what a server does.
    pub(crate) fn command(&self, program: &'static str) -> Command {
        let path = self.programs.get(program).map_or(Path::new(program), PathBuf::as_path);
        let mut command = Command::new(path);
        command.env_clear().env("LC_ALL", "C").envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(self.log()).stderr(self.log());
        if let Some(user) = &self.user {
            command.uid(user.id).gid(user.group);
        }
        command
    }

    /// Writes a file that the service's user alone can read.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.directory.join(name);
        let mut options = File::options();
        let written = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| give(&path, self.user.as_ref()));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }

    pub(crate) fn connect(&self) -> Result<TcpStream, String> {
        self.connect_to(self.port())
    }

    pub(crate) fn connect_to(&self, port: u16) -> Result<TcpStream, String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
            stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
            stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
            Ok(stream)
        };
        connect().map_err(|error: io::Error| error.to_string())
    }

    fn log(&self) -> Stdio {
        self.log.try_clone().map_or_else(|_| Stdio::null(), Stdio::from)
    }
}

fn give(path: &Path, user: Option<&User>) -> io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user.id), Some(user.group)))
}
