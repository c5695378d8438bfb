//! What the conformance suite cannot see: the capacity, the count, a poisoned lock, the indexes.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn record(expires_at: i64) -> Record {
    Record::new(Revision::first(7), at(0), at(expires_at), Timestamp::MAX)
}

#[tokio::test]
async fn the_nearest_expiry_is_evicted_first_and_counted() {
    let capacity = NonZeroUsize::new(2).unwrap();
    let sessions = MemoryBackend::with_config(MemoryConfig::new().with_capacity(capacity));
    for (number, expires_at) in [(1, 300), (2, 100), (3, 200)] {
        let outcome = sessions.create(id(number), record(expires_at), at(0)).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
    }
    assert_eq!((sessions.len(), sessions.evicted()), (2, 1));
    assert_eq!(sessions.load(id(2), at(0)).await.unwrap(), None);

    // The newcomer stays, though it expires first; an expired record goes first and is no loss.
    assert_eq!(sessions.create(id(4), record(250), at(200)).await.unwrap(), CreateOutcome::Created);
    assert_eq!((sessions.len(), sessions.evicted()), (2, 1));
    assert_eq!(sessions.create(id(5), record(201), at(200)).await.unwrap(), CreateOutcome::Created);
    assert!(sessions.load(id(5), at(200)).await.unwrap().is_some());
    assert_eq!((sessions.len(), sessions.evicted()), (2, 2));
}

#[tokio::test]
async fn a_touch_moves_the_session_in_the_order_of_eviction() {
    let capacity = NonZeroUsize::new(2).unwrap();
    let sessions = MemoryBackend::with_config(MemoryConfig::new().with_capacity(capacity));
    assert_eq!(sessions.create(id(1), record(100), at(0)).await.unwrap(), CreateOutcome::Created);
    assert_eq!(sessions.create(id(2), record(200), at(0)).await.unwrap(), CreateOutcome::Created);
    assert!(sessions.touch(id(1), at(300), at(0)).await.unwrap());
    assert_eq!(sessions.create(id(3), record(400), at(0)).await.unwrap(), CreateOutcome::Created);
    assert!(sessions.load(id(1), at(0)).await.unwrap().is_some());
    assert_eq!(sessions.load(id(2), at(0)).await.unwrap(), None);
}

#[tokio::test]
async fn len_follows_every_verb() {
    let sessions = MemoryBackend::new();
    assert_eq!(sessions.create(id(1), record(10), at(0)).await.unwrap(), CreateOutcome::Created);
    assert_eq!(sessions.create(id(1), record(20), at(10)).await.unwrap(), CreateOutcome::Created);
    assert_eq!(sessions.create(id(2), record(10), at(0)).await.unwrap(), CreateOutcome::Created);
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.delete(id(1), None, at(0)).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(sessions.purge_expired(at(10), 5).await.unwrap(), Purged::new(1, false));
    assert!(sessions.is_empty());
    for shard in &sessions.shards {
        assert!(lock(shard).is_bare());
    }
}

#[tokio::test]
async fn a_poisoned_lock_loses_nothing() {
    let sessions = MemoryBackend::new();
    assert_eq!(sessions.create(id(1), record(10), at(0)).await.unwrap(), CreateOutcome::Created);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = sessions.shard(id(1));
        std::panic::resume_unwind(Box::new("while the lock is held"));
    }));
    assert!(panicked.is_err());
    assert_eq!(sessions.load(id(1), at(0)).await.unwrap(), Some(record(10)));
}

#[test]
fn parallel_creates_evict_no_more_than_they_must() {
    const CAPACITY: usize = 8;
    const THREADS: usize = 8;
    const EACH: usize = 500;
    let capacity = NonZeroUsize::new(CAPACITY).unwrap();
    let sessions = MemoryBackend::with_config(MemoryConfig::new().with_capacity(capacity));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let sessions = &sessions;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for number in 0..EACH {
                    let mut bytes = [thread as u8; 16];
                    bytes[..8].copy_from_slice(&number.to_le_bytes());
                    let (id, now) = (SessionId::from_bytes(bytes), at(0));
                    let outcome = runtime.block_on(sessions.create(id, record(100), now)).unwrap();
                    assert_eq!(outcome, CreateOutcome::Created);
                    // Full once, it stays full.
                    assert!(number < CAPACITY || sessions.len() >= CAPACITY);
                }
            });
        }
    });
    let evicted = (THREADS * EACH - CAPACITY) as u64;
    assert_eq!((sessions.len(), sessions.evicted()), (CAPACITY, evicted));
}
