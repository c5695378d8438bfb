//! Files that this library has not written, or not like this: typed errors, and nobody else suffers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use session_core::{DeleteOutcome, ErrorKind, SessionBackend};
use session_file::{FileBackend, FileConfig};
use tempfile::TempDir;

use crate::common::{brief, copy_all, create, id, listed, look, now, path_of, principal, record, scratch};

async fn store() -> (TempDir, PathBuf, FileBackend) {
    let directory = scratch();
    let path = directory.path().join("store");
    let backend = FileBackend::open(&path).await.unwrap();
    (directory, path, backend)
}

const VICTIM: u32 = 5;

/// Puts something in the place of a record.
type Harm = fn(&Path);

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// With where a purge leaves it: in its place, or in quarantine.
fn harms() -> [(&'static str, Harm, bool); 10] {
    [
        ("empty", |path| fs::write(path, "").unwrap(), true),
        ("cut in its head", |path| rewrite(path, |bytes| bytes.truncate(60)), true),
        ("cut in its contents", |path| rewrite(path, |bytes| bytes.truncate(150)), false),
        ("longer", |path| rewrite(path, |bytes| bytes.push(0)), false),
        ("with a flipped bit", |path| rewrite(path, |bytes| bytes[70] ^= 4), true),
        ("without times", |path| rewrite(path, |bytes| bytes[8..64].fill(0)), true),
        ("foreign", |path| fs::write(path, "x".repeat(100_000)).unwrap(), true),
        (
            "a symbolic link",
            |path| {
                fs::rename(path, path.with_extension("elsewhere")).unwrap();
                symlink(path.with_extension("elsewhere"), path).unwrap();
            },
            true,
        ),
        (
            "a directory",
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            true,
        ),
        (
            "a pipe",
            |path| {
                fs::remove_file(path).unwrap();
                let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
                assert!(made.success());
            },
            true,
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_read_is_corrupt_and_a_purge_goes_on() {
    for (harm, spoil, is_set_aside) in harms() {
        let (_directory, path, backend) = store().await;
        let large = "x".repeat(9_000);
        create(&backend, VICTIM, record(&large).with_principal(principal("alice"))).await;
        for number in [1, 2, 8, 9] {
            create(&backend, number, record("live").with_principal(principal("alice"))).await;
            create(&backend, number << 8, brief("dead")).await;
        }
        let victim = path_of(&path, id(VICTIM));
        spoil(&victim);
        if fs::symlink_metadata(&victim).unwrap().is_file() {
            // Else the next purge believes that it lives.
            let times = fs::FileTimes::new().set_accessed(std::time::SystemTime::now());
            fs::File::open(&victim).unwrap().set_times(times).unwrap();
        }
        let next = record("next");
        for _ in 0..2 {
            let kinds = [
                backend.load(id(VICTIM), now()).await.unwrap_err().kind(),
                backend.create(id(VICTIM), next.clone(), now()).await.unwrap_err().kind(),
                backend.delete(id(VICTIM), Some(next.revision.next(9)), now()).await.unwrap_err().kind(),
                backend
                    .update(id(VICTIM), next.revision.next(9), next.clone(), now())
                    .await
                    .unwrap_err()
                    .kind(),
            ];
            assert_eq!(kinds, [ErrorKind::Corrupt; 4], "{harm}");
        }
        assert_eq!(listed(&backend, principal("alice")).await.len(), 4, "{harm}");
        assert_eq!(listed(&backend, None).await.len(), 4, "{harm}");

        let purged = backend.purge_expired(now(), 100).await.unwrap();
        assert_eq!((purged.removed, purged.more), (4, false), "{harm}");
        let quarantine = path.join("quarantine").join(victim.file_name().unwrap());
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        assert_eq!((is_there(&victim), is_there(&quarantine)), (!is_set_aside, is_set_aside), "{harm}");
        let left = backend.load(id(VICTIM), now()).await;
        assert_eq!(left.is_ok(), is_set_aside, "{harm}: {left:?}");
        for number in [1, 2, 8, 9] {
            assert!(look(&backend, id(number)).await.is_some(), "{harm}");
        }
        // The id can be used again.
        let deleted = backend.delete(id(VICTIM), None, now()).await.unwrap();
        assert_eq!(deleted == DeleteOutcome::Deleted, !is_set_aside, "{harm}");
        create(&backend, VICTIM, record("again")).await;
    }
}

/// The slot that can be read may be older than a touch that another process is writing, or has just acknowledged.
#[tokio::test]
async fn half_written_times_are_looked_at_under_the_lock() {
    let (_directory, path, backend) = store().await;
    create(&backend, VICTIM, record("x")).await;
    rewrite(&path_of(&path, id(VICTIM)), |bytes| bytes[40] ^= 1);
    assert_eq!(backend.load(id(VICTIM), now()).await.unwrap(), Some(record("x")));
    let lock = fs::File::open(path.join("sessions/00/lock")).unwrap();
    lock.lock().unwrap();
    let hasty = FileConfig::new(&path).with_busy_timeout(std::time::Duration::from_millis(1));
    let hasty = FileBackend::connect(hasty).await.unwrap();
    assert_eq!(hasty.load(id(VICTIM), now()).await.unwrap_err().kind(), ErrorKind::Timeout);
    drop(lock);
    // A touch puts it right.
    assert!(backend.touch(id(VICTIM), now(), now()).await.unwrap());
    assert_eq!(backend.load(id(VICTIM), now()).await.unwrap(), Some(record("x")));
}

#[tokio::test]
async fn a_later_format_is_unknown_and_kept() {
    let (_directory, path, backend) = store().await;
    create(&backend, 1, brief("x")).await;
    create(&backend, 2, brief("y")).await;
    let file = path_of(&path, id(1));
    rewrite(&file, |bytes| {
        bytes[3] = 2;
        let checksum = crc32(&bytes[..4]);
        bytes[4..8].copy_from_slice(&checksum.to_be_bytes());
        bytes[8..].fill(0xee);
    });
    let before = fs::read(&file).unwrap();
    assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::UnknownFormat);
    let created = backend.create(id(1), record("z"), now()).await;
    assert_eq!(created.unwrap_err().kind(), ErrorKind::UnknownFormat);
    assert_eq!(backend.purge_expired(now(), 10).await.unwrap().removed, 1);
    assert_eq!(listed(&backend, None).await, []);
    assert_eq!(fs::read(&file).unwrap(), before);
    // Whoever is to go goes all the same.
    assert_eq!(backend.delete(id(1), None, now()).await.unwrap(), DeleteOutcome::Deleted);
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[tokio::test]
async fn names_that_differ_by_case_or_are_not_ours_are_left_alone() {
    let (_directory, path, backend) = store().await;
    let number = 0xabcd_ef01;
    create(&backend, number, record("ours")).await;
    let ours = path_of(&path, id(number));
    let upper = ours.with_file_name(ours.file_name().unwrap().to_str().unwrap().to_uppercase());
    let shard = ours.parent().unwrap();
    let others =
        [upper, shard.join("README"), shard.join(".hidden"), path.join("sessions/zz"), path.join("notes")];
    for other in &others {
        fs::copy(&ours, other).unwrap();
    }
    assert_eq!(listed(&backend, None).await, [id(number)]);
    let purged = backend.purge_expired(session_core::Timestamp::MAX, 100).await.unwrap();
    assert_eq!((purged.removed, purged.more), (1, false));
    assert!(!ours.exists() && others.iter().all(|other| other.exists()));
}

/// No session is absent because the store is.
#[tokio::test]
async fn a_directory_that_was_removed_is_no_empty_store() {
    let (_directory, path, backend) = store().await;
    let there = record("x").with_principal(principal("alice"));
    create(&backend, 1, there.clone()).await;
    fs::remove_dir_all(&path).unwrap();
    for error in [
        backend.load(id(1), now()).await.map(drop),
        backend.create(id(2), there.clone(), now()).await.map(drop),
        backend.update(id(1), there.revision, there.clone(), now()).await.map(drop),
        backend.touch(id(1), now(), now()).await.map(drop),
        backend.delete(id(1), None, now()).await.map(drop),
        backend.purge_expired(now(), 10).await.map(drop),
        backend.list(None, None, 10, now()).await.map(drop),
        backend.list(there.principal.as_ref(), None, 10, now()).await.map(drop),
    ] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_record_under_another_name_is_not_that_session() {
    let (_directory, path, backend) = store().await;
    create(&backend, 1, record("one's")).await;
    fs::copy(path_of(&path, id(1)), path_of(&path, id(2))).unwrap();
    assert_eq!(backend.load(id(2), now()).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn symlink_refused() {
    let (directory, path, backend) = store().await;
    let [inside, outside] = [1, 2 << 24];
    create(&backend, inside, brief("dead")).await;
    create(&backend, outside, record("x")).await;
    let shard = path.join("sessions/02");
    let elsewhere = directory.path().join("elsewhere");
    copy_all(&shard, &elsewhere);
    let before = fs::read_dir(&elsewhere).unwrap().count();
    fs::remove_dir_all(&shard).unwrap();
    symlink(&elsewhere, &shard).unwrap();
    let errors = [
        backend.load(id(outside), now()).await.unwrap_err(),
        backend.create(id(outside | 1), record("y"), now()).await.unwrap_err(),
        backend.touch(id(outside), now(), now()).await.unwrap_err(),
        backend.delete(id(outside), None, now()).await.unwrap_err(),
        backend.list(None, None, 10, now()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("sessions/02"), "{error}");
    }
    assert_eq!(backend.purge_expired(now(), 10).await.unwrap().removed, 1, "the others go on");
    assert_eq!(backend.purge_expired(now(), 10).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), before);

    let lock = path.join("sessions/00/lock");
    for harm in
        [|lock: &Path| symlink("elsewhere", lock).unwrap(), |lock: &Path| fs::create_dir(lock).unwrap()]
    {
        fs::remove_file(&lock).unwrap();
        harm(&lock);
        let error = backend.touch(id(inside), now(), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("sessions/00/lock"), "{error}");
        fs::remove_file(&lock).or_else(|_| fs::remove_dir(&lock)).unwrap();
        fs::write(&lock, "").unwrap();
    }

    for name in ["sessions", "principals", "quarantine"] {
        let path = directory.path().join(format!("with {name}"));
        drop(FileBackend::open(&path).await.unwrap());
        fs::remove_dir_all(path.join(name)).unwrap();
        symlink(&elsewhere, path.join(name)).unwrap();
        assert_eq!(FileBackend::open(&path).await.unwrap_err().kind(), ErrorKind::Config);
    }
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    for link in [link.clone(), link.join("")] {
        let error = FileBackend::open(&link).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("link"), "{error}");
    }
}
