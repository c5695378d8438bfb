//! One process of a topology, and questions to it.

use std::env;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult};

/// Where a test waits no longer for what does not come.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Ends with its value.
pub(crate) struct Node {
    pub(crate) port: u16,
    arguments: Vec<String>,
    directory: std::path::PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Not started yet, in a directory of its own below `base`.
    pub(crate) fn new(base: &Path, port: u16, arguments: &[&str]) -> Self {
        let directory = base.join(port.to_string());
        std::fs::create_dir(&directory).unwrap();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { port, arguments, directory, process: None }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.arguments).args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// As a crash of the process would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Makes it stand still (`STOP`), or go on (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut self.connect().await?).await
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap()
    }

    /// Whether it says that a field has this value.
    pub(crate) async fn says(&self, words: &[&str], line: &str) -> bool {
        let text: RedisResult<String> = self.try_ask(words).await;
        text.is_ok_and(|text| text.lines().any(|found| found.trim() == line))
    }

    pub(crate) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let limits =
            AsyncConnectionConfig::new().set_connection_timeout(Some(LONG)).set_response_timeout(Some(LONG));
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        client.get_multiplexed_async_connection_with_config(&limits).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: not in {LONG:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether there is a program to start, and else whether the tests may do without.
pub(crate) fn there_is_a_server() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
    assert!(found || allowed, "there is no redis-server (SESSION_TEST_ALLOW_MISSING=1 to do without)");
    found
}

/// Different ports that nobody listens on, none of those that the system hands out, as to clients.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    while held.len() < count {
        let random = RandomState::new().build_hasher().finish() % 20_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", 10_000 + u16::try_from(random).unwrap())) {
            held.push(listener);
        }
    }
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
