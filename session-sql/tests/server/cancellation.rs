//! Futures that are dropped: what they asked for happens as a whole or not at all, and the one connection that
//! there is goes on.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::Poll;

use session_core::{Record, SessionBackend};

use crate::common::{NOW, at, create, id, now, principal, record, with_table};
use crate::dialect::{self, Backend};

/// Polls `future` up to `polls` times, then drops it. Whether it had come to its end.
async fn drop_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ready {
            return true;
        }
        // Lets the verb's task come a bit further, so that drops meet it in all of its states.
        tokio::task::yield_now().await;
    }
    false
}

/// Checks that the session is as it was or as the dropped verb leaves it, whole in both cases, and returns which.
async fn check(
    backend: &Backend,
    (polls, is_complete): (usize, bool),
    (before, after): (Option<&Record>, Option<&Record>),
) -> bool {
    let found = backend.load(id(1), now()).await.unwrap();
    let happened = found.as_ref() == after;
    assert!(happened || found.as_ref() == before, "after {polls}: {found:?}");
    assert!(happened || !is_complete, "it was told that it happened, after {polls}");
    assert!(!happened || polls > 0, "it was never asked for");
    happened
}

#[test]
fn a_dropped_verb_happens_once_or_never() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = Backend::connect(config).await.unwrap();
        let old = record("old");
        let mut new = record("new").with_principal(principal("alice"));
        new.revision = old.revision.next(1);
        let mut touched = old.clone();
        touched.touch(at(NOW + 2_000), now());
        let (mut left_out, mut gone_on) = (0, 0);

        for polls in 0..40 {
            // Another call of the same verb has the one connection after the dropped one, if that was begun.
            let done = drop_after(polls, backend.create(id(1), old.clone(), now())).await;
            let _ = backend.create(id(2), old.clone(), now()).await.unwrap();
            let happened = check(&backend, (polls, done), (None, Some(&old))).await;
            left_out += usize::from(polls > 0 && !happened);
            gone_on += usize::from(happened && !done);
            let _ = backend.delete(id(1), None, now()).await.unwrap();

            create(&backend, 1, old.clone()).await;
            let done = drop_after(polls, backend.touch(id(1), at(NOW + 2_000), now())).await;
            assert!(backend.touch(id(2), now(), now()).await.unwrap());
            let happened = check(&backend, (polls, done), (Some(&old), Some(&touched))).await;
            let before = if happened { &touched } else { &old };

            let done = drop_after(polls, backend.update(id(1), old.revision, new.clone(), now())).await;
            let _ = backend.update(id(2), old.revision, old.clone(), now()).await.unwrap();
            let happened = check(&backend, (polls, done), (Some(before), Some(&new))).await;
            let before = if happened { &new } else { before };

            drop_after(polls, backend.load(id(1), now())).await;
            drop_after(polls, backend.list(None, None, 10, now())).await;
            drop_after(polls, backend.purge_expired(now(), 10)).await;
            assert_eq!(backend.load(id(1), now()).await.unwrap().as_ref(), Some(before), "after {polls}");

            let done = drop_after(polls, backend.delete(id(1), None, now())).await;
            let _ = backend.delete(id(3), None, now()).await.unwrap();
            check(&backend, (polls, done), (Some(before), None)).await;
            let _ = backend.delete(id(1), None, now()).await.unwrap();
        }
        println!("of creates {left_out} were left out, {gone_on} went on without a caller");
        // The one that was in use throughout, and no other that a dropped verb has left behind.
        assert!(dialect::connections(table).await <= 1);
    });
}

#[test]
fn a_dropped_load_never_answers_another() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = Backend::connect(config).await.unwrap();
        create(&backend, 1, record("one")).await;
        create(&backend, 2, record("two")).await;
        for polls in 0..100 {
            drop_after(polls % 7, backend.load(id(1), now())).await;
            assert_eq!(backend.load(id(2), now()).await.unwrap(), Some(record("two")));
        }
    });
}

#[test]
fn a_burst_of_dropped_verbs_leaves_a_working_backend() {
    with_table(async |table| {
        let backend = table.connect().await;
        for number in 0..500 {
            drop_after(1, backend.create(id(number), record("x"), now())).await;
        }
        // Far more than there are places for, if those were lost.
        for round in 1..6 {
            for number in 0..500 {
                drop_after(1, backend.touch(id(round * 1_000 + number), now(), now())).await;
            }
        }
        create(&backend, 1_000, record("last")).await;
        for (_, found) in backend.list(None, None, 1_000, now()).await.unwrap().sessions {
            assert!(found == record("x") || found == record("last"));
        }
    });
}

#[test]
fn a_dropped_migration_leaves_no_lock() {
    with_table(async |table| {
        for polls in 0..20 {
            drop_after(polls, Backend::migrate(table.config.clone())).await;
        }
        create(&table.connect().await, 1, record("x")).await;
    });
}
