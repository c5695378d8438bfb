//! Several processes on one file. Children are this test binary again, told to run one ignored test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use session_core::{ErrorKind, SessionBackend, UpdateOutcome};
use session_sql::sqlite::{SqliteBackend, SqliteConfig, SqliteLocation};

use crate::common::{create, database, dump, id, now, raw, record};

const DATABASE: &str = "SESSION_SQL_TEST_DATABASE";

/// `binary`, about to run the ignored test `name` of this file on the database at `path`.
fn child_of(binary: &Path, name: &str, path: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--ignored", "--exact", "--nocapture", &format!("processes::{name}")])
        .env(DATABASE, path)
        .stdout(Stdio::piped());
    command
}

fn child(name: &str, path: &Path) -> Command {
    child_of(&std::env::current_exe().unwrap(), name, path)
}

fn succeeded(child: Child) {
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    // A name that no test has would be a success of none.
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

/// In a child: the database that its parent means.
fn given_path() -> PathBuf {
    std::env::var_os(DATABASE).expect("run by another test").into()
}

const CHILDREN: u32 = 3;
const COUNTS: u32 = 150;

#[tokio::test]
async fn processes_count_exactly_together() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record("0")).await;
    let children: Vec<_> =
        (0..CHILDREN).map(|_| child("child_that_counts", &path).spawn().unwrap()).collect();
    children.into_iter().for_each(succeeded);
    let counted = backend.load(id(1), now()).await.unwrap().unwrap();
    assert_eq!(counted.data, (CHILDREN * COUNTS).to_string());
    assert_eq!(counted.revision.sequence(), CHILDREN * COUNTS + 1);
}

#[tokio::test]
#[ignore = "a child of processes_count_exactly_together"]
async fn child_that_counts() {
    let backend = SqliteBackend::open(given_path()).await.unwrap();
    for _ in 0..COUNTS {
        let mut current = backend.load(id(1), now()).await.unwrap().unwrap();
        loop {
            let count: u32 = std::str::from_utf8(&current.data).unwrap().parse().unwrap();
            let mut next = record(&(count + 1).to_string());
            next.revision = current.revision.next(std::process::id());
            match backend.update(id(1), current.revision, next, now()).await.unwrap() {
                UpdateOutcome::Updated => break,
                UpdateOutcome::Conflict(newer) => current = newer,
                UpdateOutcome::Gone => panic!("nobody deletes it"),
            }
        }
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    let (_directory, path) = database();
    let mut first = 0;
    for round in 0..10 {
        let mut writer = child("child_that_writes", &path).env("FIRST", first.to_string()).spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut last = None;
        let mut note = |line: String| {
            if let Some(number) = line.strip_prefix("acknowledged ") {
                last = Some(number.parse::<u32>().unwrap());
            }
        };
        // The harness prints lines of its own; the child is killed somewhere in the middle of its work.
        for _ in 0..20 + 7 * round {
            note(lines.next().unwrap().unwrap());
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        lines.map_while(Result::ok).for_each(note);

        let last = last.expect("something was acknowledged");
        let backend = SqliteBackend::open(&path).await.unwrap();
        for number in 0..=last {
            let stored = backend.load(id(number), now()).await.unwrap().expect("acknowledged");
            assert_eq!(stored.data, content(number), "whole");
        }
        // The write after the last acknowledged one may have happened: as a whole, or not at all.
        if let Some(stored) = backend.load(id(last + 1), now()).await.unwrap() {
            assert!(stored.data == content(last + 1) || stored.data == "created");
        }
        assert_eq!(backend.load(id(last + 2), now()).await.unwrap(), None);
        let _ = backend.delete(id(last + 1), None, now()).await.unwrap();
        first = last + 1;
    }
    let healthy: String = raw(&path).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(healthy, "ok");
}

fn content(number: u32) -> String {
    format!("{number} ").repeat(1_000)
}

#[tokio::test]
#[ignore = "a child of acknowledged_writes_survive_kill_9"]
async fn child_that_writes() {
    let backend = SqliteBackend::open(given_path()).await.unwrap();
    let first: u32 = std::env::var("FIRST").unwrap().parse().unwrap();
    for number in first.. {
        let created = record("created");
        create(&backend, number, created.clone()).await;
        let mut updated = record(&content(number));
        updated.revision = created.revision.next(number);
        let outcome = backend.update(id(number), created.revision, updated, now()).await.unwrap();
        assert_eq!(outcome, UpdateOutcome::Updated);
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn a_killed_process_holds_no_lock() {
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
#[ignore = "a child of a_killed_process_holds_no_lock"]
fn child_that_holds_the_lock() {
    let connection = raw(&given_path());
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql = "INSERT INTO sessions VALUES (?1, 4294967297, 2000000, 2000000, 0, NULL, x'', x'')";
    connection.execute(sql, [id(2).as_bytes()]).unwrap();
    println!("locked");
    // Until its parent kills it, or ends.
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn processes_migrate_a_new_file_at_once() {
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
#[ignore = "a child of processes_migrate_a_new_file_at_once"]
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
async fn what_may_not_be_written_is_refused_at_connect_and_stays() {
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
#[ignore = "a child of what_may_not_be_written_is_refused_at_connect_and_stays"]
async fn child_without_permission() {
    let error = SqliteBackend::open(given_path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("sessions.db"), "{error}");
}
