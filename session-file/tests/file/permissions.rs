//! Who may read and write: modes of what the driver makes, and directories that it must not or cannot use.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use session_core::{Durability, ErrorKind, SessionBackend};
use session_file::{FileBackend, FileConfig};

use crate::common::{child, create, given_path, id, now, principal, record, succeeded};

const NOBODY: u32 = 65_534;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn check_modes(directory: &Path) {
    assert_eq!(mode(directory), 0o700, "{}", directory.display());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { check_modes(&path) } else { assert_eq!(mode(&path), 0o600, "{}", path.display()) }
    }
}

#[tokio::test]
async fn modes() {
    let directory = tempfile::tempdir().unwrap();
    for durability in [Durability::ProcessCrash, Durability::PowerLoss] {
        let path = directory.path().join(format!("{durability:?}"));
        let backend = FileBackend::connect(FileConfig::new(&path).with_durability(durability)).await.unwrap();
        create(&backend, 1, record("x").with_principal(principal("alice"))).await;
        let _ = backend.touch(id(1), now(), now()).await.unwrap();
        check_modes(&path);
    }
}

async fn refused(config: FileConfig) -> (ErrorKind, String) {
    let error = FileBackend::connect(config).await.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn paths_that_cannot_be_a_store_are_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| FileConfig::new(directory.path().join(name));
    fs::write(directory.path().join("file"), "x").unwrap();
    fs::create_dir(directory.path().join("shared")).unwrap();
    let mistakes = [
        (at("file"), "file"),
        (at("file/below"), "below"),
        (at("missing/store"), "missing/store"),
        (at("missing").with_create_if_missing(false), "missing"),
        (FileConfig::new(""), "empty"),
        (at("nul\0"), "nul"),
        (at(&"long".repeat(64)), "longlong"),
        (at(&"deep/".repeat(1_000)), "deep/deep"),
    ];
    for (config, named) in mistakes {
        let (kind, shown) = refused(config).await;
        assert_eq!(kind, ErrorKind::Config, "{shown}");
        assert!(shown.contains(named), "{shown}");
    }
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"x");
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        set_mode(&directory.path().join("shared"), mode);
        let (kind, shown) = refused(at("shared")).await;
        assert_eq!(kind, ErrorKind::Config, "{mode:o}: {shown}");
        assert!(shown.contains("0700"), "{shown}");
    }
    assert_eq!(fs::read_dir(directory.path().join("shared")).unwrap().count(), 0);
    set_mode(&directory.path().join("shared"), 0o755);
    FileBackend::connect(at("shared")).await.unwrap();
    if is_root() {
        chown(directory.path().join("shared"), Some(NOBODY), Some(NOBODY)).unwrap();
        let (kind, shown) = refused(at("shared")).await;
        assert_eq!(kind, ErrorKind::Config);
        assert!(shown.contains("another user"), "{shown}");
    }
}

#[tokio::test]
async fn limits_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new(directory.path());
    let many = std::num::NonZeroUsize::new(1025).unwrap();
    let refusals = [
        config.clone().with_busy_timeout(std::time::Duration::ZERO),
        config.clone().with_busy_timeout(std::time::Duration::from_secs(3601)),
        config.clone().with_threads(many),
        config.clone().with_queue_capacity(std::num::NonZeroUsize::new((1 << 20) + 1).unwrap()),
        config.with_queue_capacity(std::num::NonZeroUsize::MAX),
    ];
    for config in refusals {
        assert_eq!(refused(config).await.0, ErrorKind::Config);
    }
}

/// Permissions mean nothing to root: the child is nobody then.
#[test]
fn read_only_and_no_permission() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let (store, locked) = (directory.path().join("store"), directory.path().join("locked"));
    let mut command = child("permissions::child_without_permission", directory.path());
    for path in [&store, &locked] {
        fs::create_dir(path).unwrap();
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    set_mode(&locked, 0o500);
    if is_root() {
        // Where it is built nobody may be allowed to look.
        let binary = directory.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        command = std::process::Command::new(binary);
        crate::common::arguments(&mut command, "permissions::child_without_permission", directory.path());
        command.uid(NOBODY).gid(NOBODY);
    }
    succeeded(command.spawn().unwrap());
}

#[tokio::test]
#[ignore = "a child of read_only_and_no_permission"]
async fn child_without_permission() {
    let given = given_path();
    let store = given.join("store");
    // Neither the directory that may be read only, nor a new one in it.
    for path in [given.join("locked"), given.join("locked/new")] {
        let (kind, shown) = refused(FileConfig::new(path)).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(shown.contains("locked") && shown.contains("Permission denied"), "{shown}");
    }
    let backend = FileBackend::open(&store).await.unwrap();
    create(&backend, 1, record("x")).await;
    let shard = store.join("sessions/00");

    // May be read, not written.
    set_mode(&shard, 0o500);
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    let created = backend.create(id(2), record("y"), now()).await;
    assert_eq!(created.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(backend.delete(id(1), None, now()).await.unwrap_err().kind(), ErrorKind::Unavailable);

    // Not even read: that is no absent session.
    set_mode(&shard, 0);
    for error in [
        backend.load(id(1), now()).await.unwrap_err(),
        backend.list(None, None, 10, now()).await.unwrap_err(),
        backend.purge_expired(now(), 10).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    create(&backend, 2 << 24, record("another shard")).await;
    set_mode(&shard, 0o700);
    create(&backend, 2, record("y")).await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
}
