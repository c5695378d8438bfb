//! Which calls go together in which statements, and what these do to the server.

use std::num::NonZeroUsize;

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Result, Revision, SessionBackend, UpdateOutcome,
};
use session_sql::mysql::MysqlBackend;

use super::{Occupied, count, counted, creating, next, patient, queued, together, updating};
use crate::common::{NOW, at, create, id, now, principal, record, with_table};

/// To close one costs the next statement 40 ms, in the middle of a transaction with its locks.
#[test]
fn no_statement_is_closed_after_its_use() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        let closed = count(&pool, "Com_stmt_close").await;
        for dead in [1, 3, 30] {
            let calls = (0..dead).map(|number| creating(&backend, number, ""));
            for outcome in together(table, &backend, calls).await {
                assert_eq!(outcome.unwrap(), CreateOutcome::Created);
            }
            let purged = backend.purge_expired(at(NOW + 1_000_000), 100).await.unwrap();
            // With the one that had the connection occupied.
            assert_eq!(purged.removed, u64::from(dead) + 1);
        }
        assert_eq!(count(&pool, "Com_stmt_close").await, closed);
    });
}

#[test]
fn calls_that_queue_go_as_one_statement() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        let calls = (0..50).map(|number| creating(&backend, number, "a"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        // 32, 16 and 2; session 999 is one more, by itself.
        assert_eq!(count(&pool, "Com_insert").await, 3 + 1);
        let revision = record("").revision;
        let calls = (0..50).rev().map(|number| updating(&backend, number, revision, "b"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
        // The first time session 999 takes one, and two from then on: it is there already.
        assert_eq!(count(&pool, "Com_update").await, 1 + 2 + 1);
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), at(NOW + 2_000), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.into_iter().all(|touched| touched));
        assert_eq!(count(&pool, "Com_update").await, 4 + 2 + 1);
        let mut expected = next("b");
        expected.touch(at(NOW + 2_000), now());
        let selects = count(&pool, "Com_select").await;
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.iter().all(|found| found.as_ref() == Some(&expected)));
        // A few at first, as nobody knows how large the answers are; and those about session 999, and the test's own.
        assert!(count(&pool, "Com_select").await <= selects + 8);
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.delete(id(number), None, now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, vec![DeleteOutcome::Deleted; 50]);
        let deletes = count(&pool, "Com_delete").await + count(&pool, "Com_delete_multi").await;
        assert_eq!(deletes, 1);
        assert_eq!(table.dump().await.len(), 1);
    });
}

#[test]
fn a_pool_of_one_serves_all_verbs_at_once() {
    with_table(async |table| {
        for statement_cache in [true, false] {
            let config = patient(table).with_statement_cache(statement_cache);
            let backend = MysqlBackend::connect(config).await.unwrap();
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
        let config = patient(table).with_queue_capacity(NonZeroUsize::MIN.saturating_add(9));
        let backend = MysqlBackend::connect(config).await.unwrap();
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
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
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
fn large_records_go_in_several_batches() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        let large = "x".repeat(300 << 10);
        let calls = (0..9).map(|number| creating(&backend, number, &large));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        // Three of 300 KiB are within 1 MiB, in two statements, and session 999 is one more.
        assert_eq!(count(&pool, "Com_insert").await, 3 * 2 + 1);
        let revision = record("").revision;
        let other = "y".repeat(300 << 10);
        let calls = (0..9).map(|number| updating(&backend, number, revision, &other));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
        assert_eq!(count(&pool, "Com_update").await, 1 + 2 + 3);
        // Their size is known from the first on.
        assert_eq!(backend.load(id(0), now()).await.unwrap(), Some(next(&other)));
        let selects = count(&pool, "Com_select").await;
        let calls = (0..9).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap().unwrap() }
        });
        assert!(together(table, &backend, calls).await.into_iter().all(|found| found == next(&other)));
        assert!(count(&pool, "Com_select").await >= selects + 3);
    });
}

#[test]
fn what_a_batch_stores_is_what_was_given() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        // Any number of places is filled up to the next size, and any byte is a value.
        for count in [2, 3, 5, 31, 33, 128] {
            let stored = |number: u32| {
                let bytes: Vec<u8> =
                    (0..=255).cycle().skip(number as usize).take(number as usize * 7).collect();
                let names = [None, principal(""), principal("a"), principal("\u{1f980} '\\\"")];
                let mut record = record("").with_principal(names[number as usize % 4].clone());
                record.revision = record.revision.next(number);
                record.expires_at = at(NOW + 1_000 + i64::from(number));
                record.deadline = at(253_402_300_799_999);
                record.touched_at = at(NOW + i64::from(number));
                record.with_meta(bytes.clone()).with_data(bytes)
            };
            for number in 0..count {
                create(&backend, number, record("old")).await;
            }
            let calls = (0..count).map(|number| {
                let (backend, record) = (backend.clone(), stored(number));
                async move { backend.update(id(number), Revision::first(7), record, now()).await.unwrap() }
            });
            let outcomes = together(table, &backend, calls).await;
            assert!(outcomes.iter().all(|outcome| *outcome == UpdateOutcome::Updated), "{outcomes:?}");
            let calls = (0..count).map(|number| {
                let backend = backend.clone();
                let (expires_at, time) =
                    (at(NOW + 5_000 - i64::from(number)), at(NOW + 500 + i64::from(number % 2)));
                async move { backend.touch(id(number), expires_at, time).await.unwrap() }
            });
            assert!(together(table, &backend, calls).await.into_iter().all(|touched| touched));
            for number in 0..count {
                let mut expected = stored(number);
                expected.touch(at(NOW + 5_000 - i64::from(number)), at(NOW + 500 + i64::from(number % 2)));
                assert_eq!(
                    backend.load(id(number), now()).await.unwrap(),
                    Some(expected),
                    "{number} of {count}"
                );
            }
            table.execute("DELETE FROM {t}").await.unwrap();
        }
    });
}

/// The engine changes an index if one of its columns changes.
#[test]
fn touches_leave_the_indexes_alone() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        for number in 0..10 {
            let mut record = record("x").with_principal(principal("alice"));
            record.expires_at = at(1 << 25);
            record.deadline = at(1 << 40);
            create(&backend, number, record).await;
        }
        let indexed = "SELECT DISTINCT COLUMN_NAME FROM information_schema.STATISTICS \
                       WHERE TABLE_NAME = '{t}' ORDER BY COLUMN_NAME";
        assert_eq!(table.texts(indexed).await, ["filed_at", "id", "principal"]);
        let values = "SELECT CONCAT_WS(' ', HEX(id), principal, filed_at) FROM {t} ORDER BY id";
        let touches = |expires_at| {
            let backend = backend.clone();
            (0..10).map(move |number| {
                let backend = backend.clone();
                async move { backend.touch(id(number), at(expires_at), now()).await.unwrap() }
            })
        };
        let before = table.texts(values).await;
        let updates = count(&pool, "Handler_update").await;
        // By a quarter of an hour, and by years.
        assert!(
            together(table, &backend, touches((1 << 25) + 1_000_000))
                .await
                .into_iter()
                .all(|touched| touched)
        );
        let after: Vec<_> = table.texts(values).await.into_iter().take(10).collect();
        assert_eq!(after, before);
        // Each row once; that of session 999 stays as it was.
        assert_eq!(count(&pool, "Handler_update").await, updates + 10);
        assert!(together(table, &backend, touches(1 << 39)).await.into_iter().all(|touched| touched));
        assert_eq!(table.texts(values).await[..10], before[..]);
    });
}
