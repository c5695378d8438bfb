//! Futures that are dropped: what they asked for happens as a whole or not at all, and nobody gets the reply to
//! another's question.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use crate::common::{Fixture, LONG, NOW, at, create, id, now, patient, principal, record};
use session_core::{Record, SessionBackend};
use session_redis::{RedisBackend, RedisConfig};

/// Polls `future` up to `polls` times, then drops it; the driver's tasks, on threads of their own, and the server
/// may act in between.
async fn drop_after<F: Future>(polls: usize, future: F) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ready {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until the session is as a verb leaves it whose future was dropped. Its task goes on, but no order of
/// tasks says when its commands are sent.
async fn expect(backend: &RedisBackend, expected: Option<&Record>, what: &str) {
    let started = Instant::now();
    loop {
        let found = backend.load(id(1), now()).await.unwrap();
        if found.as_ref() == expected {
            return;
        }
        assert!(started.elapsed() < LONG, "{what}: {found:?} instead of {expected:?}");
    }
}

#[tokio::test]
async fn a_dropped_verb_happens_once_or_never() {
    let Some(fixture) = Fixture::shared().await else { return };
    let backend = &fixture.backend;
    let old = record("old").with_principal(principal("alice"));
    let mut new = record("new").with_principal(principal("bob"));
    new.revision = old.revision.next(1);
    let mut touched = old.clone();
    touched.touch(at(NOW + 2_000), now());

    for polls in (0..12).chain((4..14).map(|power| 1 << power)) {
        // Verbs of several commands run in a task from the first poll on.
        let happened = polls > 0;
        drop_after(polls, backend.create(id(1), old.clone(), now())).await;
        expect(backend, happened.then_some(&old), &format!("create after {polls}")).await;
        let _ = backend.delete(id(1), None, now()).await.unwrap();

        create(backend, 1, old.clone()).await;
        drop_after(polls, backend.touch(id(1), at(NOW + 2_000), now())).await;
        // A touch is one command, which the connection leaves out if nobody waits when its turn comes. A load
        // has its turn after it.
        let before = backend.load(id(1), now()).await.unwrap().unwrap();
        assert!(before == old || polls > 0 && before == touched, "touch after {polls}: {before:?}");

        drop_after(polls, backend.update(id(1), old.revision, new.clone(), now())).await;
        let expected = if happened { &new } else { &before };
        expect(backend, Some(expected), &format!("update after {polls}")).await;

        drop_after(polls, backend.load(id(1), now())).await;
        drop_after(polls, backend.list(None, None, 10, now())).await;
        drop_after(polls, backend.list(principal("bob").as_ref(), None, 10, now())).await;
        let unchanged = backend.load(id(1), now()).await.unwrap();
        assert_eq!(unchanged.as_ref(), Some(expected), "reads after {polls}");

        drop_after(polls, backend.delete(id(1), None, now())).await;
        expect(backend, (!happened).then_some(expected), &format!("delete after {polls}")).await;
        let _ = backend.delete(id(1), None, now()).await.unwrap();
    }
    fixture.discard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_never_reaches_another() {
    let Some(fixture) = Fixture::shared().await else { return };
    for number in 0..50 {
        create(&fixture.backend, number, record(&number.to_string())).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let backend = fixture.backend.clone();
        tasks.spawn(async move {
            for round in 0..500 {
                let number = (task * 13 + round) % 50;
                drop_after(1 + (round % 3) as usize, backend.load(id((number + 25) % 50), now())).await;
                drop_after(1, backend.touch(id(number), at(NOW + 1_000), now())).await;
                let found = backend.load(id(number), now()).await.unwrap().unwrap();
                assert_eq!(found.data, number.to_string());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    fixture.discard().await;
}

#[tokio::test]
async fn a_dropped_connect_is_no_harm() {
    let Some(fixture) = Fixture::shared().await else { return };
    let config = patient(RedisConfig::from_url(&fixture.url).unwrap().with_prefix(fixture.prefix.clone()));
    for polls in 0..8 {
        drop_after(polls, RedisBackend::connect(config.clone())).await;
    }
    create(&RedisBackend::connect(config).await.unwrap(), 1, record("x")).await;
    fixture.discard().await;
}
