//! Where loads run: which thread it is shows in what a busy thread of the backend keeps waiting.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use tempfile::TempDir;

use super::*;

const ID: SessionId = SessionId::from_bytes([7; 16]);

async fn store(execution: FileExecution) -> (TempDir, FileBackend) {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new(directory.path().join("store")).with_threads(NonZeroUsize::MIN);
    let backend = FileBackend::connect(config.with_execution(execution)).await.unwrap();
    let record = Record::new(Revision::first(1), Timestamp::MIN, Timestamp::MAX, Timestamp::MAX);
    let _ = backend.create(ID, record, Timestamp::MIN).await.unwrap();
    (directory, backend)
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Whether a load is answered while the backend's one thread is at work.
async fn needs_no_thread(backend: &FileBackend) -> bool {
    let (open, gate) = mpsc::channel::<()>();
    let busy = backend.clone();
    let mut work = Box::pin(async move { busy.run(move |_, _| Ok(gate.recv().is_ok())).await });
    assert!(poll_once(work.as_mut()).is_pending());
    let mut load = Box::pin(backend.load(ID, Timestamp::MIN));
    let is_ready = matches!(poll_once(load.as_mut()), Poll::Ready(Ok(Some(_))));
    open.send(()).unwrap();
    assert!(work.await.unwrap());
    if !is_ready {
        assert!(load.await.unwrap().is_some());
    }
    is_ready
}

#[tokio::test]
async fn loads_run_on_the_calling_thread_once_they_are_known_to_be_quick() {
    let (_directory, backend) = store(FileExecution::WhereQuick).await;
    assert!(!needs_no_thread(&backend).await, "nothing is known yet");
    backend.warmth.as_ref().unwrap().heat();
    assert!(needs_no_thread(&backend).await);
}

#[tokio::test]
async fn a_backend_is_shown_in_a_line() {
    let (_directory, backend) = store(FileExecution::WhereQuick).await;
    let shown = format!("{backend:?}");
    assert!(shown.len() < 300, "{shown}");
}

#[tokio::test]
async fn on_threads_means_all_of_them() {
    let (_directory, backend) = store(FileExecution::OnThreads).await;
    for _ in 0..100 {
        assert!(backend.load(ID, Timestamp::MIN).await.unwrap().is_some());
    }
    assert!(!needs_no_thread(&backend).await);
}

#[tokio::test]
async fn a_purge_that_has_passed_enough_goes_on_where_it_stopped_and_ends() {
    let (_directory, backend) = store(FileExecution::OnThreads).await;
    let dead = Record::new(Revision::first(1), Timestamp::MIN, Timestamp::MIN, Timestamp::MAX);
    for shard in [3, 8, 255] {
        let created = backend.create(SessionId::from_bytes([shard; 16]), dead.clone(), Timestamp::MIN).await;
        assert_eq!(created.unwrap(), CreateOutcome::Created);
    }
    for dead in [3, 0] {
        let (mut calls, mut removed) = (0, 0);
        loop {
            let purge = |store: &Store, turn: Turn<'_>| store.purge(Timestamp::MIN, 10, 0, turn);
            let purged = backend.run(purge).await.unwrap();
            (calls, removed) = (calls + 1, removed + purged.removed);
            if !purged.more {
                break;
            }
        }
        assert_eq!((calls, removed), (256, dead));
    }
    assert!(backend.load(ID, Timestamp::MIN).await.unwrap().is_some());
    let purged = backend.purge_expired(Timestamp::MIN, 10).await.unwrap();
    assert_eq!(purged, Purged::new(0, false));
}
