//! What a step stands on: a driver process and the browser profiles that it opens, all ended with the step, also
//! when that fails.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

use crate::profile::{Profile, Screen};
use crate::server::{PATIENCE, Server, within_patience};

/// Runs a step, and says that it went well.
pub(crate) async fn step(name: &str, act: impl AsyncFnOnce(&mut Stage)) {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(missing) => return leave_out(name, &missing),
    };
    let mut stage = Stage::build(programs).await;
    act(&mut stage).await;
    stage.clear().await;
    say(&format!("browser: {name} ok"));
}

/// Fails, or says that the step was left out where the caller allows that.
pub(crate) fn leave_out(name: &str, missing: &str) {
    let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
    assert!(allowed, "{missing}; `cargo xtask test` installs it where it may");
    say(&format!("browser: {name} left out: {missing}"));
}

/// Past the harness, which keeps what tests print unless they fail.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

struct Programs {
    driver: PathBuf,
    browser: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, String> {
        Ok(Self {
            driver: program("SESSION_TEST_CHROMEDRIVER", "chromedriver")?,
            browser: program("SESSION_TEST_CHROMIUM", "chromium")?,
        })
    }
}

/// The one that the variable names, or else the one on the path.
fn program(variable: &str, name: &str) -> Result<PathBuf, String> {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|place| place.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{variable} is not set, and there is no program `{name}`"))
}

pub(crate) struct Stage {
    profiles: Vec<Rc<Profile>>,
    _processes: Processes,
    _driver: Child,
    /// Kept open: the driver may write to it.
    _output: BufReader<ChildStdout>,
    port: String,
    browser: PathBuf,
    directory: TempDir,
}

impl Stage {
    async fn build(programs: Programs) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("driver.log");
        let mut command = tokio::process::Command::new(programs.driver);
        command.arg("--port=0").arg(format!("--log-path={}", log.display()));
        // What the browser would leave in the home and among temporary files goes with the directory.
        for variable in ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            command.env(variable, directory.path());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut driver = command.spawn().unwrap();
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let port = within_patience("the driver's port", read_port(&mut output)).await;
        Self {
            profiles: Vec::new(),
            _processes: Processes { directory: directory.path().to_owned() },
            _driver: driver,
            _output: output,
            port,
            browser: programs.browser,
            directory,
        }
    }

    /// A browser of its own that nobody has used, at the demo's address.
    pub(crate) async fn profile(&mut self, server: &Server, screen: Screen) -> Rc<Profile> {
        let directory = self.directory.path().join(format!("profile-{}", self.profiles.len()));
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            format!("--user-data-dir={}", directory.display()),
        ];
        if is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let driver = format!("http://127.0.0.1:{}", self.port);
        let profile = Profile::open(&driver, &self.browser, arguments, screen, server.address()).await;
        let profile = Rc::new(profile);
        self.profiles.push(Rc::clone(&profile));
        profile
    }

    /// One on an ordinary screen.
    pub(crate) async fn desktop(&mut self, server: &Server) -> Rc<Profile> {
        self.profile(server, Screen::DESKTOP).await
    }

    /// Ends the browsers in order, after a look at what the browsers complained of meanwhile.
    async fn clear(mut self) {
        for profile in self.profiles.drain(..) {
            assert_eq!(profile.complaints().await, [""; 0]);
            let profile = Rc::into_inner(profile).expect("the step is over");
            profile.close().await;
        }
    }
}

/// Reads `ChromeDriver was started successfully on port 12345.`
async fn read_port(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    while output.read_line(&mut line).await.unwrap() > 0 {
        if let Some((_, port)) = line.trim_end().split_once("successfully on port ") {
            return port.trim_end_matches('.').to_owned();
        }
        line.clear();
    }
    panic!("the driver has ended");
}

/// What has the directory on its command line: the driver, the browsers and their helpers. None outlives the step.
struct Processes {
    directory: PathBuf,
}

impl Processes {
    fn ids(&self) -> Vec<String> {
        let directory = self.directory.display().to_string();
        let is_ours = |id: &String| {
            let command_line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command_line).contains(&directory)
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().into_string().ok());
        numbers.filter(|name| name.parse::<u32>().is_ok()).filter(is_ours).collect()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let started = Instant::now();
        loop {
            let ids = self.ids();
            if ids.is_empty() || started.elapsed() > PATIENCE {
                return;
            }
            let _ = Command::new("kill").args(["-s", "KILL"]).args(&ids).stderr(Stdio::null()).status();
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The sandbox does not work for root, and the browser refuses to start.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
