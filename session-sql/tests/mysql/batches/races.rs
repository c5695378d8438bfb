//! What each call of a batch is told when several meet: in one batch, across batches, and with other clients.

use std::time::Instant;

use session_core::{CreateOutcome, DeleteOutcome, ErrorKind, Result, SessionBackend, UpdateOutcome};
use session_sql::mysql::MysqlBackend;

use super::{
    MINUTE, Occupied, all, count, counted, creating, locking, next, patient, queued, run, together,
    until_waiting, updating,
};
use crate::common::{NOW, at, create, hex, id, now, record, with_table};

/// Sessions 1 and 2 live, 3 with another revision, 4 expired, 5 absent.
async fn fill(backend: &MysqlBackend) {
    for number in 1..=4 {
        let mut record = if number == 3 { next("old") } else { record("old") };
        if number == 4 {
            record.expires_at = at(NOW - 1);
        }
        let _ = backend.create(id(number), record, at(0)).await.unwrap();
    }
}

#[test]
fn each_call_of_a_batch_has_its_own_outcome() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        fill(&backend).await;
        let revision = record("").revision;
        let calls = (1..=5).map(|number| updating(&backend, number, revision, "new"));
        let outcomes: Vec<_> =
            together(table, &backend, calls).await.into_iter().map(Result::unwrap).collect();
        let expected = [
            UpdateOutcome::Updated,
            UpdateOutcome::Updated,
            UpdateOutcome::Conflict(next("old")),
            UpdateOutcome::Gone,
            UpdateOutcome::Gone,
        ];
        assert_eq!(outcomes, expected);

        let calls = (1..=5).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap() }
        });
        let expected = [Some(next("new")), Some(next("new")), Some(next("old")), None, None];
        assert_eq!(together(table, &backend, calls).await, expected);

        let calls = (1..=5).map(|number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), now(), now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, [true, true, true, false, false]);

        let calls = (2..=6).map(|number| creating(&backend, number, "created"));
        let outcomes: Vec<_> =
            together(table, &backend, calls).await.into_iter().map(Result::unwrap).collect();
        let expected = [
            CreateOutcome::Occupied(next("new")),
            CreateOutcome::Occupied(next("old")),
            CreateOutcome::Created,
            CreateOutcome::Created,
            CreateOutcome::Created,
        ];
        assert_eq!(outcomes, expected);
    });
}

#[test]
fn each_delete_of_a_batch_has_its_own_condition() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        for expected in [None, Some(record("").revision)] {
            fill(&backend).await;
            let calls = (1..=5).map(|number| {
                let backend = backend.clone();
                // 2 is asked for in the other way.
                let expected = if number == 2 { None } else { expected };
                async move { backend.delete(id(number), expected, now()).await.unwrap() }
            });
            let third = match expected {
                Some(_) => DeleteOutcome::Conflict(next("old")),
                None => DeleteOutcome::Deleted,
            };
            let outcomes = together(table, &backend, calls).await;
            let (deleted, absent) = (DeleteOutcome::Deleted, DeleteOutcome::Absent);
            assert_eq!(outcomes, [deleted.clone(), deleted, third, absent.clone(), absent]);
            table.execute("DELETE FROM {t}").await.unwrap();
        }
    });
}

#[test]
fn of_two_updates_of_one_session_one_wins() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        for number in 0..5 {
            create(&backend, number, record("old")).await;
        }
        let revision = record("").revision;
        let calls = (0..40).map(|call| updating(&backend, call % 5, revision, &call.to_string()));
        let outcomes = together(table, &backend, calls).await;
        for number in 0..5 {
            let stored = backend.load(id(number), now()).await.unwrap().unwrap();
            let (mut winners, mut conflicts) = (0, 0);
            for (call, outcome) in (0..).zip(&outcomes).filter(|(call, _)| call % 5 == number) {
                match outcome.as_ref().unwrap() {
                    UpdateOutcome::Updated => {
                        winners += 1;
                        assert_eq!(stored, next(&call.to_string()));
                    }
                    UpdateOutcome::Conflict(current) => {
                        conflicts += 1;
                        assert_eq!(*current, stored);
                    }
                    UpdateOutcome::Gone => panic!("session {number} is there"),
                }
            }
            assert_eq!((winners, conflicts), (1, 7));
        }
    });
}

#[test]
fn of_two_creates_over_an_expired_session_one_wins() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        for number in 0..5 {
            let mut expired = record("expired");
            expired.expires_at = at(NOW - 1);
            let _ = backend.create(id(number), expired, at(0)).await.unwrap();
        }
        let calls = (0..15).map(|call| creating(&backend, call % 5, "new"));
        let outcomes = together(table, &backend, calls).await;
        let created = outcomes.iter().filter(|outcome| matches!(outcome, Ok(CreateOutcome::Created))).count();
        assert_eq!(created, 5);
        for outcome in outcomes {
            assert!(matches!(outcome.unwrap(), CreateOutcome::Created | CreateOutcome::Occupied(_)));
        }
    });
}

#[test]
fn held_rows_keep_nobody_else_waiting() {
    with_table(async |table| {
        let config = patient(table).with_lock_timeout(MINUTE / 30);
        let backend = MysqlBackend::connect(config).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record(&number.to_string())).await;
        }
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}; {}", locking(0), locking(4))).await;
        let occupying = tokio::spawn(updating(&backend, 0, record("").revision, "held"));
        until_waiting(table, 1).await;
        let touch = |number| {
            let backend = backend.clone();
            async move { (backend.touch(id(number), now(), now()).await, Instant::now()) }
        };
        let calls = queued((0..6).map(touch)).await;
        assert_eq!(occupying.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        let (mut served, mut held) = (Vec::new(), Vec::new());
        for (number, (outcome, end)) in all(calls).await.into_iter().enumerate() {
            match outcome {
                Ok(touched) => served.push((number, touched, end)),
                Err(error) => held.push((number, error.kind(), end)),
            }
        }
        let found: Vec<_> = served.iter().map(|&(number, touched, _)| (number, touched)).collect();
        assert_eq!(found, [(1, true), (2, true), (3, true), (5, true)]);
        assert!(held.iter().all(|&(_, kind, _)| kind == ErrorKind::Timeout), "{held:?}");
        let last = served.iter().map(|&(.., end)| end).max();
        assert!(last < held.iter().map(|&(.., end)| end).min(), "{served:?} {held:?}");
        drop(lock);
    });
}

#[test]
fn a_deadlock_is_tried_again() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        for number in 1..=3 {
            create(&backend, number, record("old")).await;
        }
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((1..=3).map(|number| updating(&backend, number, revision, "new"))).await;
        // Somebody else holds session 2 and then asks for session 1, which a batch of 1, 2 and 3 holds by then. Of the
        // two the server ends the one that has changed less.
        let mut other = table.raw().await;
        let heavy = "BEGIN; INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, meta, data) \
                     SELECT UNHEX(MD5(seq)), 1, 1, 1, 1, '', '' FROM seq_1_to_100";
        run(&mut other, table, heavy).await;
        run(&mut other, table, &locking(2)).await;
        occupied.release(table).await;
        until_waiting(table, 1).await;
        run(&mut other, table, &locking(1)).await;
        run(&mut other, table, "ROLLBACK").await;
        for outcome in all(calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
    });
}

/// Two batches of the same sessions, asked for in opposite orders, meet at a session in the middle. In a circle they
/// would wait for each other until the lock timeout.
#[test]
fn batches_of_several_drivers_do_not_wait_for_each_other() {
    with_table(async |table| {
        let config = patient(table).with_lock_timeout(MINUTE / 2);
        let one = MysqlBackend::connect(config.clone()).await.unwrap();
        let other = MysqlBackend::connect(config).await.unwrap();
        for number in 0..40 {
            create(&one, number, record(&number.to_string())).await;
        }
        let occupied = Occupied::new(table, &one).await;
        let client = other.clone();
        let touch = tokio::spawn(async move { client.touch(id(999), now(), now()).await });
        until_waiting(table, 2).await;
        let call = |backend: &MysqlBackend, number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), now(), now()).await.unwrap() }
        };
        let mut calls = queued((0..40).map(|number| call(&one, number))).await;
        calls.extend(queued((0..40).rev().map(|number| call(&other, number))).await);
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(20))).await;
        occupied.release(table).await;
        assert!(touch.await.unwrap().unwrap());
        until_waiting(table, 2).await;
        let started = Instant::now();
        run(&mut lock, table, "ROLLBACK").await;
        assert!(all(calls).await.into_iter().all(|touched| touched));
        assert!(started.elapsed() < MINUTE / 4, "{:?}", started.elapsed());
    });
}

/// Whatever the isolation level of the application's connections.
#[test]
fn a_conflict_of_a_batch_is_read_after_the_attempt() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        with_table(async |table| {
            let (backend, pool) = counted(table, isolation).await;
            for number in 1..=3 {
                create(&backend, number, record("old")).await;
            }
            let occupied = Occupied::new(table, &backend).await;
            let revision = record("").revision;
            let calls = queued((1..=3).map(|number| updating(&backend, number, revision, "new"))).await;
            let mut other = table.raw().await;
            let winner = "BEGIN; UPDATE {t} SET revision = revision + 4294967296, data = 'won' WHERE id = ";
            run(&mut other, table, &format!("{winner}{}", hex(2))).await;
            occupied.release(table).await;
            until_waiting(table, 1).await;
            run(&mut other, table, "COMMIT").await;
            let outcomes = all(calls).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
            let UpdateOutcome::Conflict(current) = &outcomes[1] else { panic!("{isolation}: {outcomes:?}") };
            assert_eq!((current.revision.sequence(), &current.data[..]), (2, &b"won"[..]), "{isolation}");
            assert_eq!([&outcomes[0], &outcomes[2]], [&UpdateOutcome::Updated; 2], "{isolation}");
            assert_eq!(backend.load(id(2), now()).await.unwrap().as_ref(), Some(current), "{isolation}");
            // Ended.
            count(&pool, "Com_commit").await;
        });
    }
}
