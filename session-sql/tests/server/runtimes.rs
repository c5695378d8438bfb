//! One backend, several runtimes, as the workers of actix-web have: what one does concerns no other.

use std::sync::mpsc;
use std::thread;

use session_core::{ErrorKind, SessionBackend};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::common::{Table, create, hold, id, now, record, with_table};
use crate::dialect::{Backend, LOCK_TABLE};

fn of_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn of_several_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// So many at once that several connections would be made, if several may be.
async fn load_at_once(backend: &Backend) {
    let mut loads = JoinSet::new();
    for _ in 0..12 {
        let backend = backend.clone();
        loads.spawn(async move { backend.load(id(1), now()).await });
    }
    while let Some(loaded) = loads.join_next().await {
        assert_eq!(loaded.unwrap().unwrap(), Some(record("x")));
    }
}

/// Runs a test, which has no runtime at hand.
fn with_table_outside(test: impl FnOnce(&Table) + Send) {
    with_table(async |table| thread::scope(|scope| scope.spawn(|| test(table)).join().unwrap()));
}

fn connect(runtime: &Runtime, table: &Table) -> Backend {
    let backend = runtime.block_on(table.connect());
    runtime.block_on(create(&backend, 1, record("x")));
    backend
}

/// Uses the backend on a runtime that is busy from then on, until the sender is dropped.
fn keep_busy(backend: &Backend) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
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
fn a_busy_runtime_stalls_no_other() {
    with_table_outside(|table| {
        for first in [of_one_thread(), of_several_threads()] {
            let backend = connect(&first, table);
            let (release, worker) = keep_busy(&backend);
            let other = of_one_thread();
            for _ in 0..3 {
                other.block_on(load_at_once(&backend));
            }
            assert!(!worker.is_finished(), "it was busy all the time");
            drop(release);
            worker.join().unwrap();
            let _ = other.block_on(backend.delete(id(1), None, now())).unwrap();
        }
    });
}

#[test]
fn a_busy_runtime_that_connected_stalls_no_other() {
    with_table_outside(|table| {
        let first = of_one_thread();
        let backend = connect(&first, table);
        // Nothing runs on the first one now.
        of_several_threads().block_on(load_at_once(&backend));
        drop(first);
        of_one_thread().block_on(load_at_once(&backend));
    });
}

#[test]
fn the_end_of_a_runtime_fails_nothing() {
    with_table_outside(|table| {
        for first in [of_one_thread(), of_several_threads()] {
            let backend = connect(&first, table);
            first.block_on(load_at_once(&backend));
            drop(first);
            for next in [of_several_threads(), of_one_thread()] {
                for _ in 0..3 {
                    next.block_on(load_at_once(&backend));
                }
            }
            let _ = of_one_thread().block_on(backend.delete(id(1), None, now())).unwrap();
        }
    });
}

#[test]
fn a_verb_under_way_when_its_runtime_ends_is_unavailable() {
    with_table_outside(|table| {
        let first = of_several_threads();
        let backend = connect(&first, table);
        let other = of_one_thread();
        let lock = other.block_on(hold(table, LOCK_TABLE));
        let mut waiting = Box::pin(backend.load(id(1), now()));
        other.block_on(async {
            std::future::poll_fn(|context| {
                assert!(waiting.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        });
        drop(first);
        assert_eq!(other.block_on(waiting).unwrap_err().kind(), ErrorKind::Unavailable);
        drop(lock);
        other.block_on(load_at_once(&backend));
    });
}
