//! Several processes on one file. Children are this test binary again, told to run one ignored test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use session_core::{Durability, ErrorKind, SessionBackend, SessionId, UpdateOutcome};
use session_sql::sqlite::{SqliteBackend, SqliteConfig, SqliteLocation};

use tokio::task::JoinSet;

use crate::common::{create, database, dump, id, now, raw, record};

const DATABASE: &str = "SESSION_SQL_TEST_DATABASE";

/// Makes `command` run the ignored test `name` on the database at `path`.
pub(crate) fn arguments(command: &mut Command, name: &str, path: &Path) {
    command.args(["--ignored", "--exact", "--nocapture", name]).env(DATABASE, path).stdout(Stdio::piped());
}

/// `binary`, about to run the ignored test `name` of this file on the database at `path`.
fn child_of(binary: &Path, name: &str, path: &Path) -> Command {
    let mut command = Command::new(binary);
    arguments(&mut command, &format!("processes::{name}"), path);
    command
}

fn child(name: &str, path: &Path) -> Command {
    child_of(&std::env::current_exe().unwrap(), name, path)
}

pub(crate) fn succeeded(child: Child) {
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    // A name that no test has would be a success of none.
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

/// In a child: the database that its parent means.
pub(crate) fn given_path() -> PathBuf {
    std::env::var_os(DATABASE).expect("run by another test").into()
}

const CHILDREN: u32 = 3;
const TASKS: u32 = 6;
const COUNTS: u32 = 40;

/// How many sessions are counted on; few, so that tasks and processes meet.
const COUNTERS: u32 = 2;

#[tokio::test]
async fn two_processes_counter() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    for counter in 0..COUNTERS {
        create(&backend, counter, record("0")).await;
    }
    let children: Vec<_> =
        (0..CHILDREN).map(|_| child("child_that_counts", &path).spawn().unwrap()).collect();
    children.into_iter().for_each(succeeded);
    for counter in 0..COUNTERS {
        let counted = backend.load(id(counter), now()).await.unwrap().unwrap();
        let expected = CHILDREN * TASKS * COUNTS / COUNTERS;
        assert_eq!(counted.data, expected.to_string());
        assert_eq!(counted.revision.sequence(), expected + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child of two_processes_counter"]
async fn child_that_counts() {
    let backend = SqliteBackend::open(given_path()).await.unwrap();
    let tasks = (0..TASKS).map(|task| tokio::spawn(count(backend.clone(), id(task % COUNTERS))));
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn count(backend: SqliteBackend, id: SessionId) {
    for _ in 0..COUNTS {
        let mut current = backend.load(id, now()).await.unwrap().unwrap();
        loop {
            let count: u32 = std::str::from_utf8(&current.data).unwrap().parse().unwrap();
            let mut next = record(&(count + 1).to_string());
            next.revision = current.revision.next(fresh_number());
            match backend.update(id, current.revision, next, now()).await.unwrap() {
                UpdateOutcome::Updated => break,
                UpdateOutcome::Conflict(newer) => current = newer,
                UpdateOutcome::Gone => panic!("nobody deletes it"),
            }
        }
    }
}

/// Never twice the same, in this process or another.
fn fresh_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::process::id() << 16 | NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A process that commits all the time leaves the lock free for moments only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_under_load_leaves_turns_to_others() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let mut busy = child("child_that_writes", &path).env("WRITERS", "64").spawn().unwrap();
    let mut lines = BufReader::new(busy.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("acknowledged")));
    // Both get on: this one does 50 writes, and that one a thousand meanwhile or after.
    let others = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&others);
    let listener = thread::spawn(move || {
        for _ in lines.map_while(Result::ok) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut number = 1_000_000;
    while number < 1_000_050 || others.load(Ordering::Relaxed) < 1_000 {
        // Fails if it does not get a turn within the 5 s that a verb waits.
        create(&backend, number, record("x")).await;
        number += 1;
        assert!(!listener.is_finished(), "the other one has ended");
    }
    busy.kill().unwrap();
    busy.wait().unwrap();
    listener.join().unwrap();
}

const WRITERS: u32 = 16;

async fn kill_9_loop(durability: Durability, name: &str) {
    let (_directory, path) = database();
    let config = SqliteConfig::new(&path).with_durability(durability);
    let backend = SqliteBackend::connect(config.clone()).await.unwrap();
    for writer in 0..WRITERS {
        create(&backend, writer, record(&content(0))).await;
    }
    drop(backend);
    let mut acknowledged = [0; WRITERS as usize];
    for round in 0..50 {
        let mut command = child("child_that_writes", &path);
        command.env("WRITERS", WRITERS.to_string()).env("DURABILITY", name);
        let mut writer = command.spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut note = |line: String| {
            if let Some(words) = line.strip_prefix("acknowledged ") {
                let (writer, number) = words.split_once(' ').unwrap();
                acknowledged[writer.parse::<usize>().unwrap()] = number.parse::<u32>().unwrap();
            }
        };
        // The harness prints lines of its own; the child is killed somewhere in the middle of its work.
        for _ in 0..10 + 17 * (round % 13) {
            note(lines.next().unwrap().unwrap());
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        lines.map_while(Result::ok).for_each(note);

        let backend = SqliteBackend::connect(config.clone()).await.unwrap();
        for writer in 0..WRITERS {
            let stored = backend.load(id(writer), now()).await.unwrap().expect("never deleted");
            let last = stored.revision.sequence() - 1;
            let seen = acknowledged[writer as usize];
            // The write after the last acknowledged one may have happened: as a whole, or not at all.
            assert!(last == seen || last == seen + 1, "{last} is stored, {seen} was acknowledged");
            assert_eq!(stored.data, content(last), "whole");
            acknowledged[writer as usize] = last;
        }
    }
    assert!(acknowledged.iter().all(|last| *last > 0), "{acknowledged:?}");
    let healthy: String = raw(&path).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(healthy, "ok");
}

#[tokio::test]
async fn kill9_loop_acknowledged_survive_none_torn() {
    kill_9_loop(Durability::ProcessCrash, "process crash").await;
}

#[tokio::test]
async fn kill9_loop_acknowledged_survive_none_torn_for_power_loss() {
    kill_9_loop(Durability::PowerLoss, "power loss").await;
}

fn content(number: u32) -> String {
    format!("{number} ").repeat(1_000)
}

/// Updates `WRITERS` sessions at once for ever, and prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child of kill9_loop_acknowledged_survive_none_torn and others"]
async fn child_that_writes() {
    let mut config = SqliteConfig::new(given_path());
    if std::env::var("DURABILITY").is_ok_and(|name| name == "power loss") {
        config = config.with_durability(Durability::PowerLoss);
    }
    let backend = SqliteBackend::connect(config).await.unwrap();
    let writers: u32 = std::env::var("WRITERS").unwrap().parse().unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        tasks.spawn(write_for_ever(backend.clone(), writer));
    }
    tasks.join_next().await.unwrap().unwrap();
}

async fn write_for_ever(backend: SqliteBackend, writer: u32) {
    let loaded = backend.load(id(writer), now()).await.unwrap();
    let mut current = loaded.unwrap_or(record(&content(0)));
    // Whoever kills the writers has created the sessions already.
    let _ = backend.create(id(writer), current.clone(), now()).await.unwrap();
    loop {
        let number = current.revision.sequence();
        let mut next = record(&content(number));
        next.revision = current.revision.next(fresh_number());
        let outcome = backend.update(id(writer), current.revision, next.clone(), now()).await.unwrap();
        assert_eq!(outcome, UpdateOutcome::Updated);
        println!("acknowledged {writer} {number}");
        current = next;
    }
}

#[tokio::test]
async fn lock_freed_after_kill9() {
    let (_directory, path) = database();
    let config = SqliteConfig::new(&path).with_busy_timeout(Duration::from_millis(50));
    let backend = SqliteBackend::connect(config).await.unwrap();
    let mut holder = child("child_that_holds_the_lock", &path).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"));
    let error = backend.create(id(1), record("x"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    holder.kill().unwrap();
    holder.wait().unwrap();
    create(&backend, 1, record("x")).await;
    assert_eq!(backend.load(id(2), now()).await.unwrap(), None, "the holder's write was not committed");
}

#[test]
#[ignore = "a child of lock_freed_after_kill9"]
fn child_that_holds_the_lock() {
    let connection = raw(&given_path());
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql = "INSERT INTO sessions VALUES (?1, 4294967297, 2000000, 2000000, 0, 2000000, NULL, x'', x'')";
    connection.execute(sql, [id(2).as_bytes()]).unwrap();
    println!("locked");
    // Until its parent kills it, or ends.
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn three_initialisers_migrate_once() {
    for _ in 0..5 {
        let (_directory, path) = database();
        let children: Vec<_> = (0..3).map(|_| child("child_that_migrates", &path).spawn().unwrap()).collect();
        children.into_iter().for_each(succeeded);
        let objects: i64 =
            raw(&path).query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(objects, 5);
    }
}

#[tokio::test]
#[ignore = "a child of three_initialisers_migrate_once"]
async fn child_that_migrates() {
    SqliteBackend::migrate(SqliteConfig::new(given_path())).await.unwrap();
}

#[test]
fn relative_paths_are_files_whatever_they_look_like() {
    let (directory, path) = database();
    let child = child("child_with_odd_paths", &path).current_dir(directory.path()).spawn().unwrap();
    succeeded(child);
    for name in ODD_PATHS {
        assert!(directory.path().join(name).exists(), "{name}");
    }
}

/// SQLite takes the first for memory and the others for URLs.
const ODD_PATHS: [&str; 3] = [":memory:", "file:sessions.db?mode=ro", "file::memory:"];

#[tokio::test]
#[ignore = "a child of relative_paths_are_files_whatever_they_look_like"]
async fn child_with_odd_paths() {
    for name in ODD_PATHS {
        let mut config = SqliteConfig::in_memory();
        config.location = SqliteLocation::File(name.into());
        let backend = SqliteBackend::connect(config).await.unwrap();
        create(&backend, 1, record("x")).await;
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    }
}

/// As root permissions bind nobody, so the child is then started as `nobody`, from a copy of this binary
/// that it can reach.
#[cfg(unix)]
#[tokio::test]
async fn read_only_and_no_permission() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;

    let (directory, path) = database();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let binary = directory.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    set_mode(&binary, 0o755);
    let is_root = fs::metadata(directory.path()).unwrap().uid() == 0;
    let run = || {
        let mut command = child_of(&binary, "child_without_permission", &path);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        succeeded(command.spawn().unwrap());
    };

    // A directory in which nothing can be made.
    set_mode(directory.path(), 0o555);
    run();
    set_mode(directory.path(), 0o755);
    assert!(!path.exists());

    // A database that can be read only.
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record("kept")).await;
    let before = dump(&path);
    set_mode(&path, 0o444);
    run();
    // The same in a directory in which nothing can be made.
    set_mode(directory.path(), 0o555);
    run();
    // One that cannot be read either.
    set_mode(&path, 0o000);
    run();

    set_mode(directory.path(), 0o755);
    set_mode(&path, 0o600);
    assert_eq!(dump(&path), before);
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("kept")));
}

#[tokio::test]
#[ignore = "a child of read_only_and_no_permission"]
async fn child_without_permission() {
    let error = SqliteBackend::open(given_path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("sessions.db"), "{error}");
}
