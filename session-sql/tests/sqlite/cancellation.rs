//! Futures that are dropped: what they asked for happens as a whole or not at all.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::common::{NOW, at, create, database, dump, id, now, principal, raw, record};
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
        let (_directory, path) = database();
        let backend = SqliteBackend::open(&path).await.unwrap();
        // So that they may as well run on the calling thread.
        for _ in 0..100 {
            settled(&backend).await;
        }

        drop_after(polls, backend.create(id(1), old.clone(), now())).await;
        let found = settled(&backend).await;
        assert!(
            found.is_none() || polls > 0 && found.as_ref() == Some(&old),
            "create after {polls}: {found:?}"
        );
        let _ = backend.delete(id(1), None, now()).await.unwrap();

        create(&backend, 1, old.clone()).await;
        drop_after(polls, backend.touch(id(1), at(NOW + 2_000), now())).await;
        let before = settled(&backend).await.unwrap();
        assert!(before == old || polls > 0 && before == touched, "touch after {polls}: {before:?}");

        drop_after(polls, backend.update(id(1), old.revision, new.clone(), now())).await;
        let after = settled(&backend).await.unwrap();
        assert!(after == before || polls > 0 && after == new, "update after {polls}: {after:?}");

        drop_after(polls, backend.load(id(1), now())).await;
        drop_after(polls, backend.list(None, None, 10, now())).await;
        drop_after(polls, backend.purge_expired(now(), 10)).await;
        assert_eq!(settled(&backend).await.as_ref(), Some(&after), "reads after {polls}");

        drop_after(polls, backend.delete(id(1), None, now())).await;
        let found = settled(&backend).await;
        assert!(
            found.as_ref() == Some(&after) || polls > 0 && found.is_none(),
            "delete after {polls}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_verb_whose_caller_goes_before_its_turn_writes_nothing() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let old = record("old");
    create(&backend, 1, old.clone()).await;
    let mut new = record("new");
    new.revision = old.revision.next(1);
    let before = dump(&path);
    let lock = raw(&path);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop_after(1, backend.create(id(2), record("x"), now())).await;
    drop_after(1, backend.update(id(1), old.revision, new, now())).await;
    drop_after(1, backend.touch(id(1), at(NOW + 2_000), now())).await;
    drop_after(1, backend.delete(id(1), None, now())).await;
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(settled(&backend).await, Some(old));
    assert_eq!(dump(&path), before);
}

#[tokio::test]
async fn a_burst_of_dropped_verbs_leaves_a_working_backend() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    for number in 0..500 {
        drop_after(1, backend.create(id(number), record("x"), now())).await;
    }
    settled(&backend).await;
    for number in 500..1_000 {
        create(&backend, number, record("x")).await;
    }
    let listed = backend.list(None, None, 2_000, now()).await.unwrap().sessions;
    assert_eq!(listed.iter().filter(|(id, _)| *id >= crate::common::id(500)).count(), 500);
    assert!(listed.iter().all(|(_, stored)| *stored == record("x")));
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
    // The threads do what is waited for, then close: the log goes with the last connection.
    while path.with_file_name("sessions.db-wal").exists() {
        tokio::task::yield_now().await;
    }
    let again = SqliteBackend::open(&path).await.unwrap();
    let stored = again.list(None, None, 1_000, now()).await.unwrap().sessions;
    assert_eq!(stored.iter().filter(|(stored, _)| (0..100).any(|number| *stored == id(number))).count(), 100);
}
