//! Power cuts at every step of every verb, and of what tidies up after them: the driver keeps what it promises
//! on each disk that may be left behind, and the test sees it when it does not.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conformance_tests::disk::{Control, History, PowerCuts, Recorder, Recording, Report, State, Violation};
use session_core::{Durability, SessionBackend};
use session_sql::sqlite::{SqliteBackend, SqliteConfig, SqliteExecution};
use tempfile::TempDir;

use crate::common::raw;
use crate::processes::{arguments, given_path, succeeded};

const DURABILITY: &str = "DURABILITY";
const SEED: &str = "CONFORMANCE_SEED";

/// In memory where there is such a place: thousands of databases are opened and closed, and nothing has to last.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn config(path: impl AsRef<Path>, durability: Durability) -> SqliteConfig {
    // One connection for reading is enough, and quicker to open.
    let config =
        SqliteConfig::new(path).with_durability(durability).with_execution(SqliteExecution::OnThreads);
    config.with_readers(std::num::NonZeroUsize::MIN)
}

/// What a process with a store of this durability does to its files.
struct Site {
    workshop: TempDir,
    recording: Recording,
    history: History,
    seed: u64,
}

impl Site {
    fn new(durability: Durability) -> Self {
        let (workshop, store) = (scratch(), scratch());
        let directory = store.path().canonicalize().unwrap();
        let recorder = Recorder::new(workshop.path(), &directory).unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        arguments(&mut child, "power_cut::child_that_is_recorded", &directory.join("sessions.db"));
        child.env(DURABILITY, name(durability));
        recorder.record(&mut child);
        succeeded(child.spawn().unwrap());
        let seed = std::env::var(SEED).map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        println!("seed: {SEED}={seed}");
        let recording = recorder.finish().unwrap();
        Self { workshop, recording, history: History::of_every_verb(), seed }
    }

    /// Cuts the power of what was recorded, and opens what is left with a store of `promised` durability.
    fn cut(&self, recording: &Recording, promised: Durability) -> Result<Report, Violation> {
        let (history, seed) = (&self.history, self.seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        PowerCuts { recording, history, durability: promised, seed }
            .run(self.workshop.path(), |directory| {
                runtime.block_on(examine(history, &directory.join("sessions.db"), promised))
            })
            .unwrap()
    }
}

/// What the driver finds in the database, which SQLite must find intact as well.
async fn examine(history: &History, path: &Path, durability: Durability) -> Result<State, String> {
    let backend =
        SqliteBackend::connect(config(path, durability)).await.map_err(|error| format!("{error:?}"))?;
    let state = history.find(&backend).await.map_err(|error| format!("{error:?}"));
    drop(backend);
    closed(path).await;
    // As nobody else has it open there is nothing to share, and no log to make.
    let alone = format!("file:{}?immutable=1", path.display());
    let healthy: String =
        raw(alone.as_ref()).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    if healthy == "ok" { state } else { Err(healthy) }
}

/// Waits until the last connection is closed: then everything is in the database file itself.
pub(crate) async fn closed(path: &Path) {
    let started = Instant::now();
    while path.with_file_name("sessions.db-wal").exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "a connection is still open");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn name(durability: Durability) -> &'static str {
    if durability == Durability::PowerLoss { "power loss" } else { "process crash" }
}

#[tokio::test]
#[ignore = "a child of the tests here"]
async fn child_that_is_recorded() {
    let path: PathBuf = given_path();
    let is_power_loss = std::env::var(DURABILITY).unwrap() == name(Durability::PowerLoss);
    let durability = if is_power_loss { Durability::PowerLoss } else { Durability::ProcessCrash };
    let history = History::of_every_verb();
    let control = Arc::new(Mutex::new(Control::open(path.parent().unwrap()).unwrap()));
    let open = async || {
        let backend = SqliteBackend::connect(config(&path, durability)).await.unwrap();
        Arc::new(backend) as Arc<dyn SessionBackend>
    };
    let backend = open().await;
    history.play(0, &backend, &control).await.unwrap();
    drop(backend);
    closed(&path).await;

    let backend = open().await;
    history.play(1, &backend, &control).await.unwrap();
    let other = raw(&path);
    let synchronous = if is_power_loss { "FULL" } else { "NORMAL" };
    other.execute_batch(&format!("PRAGMA synchronous = {synchronous}")).unwrap();
    // What SQLite does by itself when the log is long.
    checkpoint(&other, "PASSIVE");
    history.play(2, &backend, &control).await.unwrap();
    checkpoint(&other, "TRUNCATE");
    history.play(3, &backend, &control).await.unwrap();
    assert_eq!(history.parts(), 4);
}

fn checkpoint(connection: &rusqlite::Connection, mode: &str) {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, pages): (bool, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(2)?))).unwrap();
    assert!(!busy && (pages > 0 || mode == "TRUNCATE"), "{busy} {pages}");
}

/// Before it the database is made, with a journal of another kind.
const FIRST_VERB: &str = "acknowledged 0";

fn kept(durability: Durability) {
    let site = Site::new(durability);
    let report = site.cut(&site.recording, durability).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{report:?}");
    // As far as it has come when this was written; far fewer would mean that something is not recorded any more.
    assert!(report.points > 300 && report.images > 1_000, "{report:?}");
}

#[test]
fn crash_images_of_every_verb() {
    kept(Durability::ProcessCrash);
}

#[test]
fn crash_images_of_every_verb_for_power_loss() {
    kept(Durability::PowerLoss);
}

/// What `synchronous = NORMAL` in place of `FULL` comes to.
#[test]
fn a_store_that_flushes_too_little_for_its_promise_is_caught() {
    let site = Site::new(Durability::ProcessCrash);
    let violation = site.cut(&site.recording, Durability::PowerLoss).unwrap_err().to_string();
    assert!(violation.contains("after 1 acknowledged verbs"), "{violation}");
    assert!(violation.contains("session 0 is absent, and it should be"), "{violation}");
}

/// What `synchronous = OFF` comes to, file by file. A store that may lose its latest writes needs the flushes as
/// well: without them a checkpoint mixes old and new.
#[test]
fn a_store_that_forgets_a_file_is_caught() {
    let log_and_database = ["sessions.db-wal", "sessions.db"];
    let needed = [
        (Durability::ProcessCrash, &log_and_database[..]),
        (Durability::PowerLoss, &["sessions.db-wal", "sessions.db", ""]),
    ];
    for (durability, files) in needed {
        let site = Site::new(durability);
        for forgotten in files {
            let recording = site.recording.without_flushes(FIRST_VERB, |name| name == *forgotten);
            match site.cut(&recording, durability) {
                Ok(report) => panic!("{durability:?} without flushes of `{forgotten}`: {report:?}"),
                Err(violation) => println!("{durability:?} without flushes of `{forgotten}`:\n{violation}\n"),
            }
        }
    }
}
