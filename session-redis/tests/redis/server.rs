//! A Redis server of the test's own: to stop, to start again, to set up badly.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::may_do_without;

/// Ends with its value.
pub(crate) struct Server {
    port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// Started with more options than a port; `None` if there is no `redis-server`, and that is allowed.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let program = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if program.is_err() {
            may_do_without("there is no redis-server");
            return None;
        }
        let options = options.iter().map(ToString::to_string).collect();
        let mut server =
            Self { port: free_port(), directory: tempfile::tempdir().unwrap(), options, process: None };
        server.run();
        Some(server)
    }

    /// Started with files beside it, and with its port for TLS alone.
    #[cfg(feature = "tls")]
    pub(crate) fn start_tls(files: &[(&str, &str)], options: &[&str]) -> Option<Self> {
        let mut server = Self::start(&[])?;
        server.stop();
        for (name, content) in files {
            std::fs::write(server.directory.path().join(name), content).unwrap();
        }
        server.options = options.iter().map(ToString::to_string).collect();
        // The later of two options counts.
        server.options.extend(["--port", "0", "--tls-port", &server.port.to_string()].map(str::to_owned));
        server.run();
        Some(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// On the same port, with what it had saved.
    pub(crate) fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""])
            .args(&self.options)
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            assert!(ended.is_none() && Instant::now() < deadline, "the server does not start");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on. Not one of those that the system hands out, as to clients: one of them might be
/// taken before the server has it, or while it is stopped.
pub(crate) fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish() % 20_000;
        let port = 10_000 + u16::try_from(random).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
