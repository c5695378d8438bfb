//! What befalls one call of a batch, or the whole: rows that are refused, held or damaged, time, lost connections, a crash.

use session_core::{CreateOutcome, DeleteOutcome, ErrorKind, Record, SessionBackend, UpdateOutcome};
use session_sql::mysql::MysqlBackend;

use super::{
    MINUTE, Occupied, all, count, counted, creating, locking, next, patient, queued, run, together,
    until_waiting, updating,
};
use crate::common::{create, hex, id, now, record, shown, with_table};
use crate::private_server::PrivateServer;

#[test]
fn a_row_that_the_server_refuses_is_its_own_calls_alone() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
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
                    assert!(number == 3 && shown(&error).contains("4025"), "{error:?}");
                }
            }
        }
        assert_eq!(backend.load(id(3), now()).await.unwrap(), Some(record("good")));
    });
}

#[test]
fn a_held_row_fails_its_own_call_alone() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table).with_lock_timeout(MINUTE / 20)).await.unwrap();
        for number in 0..5 {
            create(&backend, number, record(&number.to_string())).await;
        }
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(2))).await;
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
                Err(error) => assert!(number == 2 && shown(&error).contains("1205"), "{error:?}"),
            }
        }
        drop(lock);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_a_timeout_for_all_of_its_batch() {
    with_table(async |table| {
        let config = patient(table).with_statement_timeout(MINUTE / 20);
        let backend = MysqlBackend::connect(config).await.unwrap();
        for number in 0..10 {
            create(&backend, number, record("old")).await;
        }
        let before = table.dump().await;
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(3))).await;
        let revision = record("").revision;
        let first = queued([updating(&backend, 3, revision, "x")]).await;
        until_waiting(table, 1).await;
        let calls = queued((0..10).map(|number| updating(&backend, number, revision, "x"))).await;
        for outcome in all(first).await.into_iter().chain(all(calls).await) {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(shown(&error).contains("1969"), "{error:?}");
        }
        drop(lock);
        assert_eq!(table.dump().await, before, "what timed out has not happened");
        assert_eq!(updating(&backend, 3, revision, "x").await.unwrap(), UpdateOutcome::Updated);
    });
}

#[test]
fn a_damaged_row_is_its_own_calls_alone() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let damage = [(2, "revision = -5"), (3, "expires_at = 9223372036854775807"), (4, "deadline = -1")];
        for (number, damage) in damage {
            let sql = format!("UPDATE {{t}} SET {damage} WHERE id = {}", hex(number));
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
        let calls = (0..6).map(|number| {
            let backend = backend.clone();
            async move { backend.delete(id(number), None, now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, vec![DeleteOutcome::Deleted; 6]);
    });
}

#[test]
fn a_connection_killed_in_a_batch_fails_the_batch_and_no_other() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(patient(table)).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let before = table.dump().await;
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((0..6).map(|number| updating(&backend, number, revision, "new"))).await;
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(3))).await;
        occupied.release(table).await;
        until_waiting(table, 1).await;
        let driver = "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST \
                      WHERE ID <> CONNECTION_ID() AND INFO LIKE '%`{t}`%'";
        let driver = table.texts(driver).await;
        assert_eq!(driver.len(), 1);
        table.execute(&format!("KILL CONNECTION {}", driver[0])).await.unwrap();
        for outcome in all(calls).await {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        let _ = backend.delete(id(999), None, now()).await.unwrap();
        assert_eq!(table.dump().await, before, "half a batch has happened");
        run(&mut lock, table, "ROLLBACK").await;
        let calls = (0..6).map(|number| updating(&backend, number, revision, "new"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
    });
}

#[test]
fn a_batch_whose_callers_have_gone_comes_to_its_end() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((0..6).map(|number| updating(&backend, number, revision, "new"))).await;
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(3))).await;
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
        count(&pool, "Com_commit").await;
    });
}

/// Each task counts one session up; what it was told last holds after the crash, or its last unanswered update does.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_answers_is_true() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let config = server.config().with_acquire_timeout(MINUTE / 12);
    for round in 0..2 {
        // Its connections are new, as one that was idle at the crash would fail once more.
        let backend = MysqlBackend::connect(config.clone()).await.unwrap();
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
        server.kill();
        let mut ends = Vec::new();
        for task in tasks {
            ends.push(task.await.unwrap());
        }
        server.run(&[]).await;
        let backend = MysqlBackend::connect(config.clone()).await.unwrap();
        for (number, told, tried) in ends {
            let found = backend.load(id(number), now()).await.unwrap().unwrap();
            assert!(found == told || found == tried, "{found:?} instead of {told:?} or {tried:?}");
        }
    }
}
