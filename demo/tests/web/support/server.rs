//! The demo's process and the directory that its database is in.

use std::future::Future;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// How long anything may take that is expected to happen: only a failing test waits for its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `event`, with an end.
pub(crate) async fn within_patience<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing in {PATIENCE:?}"),
    }
}

/// A directory to start the demo in, removed at the end.
pub(crate) struct Workplace(TempDir);

impl Workplace {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The demo with these options, not started yet.
    pub(crate) fn demo(&self, options: &[&str]) -> Command {
        self.program(env!("CARGO_BIN_EXE_demo"), options)
    }

    pub(crate) fn program(&self, program: impl Into<PathBuf>, options: &[&str]) -> Command {
        let mut command = Command::new(program.into());
        command.args(options).current_dir(&self.0).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command that should end by itself.
    pub(crate) async fn run(&self, mut command: Command) -> Output {
        within_patience("the process's end", command.output()).await.unwrap()
    }

    /// Starts a command that should serve; its log goes to a file.
    pub(crate) async fn serve(self, mut command: Command) -> Server {
        let log = std::fs::File::create(self.file(LOG)).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        within_patience("the line with the address", output.read_line(&mut line)).await.unwrap();
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            panic!("no address in {line:?}; log: {}", std::fs::read_to_string(self.file(LOG)).unwrap());
        };
        Server { address: address.to_owned(), process, _output: output, workplace: self }
    }
}

const LOG: &str = "log";
const DATABASE: &str = "demo-sessions.db";
const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A demo that serves. Killed when dropped.
pub(crate) struct Server {
    address: String,
    process: Child,
    /// Kept open: the demo may write to it.
    _output: BufReader<ChildStdout>,
    workplace: Workplace,
}

impl Server {
    pub(crate) async fn on_memory() -> Self {
        Self::start(&["--store", "memory:"]).await
    }

    /// On a database of its own: the default one, in a fresh directory.
    pub(crate) async fn on_sqlite() -> Self {
        Self::start(&[]).await
    }

    /// On a store that others may serve from, too.
    pub(crate) async fn on(url: &str, options: &[&str]) -> Self {
        Self::start(&[&["--store", url], options].concat()).await
    }

    async fn start(options: &[&str]) -> Self {
        let workplace = Workplace::new();
        let command = workplace.demo(&[&ANYWHERE, options].concat());
        workplace.serve(command).await
    }

    /// Ends the process the hard way (`kill -9`) and starts another one on the same database.
    pub(crate) async fn kill_and_restart(self) -> Self {
        self.kill_and_restart_at("127.0.0.1:0").await
    }

    pub(crate) async fn kill_and_restart_at(mut self, address: &str) -> Self {
        self.process.kill().await.unwrap();
        let command = self.workplace.demo(&["--listen", address]);
        self.workplace.serve(command).await
    }

    /// Starts another one on the same database, once the process has ended by itself.
    pub(crate) async fn restart_after_end(mut self) -> Self {
        self.end().await;
        let command = self.workplace.demo(&ANYWHERE);
        self.workplace.serve(command).await
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn process_id(&self) -> String {
        self.process.id().unwrap().to_string()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process_id()]).status().await.unwrap();
        assert!(status.success());
    }

    /// Waits until the process has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        within_patience("the server's end", self.process.wait()).await.unwrap()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// The database, as an operator with `sqlite3` in hand sees it.
    pub(crate) fn database(&self) -> Connection {
        let connection = Connection::open(self.database_file()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }

    pub(crate) fn database_file(&self) -> PathBuf {
        self.workplace.file(DATABASE)
    }

    /// What the process has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.workplace.file(LOG)).unwrap()
    }
}
