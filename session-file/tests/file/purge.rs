//! What a purge opens and removes, whatever the times of the files say.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use session_core::SessionBackend;
use session_file::FileBackend;

use crate::common::{
    at, brief, contents, copy_all, create, id, listed, look, now, path_of, principal, record, scratch,
};

/// How many purges it takes until each shard was looked at without trust.
const ROUNDS: usize = 256;

fn set_accessed(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_accessed(time)).unwrap();
}

fn accessed(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().accessed().unwrap()
}

/// As the driver writes it.
fn hint(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs()) + Duration::from_nanos(424_242)
}

async fn purge(backend: &FileBackend) -> u64 {
    let purged = backend.purge_expired(now(), 1_000).await.unwrap();
    assert!(!purged.more);
    purged.removed
}

#[tokio::test]
async fn what_is_said_to_live_is_not_opened() {
    let directory = scratch();
    let path = directory.path().join("store");
    let backend = FileBackend::open(&path).await.unwrap();
    let dead = 1 << 24 | 2;
    create(&backend, dead, brief("dead")).await;
    // In as many shards: at one of them a purge looks without trust.
    let live = [1 << 24, 2 << 24, 3 << 24];
    for number in live {
        create(&backend, number, record("live")).await;
        let file = path_of(&path, id(number));
        assert_eq!(accessed(&file), hint(1_001_000));
        assert!(backend.touch(id(number), at(1_004_000), now()).await.unwrap());
        assert_eq!(accessed(&file), hint(1_004_000));
        // Is moved away if it is opened.
        fs::write(&file, "").unwrap();
        set_accessed(&file, hint(1_001_000));
    }
    assert_eq!(purge(&backend).await, 1);
    assert!(look(&backend, id(dead)).await.is_none());
    let unopened = live.iter().filter(|number| path_of(&path, id(**number)).exists()).count();
    assert!(unopened >= 2, "{unopened}");
}

#[tokio::test]
async fn times_that_lie_delete_nobody_and_keep_nobody_for_ever() {
    let directory = scratch();
    let path = directory.path().join("store");
    let backend = FileBackend::open(&path).await.unwrap();
    let [live, dead, said_to_live] = [1, 2, 3].map(|number| 7 << 24 | number);
    create(&backend, live, record("live")).await;
    create(&backend, dead, brief("dead")).await;
    create(&backend, said_to_live, brief("said to live")).await;
    set_accessed(&path_of(&path, id(live)), hint(0));
    // Somebody else's time, however far ahead.
    set_accessed(&path_of(&path, id(dead)), SystemTime::now() + Duration::from_secs(1 << 32));
    set_accessed(&path_of(&path, id(said_to_live)), hint(1_009_000));
    let mut removed = purge(&backend).await;
    // One that must not be trusted, and perhaps the shard's turn had come.
    assert!((1..=2).contains(&removed), "{removed}");
    assert_eq!(accessed(&path_of(&path, id(live))), hint(1_001_000), "is put right");
    assert_eq!(look(&backend, id(live)).await, Some(record("live")));
    for _ in 0..ROUNDS {
        removed += purge(&backend).await;
    }
    assert_eq!(removed, 2);
    assert_eq!(look(&backend, id(said_to_live)).await, None);
    assert_eq!(look(&backend, id(live)).await, Some(record("live")));
}

#[tokio::test]
async fn a_restored_copy_is_the_same_store() {
    let directory = scratch();
    let (path, copy) = (directory.path().join("store"), directory.path().join("copy"));
    let backend = FileBackend::open(&path).await.unwrap();
    for number in 0..20 {
        create(&backend, number << 24, record("live").with_principal(principal("alice"))).await;
        create(&backend, number << 24 | 1, brief("dead").with_principal(principal("alice"))).await;
    }
    copy_all(&path, &copy);
    drop(backend);
    let backend = FileBackend::open(&copy).await.unwrap();
    assert_eq!(listed(&backend, principal("alice")).await.len(), 20);
    assert_eq!(purge(&backend).await, 20);
    assert_eq!(listed(&backend, None).await.len(), 20);
}

#[tokio::test]
async fn markers_that_are_lost_come_back_and_those_of_nobody_go() {
    let directory = scratch();
    let path = directory.path().join("store");
    let backend = FileBackend::open(&path).await.unwrap();
    create(&backend, 1, record("x").with_principal(principal("alice"))).await;
    create(&backend, 2, record("x").with_principal(principal("bob"))).await;
    let principals = path.join("principals");
    let markers = contents(&principals);
    let (own, of_bob): (Vec<_>, Vec<_>) = markers
        .iter()
        .partition(|marker| marker.ends_with(path_of(&path, id(1)).file_name().unwrap().to_str().unwrap()));
    assert_eq!((own.len(), of_bob.len()), (1, 1));
    fs::remove_file(principals.join(own[0])).unwrap();
    fs::remove_file(path_of(&path, id(2))).unwrap();
    assert_eq!(listed(&backend, principal("alice")).await, []);
    for _ in 0..ROUNDS {
        assert_eq!(purge(&backend).await, 0);
    }
    assert_eq!(listed(&backend, principal("alice")).await, [id(1)]);
    assert_eq!(contents(&principals), [own[0].clone()]);
}

#[tokio::test]
async fn leftover_temporary_swept() {
    let directory = scratch();
    let path = directory.path().join("store");
    let backend = FileBackend::open(&path).await.unwrap();
    create(&backend, 1, record("x")).await;
    let temporary = |number| path_of(&path, id(number)).with_extension("new");
    for number in [1, 2] {
        fs::write(temporary(number), "half a rec").unwrap();
    }
    assert_eq!(purge(&backend).await, 0);
    assert!(!temporary(1).exists() && !temporary(2).exists());
    // One in the way of a write is no obstacle.
    fs::write(temporary(2), "half a rec").unwrap();
    create(&backend, 2, record("y")).await;
    assert_eq!(contents(&path.join("sessions")).len(), 2);
    assert_eq!(look(&backend, id(2)).await, Some(record("y")));
}
