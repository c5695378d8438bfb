//! One backend, several runtimes, as the workers of actix-web have: what one does concerns no other.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::common::{LONG, create, fresh_prefix, id, now, patient, record};
use crate::server::Server;
use session_core::SessionBackend;
use session_redis::{RedisBackend, RedisConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

fn of_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn of_several_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// So many at once that several connections would be made, if several may be.
async fn load_at_once(backend: &RedisBackend) {
    let mut loads = JoinSet::new();
    for _ in 0..12 {
        let backend = backend.clone();
        loads.spawn(async move { backend.load(id(1), now()).await });
    }
    while let Some(loaded) = loads.join_next().await {
        assert_eq!(loaded.unwrap().unwrap(), Some(record("x")));
    }
}

fn connect(runtime: &Runtime, server: &Server) -> RedisBackend {
    let config = patient(RedisConfig::from_url(&server.url()).unwrap().with_prefix(fresh_prefix()));
    let backend = runtime.block_on(RedisBackend::connect(config)).unwrap();
    runtime.block_on(create(&backend, 1, record("x")));
    backend
}

/// Ends the connection, so that the next verb has to make another.
fn disconnect(backend: &RedisBackend, server: &Server) {
    let mut link = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let _: () = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut link).unwrap();
    let started = Instant::now();
    while format!("{backend:?}").contains("is_open: true") {
        assert!(started.elapsed() < LONG, "the end of the connection goes unnoticed");
        thread::yield_now();
    }
}

/// Uses the backend on a runtime that is busy from then on, until the sender is dropped.
fn keep_busy(backend: &RedisBackend) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
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
    let Some(server) = Server::start(&[]) else { return };
    for first in [of_one_thread(), of_several_threads()] {
        let backend = connect(&first, &server);
        disconnect(&backend, &server);
        let (release, worker) = keep_busy(&backend);
        let other = of_one_thread();
        for _ in 0..3 {
            other.block_on(load_at_once(&backend));
        }
        assert!(!worker.is_finished(), "it was busy all the time");
        drop(release);
        worker.join().unwrap();
    }
}

#[test]
fn a_busy_runtime_that_connected_stalls_no_other() {
    let Some(server) = Server::start(&[]) else { return };
    let first = of_one_thread();
    let backend = connect(&first, &server);
    // Nothing runs on the first one now.
    of_several_threads().block_on(load_at_once(&backend));
    drop(first);
}

#[test]
fn the_end_of_a_runtime_fails_nothing() {
    let Some(server) = Server::start(&[]) else { return };
    for first in [of_one_thread(), of_several_threads()] {
        let backend = connect(&first, &server);
        first.block_on(load_at_once(&backend));
        drop(first);
        for next in [of_several_threads(), of_one_thread()] {
            for _ in 0..3 {
                next.block_on(load_at_once(&backend));
            }
        }
    }
}
