//! Those who wait for the connection: how many, who leaves, and what a crash of the server makes of them.

use std::num::NonZeroUsize;
use std::time::Instant;

use session_core::{DeleteOutcome, ErrorKind, Result, SessionBackend, UpdateOutcome};

use super::{Occupied, all, creating, next, one_connection, queued, together, updating};
use crate::common::{LONG, create, hold, id, locking, now, record, run, until_waiting, with_table};
use crate::dialect::{self, Backend};
use crate::private_server::PrivateServer;

#[test]
fn a_pool_of_one_serves_all_verbs_at_once() {
    with_table(async |table| {
        for statement_cache in [true, false] {
            let config = one_connection(table).with_statement_cache(statement_cache);
            let backend = Backend::connect(config).await.unwrap();
            let sessions = (0..60).map(|number| {
                let backend = backend.clone();
                tokio::spawn(async move {
                    create(&backend, number, record("old")).await;
                    let revision = record("").revision;
                    let updated = backend.update(id(number), revision, next("new"), now()).await.unwrap();
                    assert_eq!(updated, UpdateOutcome::Updated);
                    assert!(backend.touch(id(number), now(), now()).await.unwrap());
                    assert_eq!(backend.load(id(number), now()).await.unwrap(), Some(next("new")));
                    let deleted = backend.delete(id(number), Some(next("").revision), now()).await.unwrap();
                    assert_eq!(deleted, DeleteOutcome::Deleted);
                })
            });
            for session in sessions.collect::<Vec<_>>() {
                session.await.unwrap();
            }
            assert!(table.dump().await.is_empty());
        }
    });
}

#[test]
fn a_full_queue_is_overloaded_and_serves_the_others() {
    with_table(async |table| {
        let config = one_connection(table).with_queue_capacity(NonZeroUsize::MIN.saturating_add(9));
        let backend = Backend::connect(config).await.unwrap();
        let calls = (0..20).map(|number| creating(&backend, number, "x"));
        let outcomes = together(table, &backend, calls).await;
        // The touch that keeps the connection in use has a place, too.
        assert!(outcomes[..9].iter().all(Result::is_ok));
        for outcome in &outcomes[9..] {
            assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Overloaded);
        }
        for number in 9..20 {
            create(&backend, number, record("x")).await;
        }
    });
}

#[test]
fn who_has_gone_is_left_out_of_the_batch() {
    with_table(async |table| {
        let backend = Backend::connect(one_connection(table)).await.unwrap();
        let occupied = Occupied::new(table, &backend).await;
        let calls = queued((0..10).map(|number| creating(&backend, number, "x"))).await;
        for call in calls.iter().step_by(2) {
            call.abort();
        }
        for call in calls.iter().step_by(2) {
            while !call.is_finished() {
                tokio::task::yield_now().await;
            }
        }
        occupied.release(table).await;
        for (number, call) in (0..).zip(calls) {
            let stays = number % 2 == 1;
            assert_eq!(call.await.is_ok(), stays);
            assert_eq!(backend.load(id(number), now()).await.unwrap().is_some(), stays);
        }
    });
}

#[test]
fn a_batch_whose_callers_have_gone_comes_to_its_end() {
    with_table(async |table| {
        let backend = Backend::connect(one_connection(table)).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((0..6).map(|number| updating(&backend, number, revision, "new"))).await;
        let mut lock = hold(table, &locking(3)).await;
        occupied.release(table).await;
        until_waiting(table, 1).await;
        for call in &calls {
            call.abort();
        }
        for call in calls {
            assert!(call.await.unwrap_err().is_cancelled());
        }
        run(&mut lock, table, "ROLLBACK").await;
        for number in 0..6 {
            assert_eq!(backend.load(id(number), now()).await.unwrap(), Some(next("new")), "{number}");
        }
    });
}

/// Two batches of the same sessions, asked for in opposite orders, meet at a session in the middle. In a circle they
/// would wait for each other until the lock timeout.
#[test]
fn batches_of_several_drivers_do_not_wait_for_each_other() {
    with_table(async |table| {
        let config = dialect::slow_to_see_deadlocks(one_connection(table).with_lock_timeout(LONG / 2));
        let one = Backend::connect(config.clone()).await.unwrap();
        let other = Backend::connect(config).await.unwrap();
        for number in 0..40 {
            create(&one, number, record(&number.to_string())).await;
        }
        let occupied = Occupied::new(table, &one).await;
        let client = other.clone();
        let touch = tokio::spawn(async move { client.touch(id(999), now(), now()).await });
        until_waiting(table, 2).await;
        let call = |backend: &Backend, number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), now(), now()).await.unwrap() }
        };
        let mut calls = queued((0..40).map(|number| call(&one, number))).await;
        calls.extend(queued((0..40).rev().map(|number| call(&other, number))).await);
        let mut lock = hold(table, &locking(20)).await;
        occupied.release(table).await;
        assert!(touch.await.unwrap().unwrap());
        until_waiting(table, 2).await;
        let started = Instant::now();
        run(&mut lock, table, "ROLLBACK").await;
        assert!(all(calls).await.into_iter().all(|touched| touched));
        assert!(started.elapsed() < LONG / 4, "{:?}", started.elapsed());
    });
}

/// Each task counts one session up; what it was told last holds after the crash, or its last unanswered update does.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_answers_is_true() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let config = server.config().with_acquire_timeout(LONG / 12);
    for round in 0..2 {
        // Its connections are new, as one that was idle at the crash would fail once more.
        let backend = Backend::connect(config.clone()).await.unwrap();
        let mut tasks = Vec::new();
        for number in 0..64 {
            let (backend, number) = (backend.clone(), round * 100 + number);
            let mut current = record("0");
            create(&backend, number, current.clone()).await;
            tasks.push(tokio::spawn(async move {
                for count in 1.. {
                    let mut next = record(&count.to_string());
                    next.revision = current.revision.next(count);
                    match backend.update(id(number), current.revision, next.clone(), now()).await {
                        Ok(UpdateOutcome::Updated) => current = next,
                        Ok(other) => panic!("nobody else is at it: {other:?}"),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                            return (number, current, next);
                        }
                    }
                }
                unreachable!()
            }));
        }
        // Until all are at it.
        while backend.load(id(round * 100 + 63), now()).await.unwrap() == Some(record("0")) {}
        server.crash();
        let mut ends = Vec::new();
        for task in tasks {
            ends.push(task.await.unwrap());
        }
        server.run(&[]).await;
        let backend = Backend::connect(config.clone()).await.unwrap();
        for (number, told, tried) in ends {
            let found = backend.load(id(number), now()).await.unwrap().unwrap();
            assert!(found == told || found == tried, "{found:?} instead of {told:?} or {tried:?}");
        }
    }
}
