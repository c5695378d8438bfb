//! Purges of sessions whose expiry was moved, beside callers at work and others who write rows.

use std::collections::HashMap;

use session_core::{Purged, SessionBackend, SessionId, Timestamp, UpdateOutcome};
use tokio::task::JoinSet;

use crate::common::{NOW, Table, at, create, id, now, record, with_table};
use crate::dialect::{self, COUNT};

/// Calls until there is no more. How many were removed, by how many calls.
pub(crate) async fn purge_all(backend: &impl SessionBackend, now: Timestamp, limit: usize) -> (u64, usize) {
    let mut removed = 0;
    for calls in 1.. {
        let purged = backend.purge_expired(now, limit).await.unwrap();
        assert!(purged.removed <= limit as u64);
        removed += purged.removed;
        if !purged.more {
            return (removed, calls);
        }
        assert!(calls < 10_000, "the purge does not end");
    }
    unreachable!("there are more numbers");
}

/// Sessions of which every third was put off by an update, and the next by a touch; every ninth was then brought forward.
/// All calls of a kind come together, so that most go in batches. When each expires.
pub(crate) async fn move_expiries<B: SessionBackend + Clone + 'static>(
    backend: &B,
    sessions: u32,
) -> HashMap<SessionId, Timestamp> {
    let mut creates = JoinSet::new();
    for number in 0..sessions {
        let backend = backend.clone();
        creates.spawn(async move { create(&backend, number, record("old")).await });
    }
    creates.join_all().await;
    let numbers = |step: usize, first: u32| (first..sessions).step_by(step);
    let mut expiries: HashMap<_, _> =
        (0..sessions).map(|number| (id(number), record("").expires_at)).collect();
    let mut touches = JoinSet::new();
    for number in numbers(3, 1) {
        let backend = backend.clone();
        touches.spawn(async move { backend.touch(id(number), at(NOW + 5_000), now()).await.unwrap() });
        expiries.insert(id(number), at(NOW + 5_000));
    }
    assert!(touches.join_all().await.into_iter().all(|touched| touched));
    let mut expected = record("").revision;
    for (step, expires_at) in [(3, at(NOW + 5_000)), (9, at(NOW + 500))] {
        let mut updates = JoinSet::new();
        for number in numbers(step, 0) {
            let mut next = record("new");
            (next.revision, next.expires_at) = (expected.next(7), expires_at);
            let backend = backend.clone();
            updates.spawn(async move { backend.update(id(number), expected, next, now()).await.unwrap() });
            expiries.insert(id(number), expires_at);
        }
        let outcomes = updates.join_all().await;
        assert!(outcomes.iter().all(|outcome| *outcome == UpdateOutcome::Updated), "{outcomes:?}");
        expected = expected.next(7);
    }
    // And some one after the other, which go alone.
    for number in sessions..sessions + 3 {
        create(backend, number, record("old")).await;
        let (expected, mut next) = (record("").revision, record("new"));
        (next.revision, next.expires_at) = (expected.next(7), at(NOW + 500));
        let outcome = backend.update(id(number), expected, next, now()).await.unwrap();
        assert_eq!(outcome, UpdateOutcome::Updated);
        expiries.insert(id(number), at(NOW + 500));
    }
    expiries
}

/// A purge beside callers whose clocks are behind, to whom what it removes still lives.
pub(crate) async fn purge_beside_callers<B: SessionBackend + Clone + 'static>(backend: &B) {
    const SESSIONS: u32 = 600;
    const LIMIT: usize = 40;
    let dead = record("").expires_at;
    let later = at(NOW + 8_000);
    for number in 0..SESSIONS {
        create(backend, number, record("old")).await;
    }
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let backend = backend.clone();
        callers.spawn(async move {
            let mut kept = Vec::new();
            // From the end, where the purge comes last.
            for number in (0..SESSIONS).rev().filter(|number| number % 8 == caller) {
                let session = id(number);
                let is_kept = if number % 16 < 8 {
                    backend.touch(session, later, now()).await.unwrap()
                } else {
                    let mut next = record("new");
                    (next.revision, next.expires_at) = (next.revision.next(7), later);
                    let outcome = backend.update(session, record("").revision, next, now()).await.unwrap();
                    outcome == UpdateOutcome::Updated
                };
                if is_kept {
                    kept.push(session);
                }
                let mut fresh = record("fresh");
                fresh.expires_at = later;
                create(&backend, SESSIONS + number, fresh).await;
                kept.push(id(SESSIONS + number));
            }
            kept
        });
    }
    let mut purges = JoinSet::new();
    for _ in 0..2 {
        let backend = backend.clone();
        purges.spawn(async move { purge_all(&backend, dead, LIMIT).await });
    }
    let beside: u64 = purges.join_all().await.into_iter().map(|(removed, _)| removed).sum();
    let kept: Vec<SessionId> = callers.join_all().await.into_iter().flatten().collect();
    // Each call looks at as many as it may, all of which are gone or filed anew then, or is the last.
    let (removed, calls) = purge_all(backend, dead, LIMIT).await;
    let most = SESSIONS as usize * 2 / LIMIT + 1;
    assert!(calls <= most, "{calls} calls");
    let kept_of_the_old = kept.len() - SESSIONS as usize / 2;
    assert_eq!((beside + removed) as usize, SESSIONS as usize - kept_of_the_old);
    for session in &kept {
        assert!(backend.load(*session, dead).await.unwrap().is_some(), "{session:?} was kept, and is gone");
    }
    assert_eq!(purge_all(backend, dead, LIMIT).await, (0, 1));
    assert_eq!(purge_all(backend, later, LIMIT).await.0 as usize, kept.len());
}

/// Fills the table with sessions that were filed under `filed_at` and expire at `expires_at`, SQL over `seq`.
pub(crate) async fn fill(table: &Table, kind: &str, rows: u32, filed_at: &str, expires_at: &str) {
    let sql = format!(
        "INSERT INTO {{t}} (id, revision, expires_at, deadline, touched_at, meta, data, filed_at) \
         SELECT {}, 4294967297, {expires_at}, 9 * {NOW}, {NOW}, '', '', {filed_at} FROM {}",
        dialect::digest(&format!("concat('{kind}', seq)")),
        dialect::series(rows)
    );
    table.execute(&sql).await.unwrap();
}

#[test]
fn no_session_is_filed_later_than_it_expires() {
    with_table(async |table| {
        let backend = table.connect().await;
        let expiries = move_expiries(&backend, 180).await;
        let late = format!("{COUNT} WHERE filed_at > expires_at");
        assert_eq!(table.texts(&late).await, ["0"]);
        // Whoever puts it off leaves the index alone: all but those that were brought forward.
        let left = format!("{COUNT} WHERE filed_at = {}", NOW + 1_000);
        assert_eq!(table.texts(&left).await, ["160"]);
        for time in [NOW + 499, NOW + 500, NOW + 1_000, NOW + 4_999, NOW + 5_000] {
            let _ = purge_all(&backend, at(time), 50).await;
            let live = expiries.values().filter(|expires_at| **expires_at > at(time)).count();
            assert_eq!(table.texts(COUNT).await, [live.to_string()], "at {time}");
        }
    });
}

#[test]
fn a_purge_beside_callers_removes_the_dead_alone() {
    with_table(async |table| purge_beside_callers(&table.connect().await).await);
}

/// Whoever writes rows of his own need not know of the column.
#[test]
fn rows_of_others_are_found() {
    with_table(async |table| {
        let backend = table.connect().await;
        let sql = format!(
            "INSERT INTO {{t}} (id, revision, expires_at, deadline, touched_at, meta, data) \
             SELECT {}, 4294967297, 1000 * seq, 9000, 1, '', '' FROM {}",
            dialect::digest("concat('', seq)"),
            dialect::series(3)
        );
        table.execute(&sql).await.unwrap();
        assert_eq!(backend.purge_expired(at(1_999), 10).await.unwrap(), Purged::new(1, false));
        assert_eq!(backend.purge_expired(at(2_000), 10).await.unwrap(), Purged::new(1, false));
        assert_eq!(backend.purge_expired(at(2_999), 10).await.unwrap(), Purged::new(0, false));
    });
}

/// What comes in behind a purge that is under way: rows of others, whose place is at the beginning.
#[test]
fn who_says_that_there_is_no_more_has_looked_everywhere() {
    with_table(async |table| {
        let backend = table.connect().await;
        fill(table, "dead", 100, &format!("{NOW} - seq"), &format!("{NOW} - seq")).await;
        assert_eq!(backend.purge_expired(at(NOW), 60).await.unwrap(), Purged::new(60, true));
        fill(table, "late", 30, "0", &format!("{NOW} - 1")).await;
        fill(table, "live", 30, "0", &format!("{NOW} + 1")).await;
        assert_eq!(purge_all(&backend, at(NOW), 60).await.0, 70);
        assert_eq!(table.texts(COUNT).await, ["30"]);
        // By another clock as well.
        fill(table, "early", 30, &format!("{NOW} - 900"), &format!("{NOW} - 900")).await;
        fill(table, "dead", 100, &format!("{NOW} - seq"), &format!("{NOW} - seq")).await;
        assert_eq!(backend.purge_expired(at(NOW), 60).await.unwrap(), Purged::new(60, true));
        fill(table, "late", 30, "0", &format!("{NOW} - 900")).await;
        assert_eq!(backend.purge_expired(at(NOW - 500), 60).await.unwrap(), Purged::new(30, false));
        assert_eq!(purge_all(&backend, at(NOW), 60).await.0, 70);
    });
}
