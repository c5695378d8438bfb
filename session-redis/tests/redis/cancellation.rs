//! Futures that are dropped: what they asked for happens as a whole or not at all, and nobody gets the reply to
//! another's question.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::common::{Fixture, NOW, at, create, id, now, principal, record};
use session_core::{Record, SessionBackend};
use session_redis::{RedisBackend, RedisConfig};

/// Polls `future` up to `polls` times, then drops it; the server may act in between.
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

/// Waits until what was asked for has happened or cannot any more: questions are answered in order, and the
/// driver's own tasks need a few more turns of the runtime for their next.
async fn settle(backend: &RedisBackend) {
    for _ in 0..8 {
        let _ = backend.load(id(99), now()).await.unwrap();
    }
}

async fn session(backend: &RedisBackend) -> Option<Record> {
    settle(backend).await;
    backend.load(id(1), now()).await.unwrap()
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

    let mut happened = [false; 4];
    for polls in 0..12 {
        drop_after(polls, backend.create(id(1), old.clone(), now())).await;
        let found = session(backend).await;
        assert!(found.is_none() || found.as_ref() == Some(&old), "create after {polls}: {found:?}");
        happened[0] |= found.is_some();
        let _ = backend.delete(id(1), None, now()).await.unwrap();

        create(backend, 1, old.clone()).await;
        drop_after(polls, backend.touch(id(1), at(NOW + 2_000), now())).await;
        let before = session(backend).await.unwrap();
        assert!(before == old || before == touched, "touch after {polls}: {before:?}");
        happened[1] |= before == touched;

        drop_after(polls, backend.update(id(1), old.revision, new.clone(), now())).await;
        let after = session(backend).await.unwrap();
        assert!(after == before || after == new, "update after {polls}: {after:?}");
        happened[2] |= after == new;

        drop_after(polls, backend.load(id(1), now())).await;
        drop_after(polls, backend.list(None, None, 10, now())).await;
        drop_after(polls, backend.list(principal("bob").as_ref(), None, 10, now())).await;
        assert_eq!(session(backend).await.as_ref(), Some(&after), "reads after {polls}");

        drop_after(polls, backend.delete(id(1), None, now())).await;
        let found = session(backend).await;
        assert!(found.is_none() || found.as_ref() == Some(&after), "delete after {polls}: {found:?}");
        happened[3] |= found.is_none();
        let _ = backend.delete(id(1), None, now()).await.unwrap();
    }
    assert_eq!(happened, [true; 4], "no verb was ever dropped late enough");
    settle(backend).await;
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
    let config = RedisConfig::from_url(&fixture.url).unwrap().with_prefix(fixture.prefix.clone());
    for polls in 0..8 {
        drop_after(polls, RedisBackend::connect(config.clone())).await;
    }
    create(&RedisBackend::connect(config).await.unwrap(), 1, record("x")).await;
    fixture.discard().await;
}
