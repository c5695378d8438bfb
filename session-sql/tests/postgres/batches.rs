//! Calls that go as one statement: each has its own outcome, and what befalls one is no other's.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Result, Revision, SessionBackend, UpdateOutcome,
};
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::task::JoinHandle;

use crate::common::{NOW, Table, at, create, id, now, record, shown, with_table};
use crate::private_server::PrivateServer;

const MINUTE: Duration = Duration::from_secs(60);

/// Longer than a busy machine takes for anything, and one connection, so that calls queue while it is in use.
fn patient(table: &Table) -> PostgresConfig {
    let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
    config.with_acquire_timeout(MINUTE).with_lock_timeout(MINUTE).with_statement_timeout(MINUTE)
}

async fn run(connection: &mut PgConnection, table: &Table, sql: &str) {
    let sql = table.named(sql);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

/// Waits until so many statements of the driver wait for a lock.
async fn until_waiting(table: &Table, count: usize) {
    let waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%\"{t}\"%'";
    let started = Instant::now();
    while table.rows(waiting).await.len() < count {
        assert!(started.elapsed() < MINUTE, "nobody waits for a lock");
        tokio::task::yield_now().await;
    }
}

/// Keeps the backend's one connection in use, by a touch of session 999.
struct Occupied {
    lock: PgConnection,
    touch: JoinHandle<Result<bool>>,
}

impl Occupied {
    async fn new(table: &Table, backend: &PostgresBackend) -> Self {
        let _ = backend.create(id(999), record("occupied"), now()).await.unwrap();
        let mut lock = table.raw().await;
        run(&mut lock, table, "BEGIN; SELECT FROM {t} WHERE data = 'occupied' FOR UPDATE").await;
        let backend = backend.clone();
        let touch = tokio::spawn(async move { backend.touch(id(999), now(), now()).await });
        until_waiting(table, 1).await;
        Self { lock, touch }
    }

    async fn release(self, table: &Table) {
        let Self { mut lock, touch } = self;
        run(&mut lock, table, "ROLLBACK").await;
        assert!(touch.await.unwrap().unwrap());
    }
}

/// Makes the calls while the one connection is in use, so that they go as one, and waits for all.
async fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    table: &Table,
    backend: &PostgresBackend,
    calls: impl IntoIterator<Item = F>,
) -> Vec<T> {
    let occupied = Occupied::new(table, backend).await;
    let calls = queued(calls).await;
    occupied.release(table).await;
    all(calls).await
}

/// Makes the calls in their order, and returns once each waits.
async fn queued<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    calls: impl IntoIterator<Item = F>,
) -> Vec<JoinHandle<T>> {
    let mut handles = Vec::new();
    for call in calls {
        let mut call = Box::pin(call);
        let early = std::future::poll_fn(|context| {
            std::task::Poll::Ready(match call.as_mut().poll(context) {
                std::task::Poll::Ready(outcome) => Some(outcome),
                std::task::Poll::Pending => None,
            })
        })
        .await;
        handles.push(tokio::spawn(async move {
            match early {
                Some(outcome) => outcome,
                None => call.await,
            }
        }));
    }
    handles
}

async fn all<T>(calls: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    outcomes
}

fn creating(
    backend: &PostgresBackend,
    number: u32,
    data: &str,
) -> impl Future<Output = Result<CreateOutcome>> + use<> {
    let (backend, record) = (backend.clone(), record(data));
    async move { backend.create(id(number), record, now()).await }
}

fn updating(
    backend: &PostgresBackend,
    number: u32,
    expected: Revision,
    data: &str,
) -> impl Future<Output = Result<UpdateOutcome>> + use<> {
    let (backend, record) = (backend.clone(), next(data));
    async move { backend.update(id(number), expected, record, now()).await }
}

/// What an update of a fresh record stores.
fn next(data: &str) -> Record {
    let mut record = record(data);
    record.revision = record.revision.next(7);
    record
}

/// How many transactions have written the rows that there are.
async fn transactions(table: &Table) -> usize {
    table.rows("SELECT DISTINCT xmin::text FROM {t} WHERE data <> 'occupied'").await.len()
}

#[test]
fn calls_that_queue_go_as_one_statement() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
        let calls = (0..50).map(|number| creating(&backend, number, "a"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        assert_eq!(transactions(table).await, 1);
        let revision = record("").revision;
        let calls = (0..50).rev().map(|number| updating(&backend, number, revision, "b"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
        assert_eq!(transactions(table).await, 1);
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), at(NOW + 2_000), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.into_iter().all(|touched| touched));
        assert_eq!(transactions(table).await, 1);
        let mut expected = next("b");
        expected.touch(at(NOW + 2_000), now());
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap() }
        });
        assert!(together(table, &backend, calls).await.iter().all(|found| found.as_ref() == Some(&expected)));
        let calls = (0..50).map(|number| {
            let backend = backend.clone();
            async move { backend.delete(id(number), None, now()).await.unwrap() }
        });
        assert_eq!(together(table, &backend, calls).await, vec![DeleteOutcome::Deleted; 50]);
        assert_eq!(transactions(table).await, 0);
    });
}

/// Sessions 1 and 2 live, 3 with another revision, 4 expired, 5 absent.
async fn fill(backend: &PostgresBackend) {
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
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
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
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
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
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
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
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
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
fn a_row_that_the_server_refuses_is_its_own_calls_alone() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
        table.execute("ALTER TABLE {t} ADD CHECK (data <> 'bad')").await.unwrap();
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
                    assert!(number == 3 && shown(&error).contains("23514"), "{error:?}");
                }
            }
        }
        assert_eq!(backend.load(id(3), now()).await.unwrap(), Some(record("good")));
    });
}

#[test]
fn a_held_row_fails_its_own_call_alone() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(patient(table).with_lock_timeout(MINUTE / 20)).await.unwrap();
        for number in 0..5 {
            create(&backend, number, record(&number.to_string())).await;
        }
        let mut lock = table.raw().await;
        run(&mut lock, table, "BEGIN; SELECT FROM {t} WHERE data = '2' FOR UPDATE").await;
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
                Err(error) => assert!(number == 2 && shown(&error).contains("55P03"), "{error:?}"),
            }
        }
        drop(lock);
    });
}

#[test]
fn held_rows_keep_nobody_else_waiting() {
    with_table(async |table| {
        let config = patient(table).with_lock_timeout(MINUTE / 30);
        let backend = PostgresBackend::connect(config).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record(&number.to_string())).await;
        }
        let mut lock = table.raw().await;
        run(&mut lock, table, "BEGIN; SELECT FROM {t} WHERE data IN ('0', '4') FOR UPDATE").await;
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

/// Somebody else holds session 2 and then asks for session 1, which a batch of 1, 2 and 3 holds by then.
async fn deadlock<T: Send + 'static>(
    table: &Table,
    (first, second): (&str, &str),
    calls: Vec<impl Future<Output = T> + Send + 'static>,
    backend: &PostgresBackend,
) -> Vec<T> {
    let occupied = Occupied::new(table, backend).await;
    let calls = queued(calls).await;
    let mut other = table.raw().await;
    // The server ends whoever looks for a deadlock first.
    run(&mut other, table, "SET deadlock_timeout = '60s'; BEGIN").await;
    run(&mut other, table, first).await;
    occupied.release(table).await;
    until_waiting(table, 1).await;
    run(&mut other, table, second).await;
    run(&mut other, table, "ROLLBACK").await;
    all(calls).await
}

#[test]
fn a_deadlock_is_tried_again() {
    with_table(async |table| {
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
        let insert = |number: u32| {
            let id: String = id(number).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("INSERT INTO {{t}} VALUES ('\\x{id}', 1, 1, 1, 1, NULL, '', '')")
        };
        let calls = (1..=3).map(|number| creating(&backend, number, &number.to_string())).collect();
        let outcomes = deadlock(table, (&insert(2), &insert(1)), calls, &backend).await;
        for outcome in outcomes {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        let lock = |number| format!("SELECT FROM {{t}} WHERE data = '{number}' FOR UPDATE");
        let revision = record("").revision;
        let calls = (1..=3).map(|number| updating(&backend, number, revision, "new")).collect();
        for outcome in deadlock(table, (&lock(2), &lock(1)), calls, &backend).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
    });
}

/// Two batches of the same sessions, asked for in opposite orders, meet at a session in the middle. In a circle they
/// would wait for each other until the lock timeout.
#[test]
fn batches_of_several_drivers_do_not_wait_for_each_other() {
    with_table(async |table| {
        let mut config = patient(table).with_lock_timeout(MINUTE / 2);
        config.connection = config.connection.options([("deadlock_timeout", "60s")]);
        let one = PostgresBackend::connect(config.clone()).await.unwrap();
        let other = PostgresBackend::connect(config).await.unwrap();
        for number in 0..40 {
            create(&one, number, record(&number.to_string())).await;
        }
        let occupied = Occupied::new(table, &one).await;
        let client = other.clone();
        let touch = tokio::spawn(async move { client.touch(id(999), now(), now()).await });
        until_waiting(table, 2).await;
        let call = |backend: &PostgresBackend, number| {
            let backend = backend.clone();
            async move { backend.touch(id(number), now(), now()).await.unwrap() }
        };
        let mut calls = queued((0..40).map(|number| call(&one, number))).await;
        calls.extend(queued((0..40).rev().map(|number| call(&other, number))).await);
        let mut lock = table.raw().await;
        run(&mut lock, table, "BEGIN; SELECT FROM {t} WHERE data = '20' FOR UPDATE").await;
        occupied.release(table).await;
        assert!(touch.await.unwrap().unwrap());
        until_waiting(table, 2).await;
        let started = Instant::now();
        run(&mut lock, table, "ROLLBACK").await;
        assert!(all(calls).await.into_iter().all(|touched| touched));
        assert!(started.elapsed() < MINUTE / 4, "{:?}", started.elapsed());
    });
}

#[test]
fn a_statement_that_takes_too_long_is_a_timeout_for_all_of_its_batch() {
    with_table(async |table| {
        let config = patient(table).with_statement_timeout(MINUTE / 20);
        let backend = PostgresBackend::connect(config).await.unwrap();
        let mut lock = table.raw().await;
        run(&mut lock, table, "BEGIN; LOCK TABLE {t}").await;
        let first = queued([creating(&backend, 0, "x")]).await;
        until_waiting(table, 1).await;
        let calls = queued((1..10).map(|number| creating(&backend, number, "x"))).await;
        for outcome in all(first).await.into_iter().chain(all(calls).await) {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(shown(&error).contains("57014"), "{error:?}");
        }
        drop(lock);
        create(&backend, 1, record("x")).await;
        assert_eq!(table.dump().await.len(), 1, "what timed out has not happened");
    });
}

#[test]
fn a_pool_of_one_serves_all_verbs_at_once() {
    with_table(async |table| {
        for statement_cache in [true, false] {
            let config = patient(table).with_statement_cache(statement_cache);
            let backend = PostgresBackend::connect(config).await.unwrap();
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
        let backend = PostgresBackend::connect(config).await.unwrap();
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
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
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
        let backend = PostgresBackend::connect(patient(table)).await.unwrap();
        let large = "x".repeat(300 << 10);
        let calls = (0..9).map(|number| creating(&backend, number, &large));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), CreateOutcome::Created);
        }
        assert_eq!(transactions(table).await, 3, "three of 300 KiB are within 1 MiB");
        let calls = (0..9).map(|number| {
            let backend = backend.clone();
            async move { backend.load(id(number), now()).await.unwrap().unwrap().data.len() }
        });
        assert_eq!(together(table, &backend, calls).await, [large.len(); 9]);
    });
}

/// Each task counts one session up; what it was told last holds after the crash, or its last unanswered update does.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_answers_is_true() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let config = server.config().with_acquire_timeout(MINUTE / 12);
    for round in 0..2 {
        // Its connections are new, as one that was idle at the crash would fail once more.
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
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
        server.end("-QUIT");
        let mut ends = Vec::new();
        for task in tasks {
            ends.push(task.await.unwrap());
        }
        server.run(&[]).await;
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        for (number, told, tried) in ends {
            let found = backend.load(id(number), now()).await.unwrap().unwrap();
            assert!(found == told || found == tried, "{found:?} instead of {told:?} or {tried:?}");
        }
    }
}
