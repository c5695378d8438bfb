//! A small server of a test's own, for what must not be done to a shared one. It lives in a temporary directory,
//! listens on loopback and ends with its value.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use session_sql::mysql::MysqlConfig;
use sqlx::{Connection, MySqlConnection};
use tempfile::TempDir;

/// Everything that URLs have a meaning of their own for.
pub(crate) const PASSWORD: &str = "hunter2:/?#[]@!$&()*+,;=%25 \u{e9}";

/// MariaDB refuses to run as root.
const NOBODY: u32 = 65_534;

pub(crate) struct PrivateServer {
    directory: TempDir,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl PrivateServer {
    /// A running server with the account `kit`, or `None` where MariaDB is not installed.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        if program("mariadbd").is_none() || program("mariadb-install-db").is_none() {
            eprintln!("not run: there is no `mariadbd`");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut server = Self { directory, port: free_port(), process: None };
        server.file(
            "accounts.sql",
            &format!(
                "CREATE DATABASE IF NOT EXISTS shop;\nCREATE USER IF NOT EXISTS kit@'%' IDENTIFIED BY '{PASSWORD}';\n\
                 GRANT ALL PRIVILEGES ON *.* TO kit@'%' WITH GRANT OPTION;\n"
            ),
        );
        let made = server
            .command("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", server.path("data").display()))
            .arg(server.own_temporaries())
            .status()
            .unwrap();
        assert!(made.success());
        server.run(arguments).await;
        Some(server)
    }

    /// Starts it, again after [`kill`](Self::crash), and waits until it lets somebody in.
    pub(crate) async fn run(&mut self, arguments: &[&str]) {
        let mut command = self.command("mariadbd");
        command.arg("--no-defaults").arg(format!("--datadir={}", self.path("data").display()));
        command.arg(format!("--init-file={}", self.path("accounts.sql").display()));
        command.arg(format!("--pid-file={}", self.path("pid").display())).arg(self.own_temporaries());
        command.arg(format!("--port={}", self.port)).args(["--bind-address=127.0.0.1", "--socket="]);
        command.args(["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=2"]).args(arguments);
        self.process = Some(command.spawn().unwrap());
        let started = Instant::now();
        let connection = self.config().connection;
        while MySqlConnection::connect_with(&connection).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the private server does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn config(&self) -> MysqlConfig {
        MysqlConfig::from_url(&self.url("")).unwrap().with_auto_migrate(true)
    }

    pub(crate) fn url(&self, options: &str) -> String {
        let encoded: String = PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("mysql://kit:{encoded}@127.0.0.1:{}/shop?{options}", self.port)
    }

    /// A file that the server can read and nobody else.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
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

    /// A server that starts removes the temporary tables of all that share the directory.
    fn own_temporaries(&self) -> String {
        format!("--tmpdir={}", self.path("").display())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name).unwrap());
        command.current_dir(self.directory.path()).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.crash();
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

/// On the path, or where Debian keeps servers.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place: PathBuf| place.join(name)).find(|path: &PathBuf| Path::is_file(path))
}
