//! One backend, several runtimes, as the workers of actix-web have: what one does concerns no other.

use std::sync::mpsc;
use std::thread;

use crate::common::{create, database, id, now, record};
use session_core::SessionBackend;
use session_sql::sqlite::SqliteBackend;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

fn of_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn of_several_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// So many at once that several connections would be made, if several may be.
async fn load_at_once(backend: &SqliteBackend) {
    let mut loads = JoinSet::new();
    for _ in 0..12 {
        let backend = backend.clone();
        loads.spawn(async move { backend.load(id(1), now()).await });
    }
    while let Some(loaded) = loads.join_next().await {
        assert_eq!(loaded.unwrap().unwrap(), Some(record("x")));
    }
}

/// Uses the backend on a runtime that is busy from then on, until the sender is dropped.
fn keep_busy(backend: &SqliteBackend) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let (release, released) = mpsc::channel();
    let (busy, is_busy) = mpsc::channel();
    let backend = backend.clone();
    let worker = thread::spawn(move || {
        of_one_thread().block_on(async {
            load_at_once(&backend).await;
            busy.send(()).unwrap();
            // As a handler that hashes passwords in place.
            let _ = released.recv();
        });
    });
    is_busy.recv().unwrap();
    (release, worker)
}

#[test]
fn a_busy_runtime_or_its_end_stalls_and_fails_no_other() {
    for first in [of_one_thread(), of_several_threads()] {
        let (_directory, path) = database();
        let backend = first.block_on(SqliteBackend::open(&path)).unwrap();
        first.block_on(create(&backend, 1, record("x")));
        drop(first);
        let (release, worker) = keep_busy(&backend);
        let other = of_one_thread();
        other.block_on(load_at_once(&backend));
        other.block_on(create(&backend, 2, record("x")));
        assert!(!worker.is_finished(), "it was busy all the time");
        drop(release);
        worker.join().unwrap();
    }
}
