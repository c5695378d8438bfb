//! What the conformance suite cannot see: the capacity, the count, a poisoned lock, the indexes and their laziness.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::shard::PURGED_AT_ONCE;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn record(expires_at: i64) -> Record {
    Record::new(Revision::first(7), at(0), at(expires_at), Timestamp::MAX)
}

/// One of many ids in the same shard.
fn neighbour(number: usize) -> SessionId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&(number as u64).to_be_bytes());
    SessionId::from_bytes(bytes)
}

async fn update(sessions: &MemoryBackend, number: u8, expires_at: i64) {
    let record = record(expires_at);
    let outcome = sessions.update(id(number), record.revision, record, at(0)).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
}

fn assert_sound(sessions: &MemoryBackend) {
    assert!(sessions.shards.iter().all(|shard| lock(shard).is_sound()));
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
async fn eviction_goes_by_the_expiry_of_now() {
    let capacity = NonZeroUsize::new(3).unwrap();
    let sessions = MemoryBackend::with_config(MemoryConfig::new().with_capacity(capacity));
    for (number, expires_at) in [(1, 100), (2, 200), (3, 500)] {
        assert_eq!(
            sessions.create(id(number), record(expires_at), at(0)).await.unwrap(),
            CreateOutcome::Created
        );
    }
    update(&sessions, 1, 400).await;
    update(&sessions, 2, 300).await;
    update(&sessions, 3, 250).await;
    for (newcomer, evicted) in [(4, 3), (5, 2), (6, 1)] {
        let outcome = sessions.create(id(newcomer), record(900), at(0)).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        assert_eq!(sessions.load(id(evicted), at(0)).await.unwrap(), None);
        assert_sound(&sessions);
    }
    assert_eq!((sessions.len(), sessions.evicted()), (3, 3));
}

#[tokio::test]
async fn what_was_put_off_is_purged_at_its_new_time_only() {
    let sessions = MemoryBackend::new();
    assert_eq!(sessions.create(id(1), record(10), at(0)).await.unwrap(), CreateOutcome::Created);
    for expires_at in 11..50 {
        assert!(sessions.touch(id(1), at(expires_at), at(0)).await.unwrap());
    }
    update(&sessions, 1, 60).await;
    for now in [10, 30, 59] {
        assert_eq!(sessions.purge_expired(at(now), 5).await.unwrap(), Purged::new(0, false));
        assert_sound(&sessions);
    }
    assert_eq!(sessions.purge_expired(at(60), 5).await.unwrap(), Purged::new(1, false));
    assert!(sessions.is_empty());
}

#[tokio::test]
async fn what_was_brought_forward_is_purged_in_time() {
    let sessions = MemoryBackend::new();
    assert_eq!(sessions.create(id(1), record(100), at(0)).await.unwrap(), CreateOutcome::Created);
    update(&sessions, 1, 10).await;
    // Put off, and back to a time at which it is still filed too early.
    assert_eq!(sessions.create(id(2), record(100), at(0)).await.unwrap(), CreateOutcome::Created);
    update(&sessions, 2, 300).await;
    update(&sessions, 2, 200).await;
    // A deadline before the expiry: not made by the core, but stored.
    let mut beyond = record(100);
    beyond.deadline = at(20);
    assert_eq!(sessions.create(id(3), beyond, at(0)).await.unwrap(), CreateOutcome::Created);
    assert!(sessions.touch(id(3), at(500), at(0)).await.unwrap());
    for now in [10, 20, 200] {
        assert_sound(&sessions);
        assert_eq!(sessions.purge_expired(at(now - 1), 5).await.unwrap(), Purged::new(0, false));
        assert_eq!(sessions.purge_expired(at(now), 5).await.unwrap(), Purged::new(1, false));
    }
    assert!(sessions.is_empty());
}

#[tokio::test]
async fn a_purge_does_little_at_once_and_says_so() {
    let sessions = MemoryBackend::new();
    let crowd = 3 * PURGED_AT_ONCE;
    for number in 0..crowd {
        let outcome = sessions.create(neighbour(number), record(10), at(0)).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
    }
    for number in 0..crowd - 1 {
        assert!(sessions.touch(neighbour(number), at(20), at(0)).await.unwrap());
    }
    // Only the last is dead; the others are moved on the way to it.
    assert_eq!(sessions.purge_expired(at(10), 1).await.unwrap(), Purged::new(0, true));
    assert_eq!(sessions.purge_expired(at(10), 1).await.unwrap(), Purged::new(0, true));
    assert_eq!(sessions.purge_expired(at(10), 1).await.unwrap(), Purged::new(1, false));
    assert_sound(&sessions);
    let rest = Purged::new(PURGED_AT_ONCE as u64, true);
    assert_eq!(sessions.purge_expired(at(20), usize::MAX).await.unwrap(), rest);
    assert_eq!(sessions.purge_expired(at(20), 1).await.unwrap(), Purged::new(1, true));
}

#[tokio::test]
async fn sessions_of_one_shard_are_listed_in_pages() {
    let sessions = MemoryBackend::new();
    for number in 0..100 {
        let expires_at = if number % 3 == 0 { 10 } else { 20 };
        let outcome = sessions.create(neighbour(number), record(expires_at), at(0)).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = sessions.list(None, after, 7, at(10)).await.unwrap();
        listed.extend(page.sessions.into_iter().map(|(id, _)| id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let live: Vec<SessionId> = (0..100).filter(|number| number % 3 != 0).map(neighbour).collect();
    assert_eq!(listed, live);
}

#[tokio::test]
async fn meta_and_data_share_one_allocation() {
    let sessions = MemoryBackend::new();
    let stored = record(10).with_meta("bookkeeping").with_data("values");
    assert_eq!(sessions.create(id(1), stored.clone(), at(0)).await.unwrap(), CreateOutcome::Created);
    let loaded = sessions.load(id(1), at(0)).await.unwrap().unwrap();
    assert_eq!(loaded, stored);
    assert_eq!(loaded.meta.as_ptr_range().end, loaded.data.as_ptr());
}

/// A verb on one of a few sessions of one shard, with times close together.
#[derive(Clone, Debug)]
enum Step {
    Create(usize, i64, Option<&'static str>),
    Update(usize, i64, Option<&'static str>),
    Touch(usize, i64),
    Delete(usize),
    Purge(usize),
    Advance(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let principal = || prop::option::of(prop::sample::select(&["a", "b"][..]));
    prop_oneof![
        (0..6_usize, 1..20_i64, principal()).prop_map(|(n, ttl, who)| Step::Create(n, ttl, who)),
        (0..6_usize, 1..20_i64, principal()).prop_map(|(n, ttl, who)| Step::Update(n, ttl, who)),
        (0..6_usize, 1..20_i64).prop_map(|(n, ttl)| Step::Touch(n, ttl)),
        (0..6_usize).prop_map(Step::Delete),
        (1..4_usize).prop_map(Step::Purge),
        (1..8_i64).prop_map(Step::Advance),
    ]
}

/// The same verbs on a plain map, where a purge looks at everything.
#[test]
fn the_indexes_agree_with_a_plain_map() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..60), |steps| runtime.block_on(compare(&steps)))
        .unwrap();
}

async fn compare(steps: &[Step]) -> Result<(), TestCaseError> {
    let sessions = MemoryBackend::new();
    let mut model: BTreeMap<SessionId, Record> = BTreeMap::new();
    let mut time = 0;
    for step in steps {
        let now = at(time);
        let new = |ttl: i64, who: Option<&str>| {
            record(time + ttl).with_principal(who.map(|who| Principal::new(who).unwrap()))
        };
        let live = |model: &BTreeMap<SessionId, Record>, id| {
            model.get(&id).filter(|record: &&Record| record.is_live(now)).cloned()
        };
        match step.clone() {
            Step::Create(number, ttl, who) => {
                let (id, record) = (neighbour(number), new(ttl, who));
                let expected = match live(&model, id) {
                    Some(current) => CreateOutcome::Occupied(current),
                    None => CreateOutcome::Created,
                };
                prop_assert_eq!(sessions.create(id, record.clone(), now).await.unwrap(), expected.clone());
                if expected == CreateOutcome::Created {
                    model.insert(id, record);
                }
            }
            Step::Update(number, ttl, who) => {
                let (id, record) = (neighbour(number), new(ttl, who));
                let outcome = sessions.update(id, record.revision, record.clone(), now).await.unwrap();
                if live(&model, id).is_some() {
                    prop_assert_eq!(outcome, UpdateOutcome::Updated);
                    model.insert(id, record);
                } else {
                    prop_assert_eq!(outcome, UpdateOutcome::Gone);
                }
            }
            Step::Touch(number, ttl) => {
                let (id, expires_at) = (neighbour(number), at(time + ttl));
                let is_live = live(&model, id).is_some();
                prop_assert_eq!(sessions.touch(id, expires_at, now).await.unwrap(), is_live);
                if is_live {
                    model.entry(id).and_modify(|record| record.touch(expires_at, now));
                }
            }
            Step::Delete(number) => {
                let id = neighbour(number);
                let outcome = sessions.delete(id, None, now).await.unwrap();
                prop_assert_eq!(outcome == DeleteOutcome::Deleted, live(&model, id).is_some());
                if outcome == DeleteOutcome::Deleted {
                    model.remove(&id);
                }
            }
            Step::Purge(limit) => {
                let dead = model.values().filter(|record| !record.is_live(now)).count();
                let purged = sessions.purge_expired(now, limit).await.unwrap();
                prop_assert_eq!(purged, Purged::new(dead.min(limit) as u64, dead > limit));
                while sessions.purge_expired(now, limit).await.unwrap().more {}
                model.retain(|_, record| record.is_live(now));
            }
            Step::Advance(millis) => time += millis,
        }
        prop_assert_eq!(sessions.len(), model.len());
        prop_assert!(sessions.shard(neighbour(0)).is_sound());
        for (id, record) in &model {
            prop_assert_eq!(sessions.load(*id, at(time)).await.unwrap(), live_at(record, time));
        }
    }
    Ok(())
}

fn live_at(record: &Record, time: i64) -> Option<Record> {
    Some(record.clone()).filter(|record| record.is_live(at(time)))
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
