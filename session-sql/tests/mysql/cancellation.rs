//! Futures that are dropped: what they asked for happens as a whole or not at all, and the one connection that
//! there is goes on.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::common::{NOW, at, create, id, now, principal, record, with_table};
use session_core::{Record, SessionBackend};
use session_sql::mysql::MysqlBackend;

/// Polls `future` up to `polls` times, then drops it.
async fn drop_after<F: Future>(polls: usize, future: F) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ready {
            return;
        }
        // Lets the verb's task come a bit further, so that drops meet it in all of its states.
        tokio::task::yield_now().await;
    }
}

/// Waits until the session is as a verb leaves it whose future was dropped. Its task goes on, but no order of
/// tasks says when it gets the connection.
async fn expect(backend: &MysqlBackend, expected: Option<&Record>, what: &str) {
    let started = Instant::now();
    loop {
        let found = backend.load(id(1), now()).await.unwrap();
        if found.as_ref() == expected {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn a_dropped_verb_happens_once_or_never() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = MysqlBackend::connect(config).await.unwrap();
        let old = record("old");
        let mut new = record("new").with_principal(principal("alice"));
        new.revision = old.revision.next(1);
        let mut touched = old.clone();
        touched.touch(at(NOW + 2_000), now());

        for polls in 0..40 {
            let happened = polls > 0;
            drop_after(polls, backend.create(id(1), old.clone(), now())).await;
            expect(&backend, happened.then_some(&old), &format!("create after {polls}")).await;
            let _ = backend.delete(id(1), None, now()).await.unwrap();

            create(&backend, 1, old.clone()).await;
            drop_after(polls, backend.touch(id(1), at(NOW + 2_000), now())).await;
            let expected = if happened { &touched } else { &old };
            expect(&backend, Some(expected), &format!("touch after {polls}")).await;

            drop_after(polls, backend.update(id(1), old.revision, new.clone(), now())).await;
            let expected = if happened { &new } else { &old };
            expect(&backend, Some(expected), &format!("update after {polls}")).await;

            drop_after(polls, backend.load(id(1), now())).await;
            drop_after(polls, backend.list(None, None, 10, now())).await;
            drop_after(polls, backend.purge_expired(now(), 10)).await;
            expect(&backend, Some(expected), &format!("reads after {polls}")).await;

            drop_after(polls, backend.delete(id(1), None, now())).await;
            expect(&backend, (!happened).then_some(expected), &format!("delete after {polls}")).await;
            let _ = backend.delete(id(1), None, now()).await.unwrap();
        }
    });
}

#[test]
fn a_dropped_load_never_answers_another() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = MysqlBackend::connect(config).await.unwrap();
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
        let (started, mut listed) = (Instant::now(), 0);
        while listed < 500 {
            assert!(started.elapsed() < Duration::from_secs(60), "{listed} of 500 have happened");
            listed = backend.list(None, None, 1_000, now()).await.unwrap().sessions.len();
        }
    });
}

#[test]
fn a_dropped_migration_leaves_no_lock() {
    with_table(async |table| {
        for polls in 0..20 {
            drop_after(polls, MysqlBackend::migrate(table.config.clone())).await;
        }
        create(&table.connect().await, 1, record("x")).await;
    });
}
