//! A program of the bench: its command line, the filling of its store, and the loop that answers cells.

use std::future::Future;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::files::Files;
use crate::{Cell, Failure, Store, cpu, payload, run};

/// What a program was started for: `STORE SESSIONS small|large DIRECTORY`.
#[derive(Clone, Debug)]
pub struct Program {
    /// Which of its stores.
    pub store: String,
    /// How many sessions it holds before the first cell.
    pub sessions: u64,
    /// What each of them holds.
    pub values: Values,
    /// An empty directory of its own, on a disk, for stores that keep files.
    pub directory: PathBuf,
}

/// What a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Six values in 256 bytes.
    Small,
    /// A hundred values in 4 KiB.
    Large,
}

impl Program {
    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// If it is another.
    pub fn from_arguments() -> Result<Self, Failure> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [store, sessions, values, directory] = arguments.as_slice() else {
            return Err(
                "arguments: STORE SESSIONS small|large DIRECTORY; started by `cargo xtask bench`".into()
            );
        };
        let values = match values.as_str() {
            "small" => Values::Small,
            "large" => Values::Large,
            other => return Err(format!("no such values: {other}").into()),
        };
        Ok(Self { store: store.clone(), sessions: sessions.parse()?, values, directory: directory.into() })
    }
}

impl Program {
    /// The URL of the server of a kind, like `POSTGRES`: that of the bench, or one that the caller has.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn server(&self, kind: &str) -> Result<String, Failure> {
        let variable = format!("SESSION_TEST_BENCH_{kind}");
        std::env::var(&variable).map_err(|_| format!("{variable} is not set").into())
    }

    /// The name of a database that no other program has.
    ///
    /// # Errors
    ///
    /// If the directory, which it is named after, has no name.
    pub fn database(&self) -> Result<String, Failure> {
        let name = self.directory.file_name().and_then(|name| name.to_str());
        Ok(format!("bench-{}-{}", name.ok_or("a directory without a name")?, std::process::id()))
    }
}

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// How many sessions there are to pick from.
pub(crate) fn sessions() -> u64 {
    SESSIONS.load(Ordering::Relaxed)
}

/// Opens and fills a store, says so, and runs one cell for each line of the standard input until that ends.
///
/// # Errors
///
/// What the store or the other end of the pipes fails with.
pub fn serve<S: Store, F>(program: Program, open: impl FnOnce(Program) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<S, Failure>> + Send + 'static,
{
    payload::check(program.values)?;
    SESSIONS.store(program.sessions.max(1), Ordering::Relaxed);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sessions = program.sessions.max(1);
    let files = Files::of(&program.directory);
    let before = resident_bytes();
    let store = runtime.block_on(runtime.spawn(open(program)))??;
    let bytes = resident_bytes().saturating_sub(before) / sessions;
    let mut out = std::io::stdout();
    let taken = files.taken()?;
    let server_bytes = store.server_bytes() / sessions;
    let ready = serde_json::json!({
        "bytes_per_session": bytes,
        "file_bytes_per_session": taken.bytes / sessions,
        "files_per_session": taken.entries as f64 / sessions as f64,
        "server_bytes_per_session": server_bytes,
    });
    writeln!(out, "{ready}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let cell: Cell = serde_json::from_str(&line?)?;
        let outcome = if cell.operation.is_request() {
            cpu::run(&store, &cell)?
        } else {
            run::run(&runtime, &store, &files, &cell)?
        };
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
        out.flush()?;
    }
    Ok(())
}

/// What the process occupies in memory; zero where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
}
