//! Calls that go as one statement: each has its own outcome, and what befalls one is no other's.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Result, Revision, SessionBackend, UpdateOutcome,
};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, MySqlPool, Row};
use tokio::task::JoinHandle;

use crate::common::{NOW, Table, at, create, hex, id, now, principal, record, shown, with_table};
use crate::private_server::PrivateServer;

const MINUTE: Duration = Duration::from_secs(60);

/// Longer than a busy machine takes for anything, and one connection, so that calls queue while it is in use.
fn patient(table: &Table) -> MysqlConfig {
    let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
    config.with_acquire_timeout(MINUTE).with_lock_timeout(MINUTE).with_statement_timeout(MINUTE)
}

async fn run(connection: &mut MySqlConnection, table: &Table, sql: &str) {
    let sql = table.named(sql);
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

/// Waits until so many transactions wait for a row of the table. The engine's report is fresh, where its tables of waits
/// show the same again and again to those who ask more often than ten times a second.
async fn until_waiting(table: &Table, count: usize) {
    let started = Instant::now();
    loop {
        let rows = table.rows("SHOW ENGINE INNODB STATUS").await;
        let report: String = rows[0].try_get(2).unwrap();
        let is_waiting = |part: &&str| part.contains("LOCK WAIT") && part.contains(&table.name);
        if report.split("---TRANSACTION").filter(is_waiting).count() >= count {
            return;
        }
        assert!(started.elapsed() < MINUTE, "nobody waits for a lock");
        tokio::task::yield_now().await;
    }
}

/// One connection, of the application's, on which the test can ask the server what has been done there.
async fn counted(table: &Table, isolation: &'static str) -> (MysqlBackend, MySqlPool) {
    let lock_timeout = MINUTE.as_secs();
    let set = format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL {isolation}; SET SESSION innodb_lock_wait_timeout = {lock_timeout}"
    );
    let pool = MySqlPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(MINUTE)
        .after_connect(move |connection, _| {
            let set = AssertSqlSafe(set.clone());
            Box::pin(async move { connection.execute(sqlx::raw_sql(set)).await.map(drop) })
        })
        .connect_lazy_with(table.config.connection.clone());
    let backend = MysqlBackend::from_pool(pool.clone(), patient(table)).await.unwrap();
    (backend, pool)
}

/// How often the one connection has done this, and that it is in the middle of nothing.
async fn count(pool: &MySqlPool, what: &str) -> u64 {
    let mut connection = pool.acquire().await.unwrap();
    let open: u64 = connection.fetch_one("SELECT @@in_transaction").await.unwrap().try_get(0).unwrap();
    assert_eq!(open, 0, "a transaction was left open");
    let sql = AssertSqlSafe(format!("SHOW SESSION STATUS LIKE '{what}'"));
    let row = connection.fetch_one(sqlx::raw_sql(sql)).await.unwrap();
    row.try_get::<String, _>(1).unwrap().parse().unwrap()
}

/// Keeps the backend's one connection in use, by a touch of session 999.
struct Occupied {
    lock: MySqlConnection,
    touch: JoinHandle<Result<bool>>,
}

impl Occupied {
    async fn new(table: &Table, backend: &MysqlBackend) -> Self {
        let _ = backend.create(id(999), record("occupied"), now()).await.unwrap();
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; SELECT 1 FROM {{t}} WHERE id = {} FOR UPDATE", hex(999)))
            .await;
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
    backend: &MysqlBackend,
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
    backend: &MysqlBackend,
    number: u32,
    data: &str,
) -> impl Future<Output = Result<CreateOutcome>> + use<> {
    let (backend, record) = (backend.clone(), record(data));
    async move { backend.create(id(number), record, now()).await }
}

fn updating(
    backend: &MysqlBackend,
    number: u32,
    expected: Revision,
    data: &str,
) -> impl Future<Output = Result<UpdateOutcome>> + use<> {
    let (backend, record) = (backend.clone(), next(data));
    async move { backend.update(id(number), expected, record, now()).await }
}

fn locking(number: u32) -> String {
    format!("SELECT 1 FROM {{t}} WHERE id = {} FOR UPDATE", hex(number))
}

/// What an update of a fresh record stores.
fn next(data: &str) -> Record {
    let mut record = record(data);
    record.revision = record.revision.next(7);
    record
}

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
