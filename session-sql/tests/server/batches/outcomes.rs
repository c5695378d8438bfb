//! What each call of a batch is told, and what it leaves.

use session_core::{CreateOutcome, DeleteOutcome, Result, Revision, SessionBackend, UpdateOutcome};

use super::{creating, next, one_connection, together, updating};
use crate::common::{NOW, at, create, id, now, principal, record, with_table};
use crate::dialect::Backend;

/// Sessions 1 and 2 live, 3 with another revision, 4 expired, 5 absent.
async fn fill(backend: &Backend) {
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
        let backend = Backend::connect(one_connection(table)).await.unwrap();
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
        let backend = Backend::connect(one_connection(table)).await.unwrap();
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
        let backend = Backend::connect(one_connection(table)).await.unwrap();
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
        let backend = Backend::connect(one_connection(table)).await.unwrap();
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
fn what_a_batch_stores_is_what_was_given() {
    with_table(async |table| {
        let backend = Backend::connect(one_connection(table)).await.unwrap();
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
