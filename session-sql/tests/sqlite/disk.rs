//! Disks that are full or may not be written, with a disk of its own for each child process.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

use session_core::{ErrorKind, SessionBackend, UpdateOutcome};
use session_sql::sqlite::{SqliteBackend, SqliteConfig};

use crate::common::{create, database, dump, id, now, record};
use crate::processes::{arguments, given_path, succeeded};

/// This binary again, after `script` in a namespace of its own, where mounting is allowed and nobody else sees it.
/// Needs unprivileged user namespaces, or root.
fn child_after(script: &str, name: &str, path: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec", &format!("{script}; exec \"$@\""), "sh"]);
    command.arg(std::env::current_exe().unwrap());
    arguments(&mut command, &format!("disk::{name}"), path);
    command
}

#[tokio::test]
async fn read_only_mount_is_named_at_connect() {
    let (directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record("kept")).await;
    let before = dump(&path);
    let mount = directory.path().display();
    let script = format!("mount --bind '{mount}' '{mount}' && mount -o remount,bind,ro '{mount}'");
    succeeded(child_after(&script, "child_on_a_read_only_mount", &path).spawn().unwrap());
    drop(backend);
    // Once more without the files that belong to an open database.
    let alone = directory.path().join("alone");
    fs::create_dir(&alone).unwrap();
    fs::copy(&path, alone.join("sessions.db")).unwrap();
    succeeded(
        child_after(&script, "child_on_a_read_only_mount", &alone.join("sessions.db")).spawn().unwrap(),
    );
    assert_eq!(dump(&path), before);
}

#[tokio::test]
#[ignore = "a child of read_only_mount_is_named_at_connect"]
async fn child_on_a_read_only_mount() {
    let path = given_path();
    let error = SqliteBackend::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let shown = error.to_string();
    assert!(shown.contains("sessions.db") && shown.contains("a read-only file system"), "{shown}");

    let error = SqliteBackend::open(path.with_file_name("new.db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let shown = error.to_string();
    assert!(shown.contains("new.db") && shown.contains("a read-only file system"), "{shown}");
}

#[tokio::test]
async fn enospc_old_intact_then_recovers() {
    let (directory, path) = database();
    let script = format!("mount -t tmpfs -o size=4m tmpfs '{}'", directory.path().display());
    succeeded(child_after(&script, "child_on_a_small_disk", &path).spawn().unwrap());
}

#[tokio::test]
#[ignore = "a child of enospc_old_intact_then_recovers"]
async fn child_on_a_small_disk() {
    let path = given_path();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let old = record("old");
    create(&backend, 0, old.clone()).await;
    let ballast = path.with_file_name("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();

    let content = "x".repeat(50_000);
    let mut created = 0;
    let error = loop {
        match backend.create(id(created + 1), record(&content), now()).await {
            Ok(_) => created += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert!(created > 10, "{created}");
    assert_eq!(backend.load(id(0), now()).await.unwrap(), Some(old.clone()));
    for number in 1..=created {
        assert_eq!(backend.load(id(number), now()).await.unwrap(), Some(record(&content)));
    }
    let full = SqliteBackend::connect(SqliteConfig::new(path.with_file_name("other.db"))).await;
    assert_eq!(full.unwrap_err().kind(), ErrorKind::Unavailable);

    fs::remove_file(ballast).unwrap();
    let mut new = record(&content);
    new.revision = old.revision.next(1);
    assert_eq!(
        backend.update(id(0), old.revision, new.clone(), now()).await.unwrap(),
        UpdateOutcome::Updated
    );
    assert_eq!(backend.load(id(0), now()).await.unwrap(), Some(new));
    drop(backend);
    let again = SqliteBackend::open(&path).await.unwrap();
    assert_eq!(again.list(None, None, 1_000, now()).await.unwrap().sessions.len() as u32, created + 1);
}

/// The log takes most of a small disk, and holds hardly more than newer versions of the database's pages.
#[tokio::test]
async fn a_log_that_fills_the_disk_makes_room_by_itself() {
    let (directory, path) = database();
    let script = format!("mount -t tmpfs -o size=4m tmpfs '{}'", directory.path().display());
    succeeded(child_after(&script, "child_whose_log_fills_the_disk", &path).spawn().unwrap());
}

#[tokio::test]
#[ignore = "a child of a_log_that_fills_the_disk_makes_room_by_itself"]
async fn child_whose_log_fills_the_disk() {
    let path = given_path();
    let mut current = record(&"0".repeat(50_000));
    let first = SqliteBackend::open(&path).await.unwrap();
    create(&first, 1, current.clone()).await;
    // Leaves the database with pages to spare.
    for number in 2..6 {
        create(&first, number, current.clone()).await;
        let _ = first.delete(id(number), None, now()).await.unwrap();
    }
    drop(first);
    // Closed by its thread: then everything is in the database itself.
    while path.with_file_name("sessions.db-wal").exists() {
        tokio::task::yield_now().await;
    }
    let backend = SqliteBackend::open(&path).await.unwrap();
    let mut failed = 0;
    for round in 1..1_000 {
        let mut next = record(&round.to_string().repeat(50_000 / 3));
        next.revision = current.revision.next(round);
        match backend.update(id(1), current.revision, next.clone(), now()).await {
            Ok(outcome) => {
                assert_eq!(outcome, UpdateOutcome::Updated);
                current = next;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                failed += 1;
            }
        }
        assert_eq!(backend.load(id(1), now()).await.unwrap().as_ref(), Some(&current));
    }
    assert!((1..100).contains(&failed), "{failed} of 1000 did not fit");
}

/// Writes that are alone and small run on the calling thread.
#[tokio::test]
async fn enospc_fails_lone_writes_until_there_is_room() {
    let (directory, path) = database();
    let script = format!("mount -t tmpfs -o size=4m tmpfs '{}'", directory.path().display());
    succeeded(child_after(&script, "child_with_lone_writes", &path).spawn().unwrap());
}

#[tokio::test]
#[ignore = "a child of enospc_fails_lone_writes_until_there_is_room"]
async fn child_with_lone_writes() {
    let path = given_path();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let ballast = path.with_file_name("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let content = "x".repeat(3_000);
    let mut created = 0;
    let error = loop {
        match backend.create(id(created), record(&content), now()).await {
            Ok(_) => created += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(created > 100, "{created}");
    for _ in 0..100 {
        let error = backend.create(id(created), record(&"x".repeat(15_000)), now()).await;
        assert!(error.is_ok() || error.unwrap_err().kind() == ErrorKind::Unavailable);
        let _ = backend.delete(id(created), None, now()).await;
        assert_eq!(backend.load(id(0), now()).await.unwrap(), Some(record(&content)));
    }
    fs::remove_file(ballast).unwrap();
    for number in created + 1..created + 10 {
        create(&backend, number, record(&content)).await;
    }
    for number in (0..created).chain(created + 1..created + 10) {
        assert_eq!(backend.load(id(number), now()).await.unwrap(), Some(record(&content)), "{number}");
    }
}
