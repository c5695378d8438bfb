//! A private MariaDB with an account of its own that may do everything, and a password.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;

use super::service::{Service, Setup};

const USER: &str = "session_kit";
const DATABASE: &str = "session_kit";

/// The version of the protocol that a greeting begins with.
const PROTOCOL: u8 = 10;

#[derive(Debug)]
pub(crate) struct Mariadb {
    pub(crate) name: &'static str,
    /// Whether a commit waits for the disk. Without, a crash of the machine may lose commits; a crash of the
    /// server alone loses nothing.
    pub(crate) fsync: bool,
}

impl Service for Mariadb {
    fn name(&self) -> &'static str {
        self.name
    }

    fn programs(&self) -> &'static [&'static str] {
        &["mariadbd", "mariadb-install-db"]
    }

    fn package_name(&self) -> &'static str {
        "mariadb-server"
    }

    fn refuses_root(&self) -> bool {
        true
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        // Read at each start, before the server takes connections.
        setup.write_private("accounts.sql", &accounts(&setup.state.password))?;
        let mut install = setup.command("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(option("datadir", data(setup))).arg(option("tmpdir", &setup.directory));
        let status =
            install.status().map_err(|error| format!("mariadb-install-db does not start: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("mariadb-install-db failed ({status})")) }
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let mut server = setup.command("mariadbd");
        // The directory as an argument of its own: the process is recognised by it.
        server.arg("--no-defaults").arg("-h").arg(data(setup)).arg("-P").arg(setup.port().to_string());
        server.arg(option("init-file", setup.directory.join("accounts.sql")));
        server.arg(option("pid-file", setup.directory.join("pid"))).arg(option("tmpdir", &setup.directory));
        // No Unix socket: its path would be too long in a deep directory.
        server.args([
            "--bind-address=127.0.0.1",
            "--socket=",
            "--skip-name-resolve",
            "--max-connections=200",
        ]);
        if !self.fsync {
            server.args(["--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=0"]);
        }
        vec![server]
    }

    /// Waits for the greeting, which an error stands in for while the server is not ready.
    fn check(&self, setup: &Setup) -> Result<(), String> {
        let mut stream = setup.connect()?;
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).map_err(|error| error.to_string())?;
        // The server counts those who leave without a word as errors of the network, and may log each.
        let _ = stream.write_all(&[0; 4]);
        if greeting[4] == PROTOCOL { Ok(()) } else { Err("it takes no connections".to_owned()) }
    }

    fn url(&self, setup: &Setup) -> String {
        format!("mysql://{USER}:{}@127.0.0.1:{}/{DATABASE}", setup.state.password, setup.port())
    }
}

/// One statement a line: that is how the server reads them. Nobody else comes in without a password.
fn accounts(password: &str) -> String {
    format!(
        "CREATE DATABASE IF NOT EXISTS {DATABASE};\n\
         CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO {USER}@'%' WITH GRANT OPTION;\n\
         ALTER USER IF EXISTS root@localhost ACCOUNT LOCK;\n"
    )
}

fn option(name: &str, value: impl Into<PathBuf>) -> String {
    format!("--{name}={}", value.into().display())
}

fn data(setup: &Setup) -> PathBuf {
    setup.directory.join("data")
}
