//! A private PostgreSQL with a superuser of its own and a password.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;

use super::service::{Service, Setup};

pub(super) const USER: &str = "session_kit";
pub(super) const DATABASE: &str = "postgres";

/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 196_608;

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) name: &'static str,
    /// Whether a commit waits for the disk. Without, a crash of the machine may lose commits or
    /// the whole cluster; a crash of the server alone loses nothing.
    pub(crate) fsync: bool,
}

impl Service for Postgres {
    fn name(&self) -> &'static str {
        self.name
    }

    fn programs(&self) -> &'static [&'static str] {
        &["postgres", "initdb"]
    }

    /// Debian keeps the server's programs out of the path, one directory for each version.
    fn directories(&self) -> Vec<PathBuf> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let version = |name: &str| name.split('.').map(|part| part.parse().ok()).collect();
        let mut versions: Vec<(Option<Vec<u32>>, PathBuf)> = versions
            .map(|entry| (version(&entry.file_name().to_string_lossy()), entry.path().join("bin")))
            .collect();
        versions.sort();
        versions.into_iter().rev().map(|(_, directory)| directory).collect()
    }

    fn package_name(&self) -> &'static str {
        "postgresql"
    }

    fn refuses_root(&self) -> bool {
        true
    }

    /// A fast shutdown: the usual signal would wait for the clients to leave.
    fn stop_signal(&self) -> &'static str {
        "INT"
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        let password = setup.write_private("password", &setup.state.password)?;
        let mut initdb = setup.command("initdb");
        initdb.args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]);
        initdb.args(["--username", USER, "--pwfile"]).arg(&password).arg("--pgdata").arg(data(setup));
        let status = initdb.status().map_err(|error| format!("initdb does not start: {error}"))?;
        if !status.success() {
            return Err(format!("initdb failed ({status})"));
        }
        let cannot = |error: std::io::Error| format!("cannot finish {}: {error}", data(setup).display());
        std::fs::remove_file(password).map_err(cannot)?;
        let settings = data(setup).join("postgresql.conf");
        let mut settings = OpenOptions::new().append(true).open(settings).map_err(cannot)?;
        settings.write_all(self.settings(&setup.state.tag).as_bytes()).map_err(cannot)
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        // Left by a server that was killed. It names a pid, and the server refuses to start while
        // any process has that: by now it may be anyone's, and the caller knows that none is ours.
        let _ = std::fs::remove_file(data(setup).join("postmaster.pid"));
        let mut server = setup.command("postgres");
        server.arg("-D").arg(data(setup)).arg("-p").arg(setup.port().to_string());
        vec![server]
    }

    fn check(&self, setup: &Setup) -> Result<(), String> {
        takes_connections(setup, setup.port())
    }

    fn url(&self, setup: &Setup) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{DATABASE}", setup.state.password, setup.port())
    }
}

impl Postgres {
    /// No Unix socket: its path would be too long in a deep directory.
    fn settings(&self, tag: &str) -> String {
        let fsync = if self.fsync { "on" } else { "off" };
        format!(
            "\nlisten_addresses = '127.0.0.1'\n\
             unix_socket_directories = ''\n\
             max_connections = 200\n\
             cluster_name = '{tag}'\n\
             fsync = {fsync}\n\
             full_page_writes = {fsync}\n"
        )
    }
}

/// Asks to connect, up to the question for the password.
pub(super) fn takes_connections(setup: &Setup, port: u16) -> Result<(), String> {
    let mut stream = setup.connect_to(port)?;
    let mut answer = [0];
    stream
        .write_all(&startup_message())
        .and_then(|()| stream.read_exact(&mut answer))
        .map_err(|error| error.to_string())?;
    if answer == *b"R" { Ok(()) } else { Err("it takes no connections".to_owned()) }
}

pub(super) fn data(setup: &Setup) -> PathBuf {
    setup.directory.join("data")
}

fn startup_message() -> Vec<u8> {
    let parameters = format!("user\0{USER}\0database\0{DATABASE}\0\0");
    let length = i32::try_from(8 + parameters.len()).unwrap_or(i32::MAX);
    [&length.to_be_bytes(), &PROTOCOL.to_be_bytes(), parameters.as_bytes()].concat()
}
