//! Futures that are dropped: what they asked for happens as a whole or not at all.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::common::{NOW, at, create, database, id, now, principal, record};
use session_core::{Record, SessionBackend};
use session_sql::sqlite::SqliteBackend;

/// Polls `future` up to `polls` times, then drops it.
async fn drop_after<F: Future>(polls: usize, future: F) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ready {
            return;
        }
    }
}

/// The session afterwards: by then everything that was queued before has run.
async fn settled(backend: &SqliteBackend) -> Option<Record> {
    let _ = backend.touch(id(99), now(), now()).await.unwrap();
    backend.load(id(1), now()).await.unwrap()
}

#[tokio::test]
async fn a_dropped_verb_happens_once_or_never() {
    let old = record("old");
    let mut new = record("new").with_principal(principal("alice"));
    new.revision = old.revision.next(1);
    let mut touched = old.clone();
    touched.touch(at(NOW + 2_000), now());

    for polls in 0..3 {
        let happened = polls > 0;
        let (_directory, path) = database();
        let backend = SqliteBackend::open(&path).await.unwrap();

        drop_after(polls, backend.create(id(1), old.clone(), now())).await;
        assert_eq!(settled(&backend).await, happened.then(|| old.clone()), "create after {polls}");
        let _ = backend.delete(id(1), None, now()).await.unwrap();

        create(&backend, 1, old.clone()).await;
        drop_after(polls, backend.touch(id(1), at(NOW + 2_000), now())).await;
        let expected = if happened { &touched } else { &old };
        assert_eq!(settled(&backend).await.as_ref(), Some(expected), "touch after {polls}");

        drop_after(polls, backend.update(id(1), old.revision, new.clone(), now())).await;
        let expected = if happened { &new } else { &old };
        assert_eq!(settled(&backend).await.as_ref(), Some(expected), "update after {polls}");

        drop_after(polls, backend.load(id(1), now())).await;
        drop_after(polls, backend.list(None, None, 10, now())).await;
        drop_after(polls, backend.purge_expired(now(), 10)).await;
        assert_eq!(settled(&backend).await.as_ref(), Some(expected), "reads after {polls}");

        drop_after(polls, backend.delete(id(1), None, now())).await;
        assert_eq!(settled(&backend).await.is_none(), happened, "delete after {polls}");
    }
}

#[tokio::test]
async fn a_burst_of_dropped_verbs_leaves_a_working_backend() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    for number in 0..500 {
        drop_after(1, backend.create(id(number), record("x"), now())).await;
    }
    assert_eq!(settled(&backend).await, Some(record("x")));
    let listed = backend.list(None, None, 1_000, now()).await.unwrap();
    assert_eq!(listed.sessions.len(), 500);
}

#[tokio::test]
async fn a_dropped_connect_leaves_no_lock() {
    let (_directory, path) = database();
    for polls in 0..4 {
        drop_after(polls, SqliteBackend::open(&path)).await;
    }
    create(&SqliteBackend::open(&path).await.unwrap(), 1, record("x")).await;
}

#[tokio::test]
async fn close_with_inflight_never_hangs() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let waiting: Vec<_> = (0..100)
        .map(|number| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.create(id(number), record("x"), now()).await })
        })
        .collect();
    for number in 100..200 {
        drop_after(1, backend.create(id(number), record("x"), now())).await;
        drop_after(1, backend.load(id(number), now())).await;
    }
    drop(backend);
    for verb in waiting {
        let _ = verb.await.unwrap().unwrap();
    }
    // The threads do what was queued, then close: the log goes with the last connection.
    while path.with_file_name("sessions.db-wal").exists() {
        tokio::task::yield_now().await;
    }
    let again = SqliteBackend::open(&path).await.unwrap();
    assert_eq!(again.list(None, None, 1_000, now()).await.unwrap().sessions.len(), 200);
}
