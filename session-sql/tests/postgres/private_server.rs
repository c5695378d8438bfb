//! A small server of a test's own, for what must not be done to a shared one. It lives in a temporary directory,
//! listens on loopback and ends with its value.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use session_sql::postgres::PostgresConfig;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "hunter2";

/// Postgres refuses to run as root.
const NOBODY: u32 = 65_534;

pub(crate) struct PrivateServer {
    pub(crate) directory: TempDir,
    pub(crate) binaries: PathBuf,
    pub(crate) port: u16,
    pub(crate) process: Option<Child>,
}

impl PrivateServer {
    /// A running server with the role `postgres`, or `None` where Postgres is not installed.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let Some(binaries) = binaries() else {
            eprintln!("not run: there is no `initdb`");
            return None;
        };
        let mut server = Self::beside(binaries);
        let password = server.file("password", PASSWORD);
        let made = server
            .command("initdb")
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .status()
            .unwrap();
        assert!(made.success());
        server.run(arguments).await;
        Some(server)
    }

    /// One that is still to get its data.
    pub(crate) fn beside(binaries: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { directory, binaries, port: free_port(), process: None }
    }

    /// Starts it, again after [`stop`](Self::stop) on the same port, and waits until it lets somebody in.
    pub(crate) async fn run(&mut self, arguments: &[&str]) {
        let mut command = self.command("postgres");
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        command.arg("-c").arg(format!("port={}", self.port));
        for argument in arguments {
            command.args(["-c", argument]);
        }
        let connection = self.config().connection;
        let process = self.process.insert(command.spawn().unwrap());
        let started = Instant::now();
        while PgConnection::connect_with(&connection).await.is_err() {
            assert!(process.try_wait().unwrap().is_none(), "the private server has ended");
            assert!(started.elapsed() < Duration::from_secs(60), "the private server does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as an administrator does who does not wait for clients: SIGINT disconnects them and shuts down.
    pub(crate) fn stop(&mut self) {
        self.end("-INT");
    }

    /// Ends it at once: it leaves everything as it is, to be recovered.
    pub(crate) fn crash(&mut self) {
        self.end("-QUIT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut process) = self.process.take() {
            let signalled = Command::new("kill").args([signal, &process.id().to_string()]).status();
            if !signalled.is_ok_and(|status| status.success()) {
                let _ = process.kill();
            }
            let _ = process.wait();
        }
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        PostgresConfig::from_url(&self.url("")).unwrap().with_auto_migrate(true)
    }

    pub(crate) fn url(&self, options: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres?{options}", self.port)
    }

    /// A file that the server can read and nobody else.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.arg("-D").arg(self.path("data")).current_dir(self.directory.path());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on. Not one of those that the system hands out, as to clients: one of them might be
/// taken before the server has it, or while it is stopped.
fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish() % 20_000;
        let port = 10_000 + u16::try_from(random).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Where the server's programs are: on the path, or where Debian keeps them.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut directories: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    directories.extend(std::env::split_paths(&path));
    directories.into_iter().find(|directory| holds_a_server(directory))
}

fn holds_a_server(directory: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| directory.join(program).is_file())
}
