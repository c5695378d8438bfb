//! What befalls one call of a batch: rows that are refused, held or damaged.

use std::time::Instant;

use session_core::{CreateOutcome, DeleteOutcome, ErrorKind, Record, SessionBackend, UpdateOutcome};

use super::{all, creating, one_connection, queued, together, updating};
use crate::common::{LONG, create, hold, id, locking, now, record, shown, sql_id, until_waiting, with_table};
use crate::dialect::{Backend, CHECK_VIOLATED, LOCK_TIMED_OUT};

#[test]
fn a_row_that_the_server_refuses_is_its_own_calls_alone() {
    with_table(async |table| {
        let backend = Backend::connect(one_connection(table)).await.unwrap();
        table.execute("ALTER TABLE {t} ADD CONSTRAINT good CHECK (data <> 'bad')").await.unwrap();
        let data = |number| if number == 3 { "bad" } else { "good" };
        let calls = (0..7).map(|number| creating(&backend, number, data(number)));
        for (number, outcome) in (0..).zip(together(table, &backend, calls).await) {
            match outcome {
                Ok(outcome) => assert!(number != 3 && outcome == CreateOutcome::Created),
                Err(error) => assert!(number == 3 && error.kind() == ErrorKind::Internal, "{error:?}"),
            }
        }
        create(&backend, 3, record("good")).await;
        let revision = record("").revision;
        let calls = (0..7).map(|number| updating(&backend, number, revision, data(number)));
        for (number, outcome) in (0..).zip(together(table, &backend, calls).await) {
            match outcome {
                Ok(outcome) => assert!(number != 3 && outcome == UpdateOutcome::Updated),
                Err(error) => {
                    assert!(number == 3 && shown(&error).contains(CHECK_VIOLATED), "{error:?}");
                }
            }
        }
        assert_eq!(backend.load(id(3), now()).await.unwrap(), Some(record("good")));
    });
}

#[test]
fn a_held_row_fails_its_own_call_alone() {
    with_table(async |table| {
        let backend = Backend::connect(one_connection(table).with_lock_timeout(LONG / 20)).await.unwrap();
        for number in 0..5 {
            create(&backend, number, record(&number.to_string())).await;
        }
        let lock = hold(table, &locking(2)).await;
        // Two at once have the connection one after the other; the rest goes as one.
        let revision = record("").revision;
        let occupying = tokio::spawn(updating(&backend, 2, revision, "held"));
        until_waiting(table, 1).await;
        let touch = |number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), now(), now()).await }
        };
        let calls = queued((0..5).map(touch)).await;
        assert_eq!(occupying.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        for (number, outcome) in all(calls).await.into_iter().enumerate() {
            match outcome {
                Ok(touched) => assert!(touched && number != 2),
                Err(error) => assert!(number == 2 && shown(&error).contains(LOCK_TIMED_OUT), "{error:?}"),
            }
        }
        drop(lock);
    });
}

#[test]
fn held_rows_keep_nobody_else_waiting() {
    with_table(async |table| {
        let config = one_connection(table).with_lock_timeout(LONG / 30);
        let backend = Backend::connect(config).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record(&number.to_string())).await;
        }
        let lock = hold(table, &format!("{}; {}", locking(0), locking(4))).await;
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
fn a_damaged_row_is_its_own_calls_alone() {
    with_table(async |table| {
        let backend = Backend::connect(one_connection(table)).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let damage = [(2, "revision = -5"), (3, "expires_at = 9223372036854775807"), (4, "deadline = -1")];
        for (number, damage) in damage {
            let sql = format!("UPDATE {{t}} SET {damage} WHERE id = {}", sql_id(number));
            table.execute(&sql).await.unwrap();
        }
        let before = table.dump().await;
        let calls = (0..6).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.map_err(|error| error.kind()) }
        });
        let (there, damaged) = (Ok(Some(record("old"))), Err(ErrorKind::Corrupt));
        let expected =
            [there.clone(), there.clone(), damaged.clone(), damaged.clone(), damaged.clone(), there];
        assert_eq!(together(table, &backend, calls).await, expected);
        let calls = (0..6).map(|number| creating(&backend, number, "new"));
        for (number, outcome) in together(table, &backend, calls).await.into_iter().enumerate() {
            match outcome {
                Ok(outcome) => assert_eq!(outcome, CreateOutcome::Occupied(record("old")), "{number}"),
                Err(error) => {
                    assert!(error.kind() == ErrorKind::Corrupt && (2..5).contains(&number), "{error:?}")
                }
            }
        }
        let calls = (0..4).map(|number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), now(), now()).await.map_err(|error| error.kind()) }
        });
        // That of an impossible revision can be touched; that of an expiry that is no time cannot.
        let touched = together(table, &backend, calls).await;
        assert_eq!(touched, [Ok(true), Ok(true), Ok(true), damaged.map(|_: Option<Record>| true)]);
        let _ = backend.delete(id(999), None, now()).await.unwrap();
        assert_eq!(table.dump().await, before);
        // An expiry before all time is damage, not an end: an unconditional delete removes this one, too.
        table.execute(&format!("UPDATE {{t}} SET expires_at = -5 WHERE id = {}", sql_id(5))).await.unwrap();
        let calls = (0..6).map(|number| {
            let backend = backend.clone();
            async move { backend.delete(id(number), None, now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, vec![DeleteOutcome::Deleted; 6]);
    });
}
