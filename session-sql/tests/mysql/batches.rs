//! Calls that go as one statement: each has its own outcome, and what befalls one is no other's.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use session_core::{CreateOutcome, Record, Result, Revision, SessionBackend, UpdateOutcome};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, MySqlPool, Row};
use tokio::task::JoinHandle;

use crate::common::{Table, hex, id, now, record};

mod faults;
mod races;
mod shapes;

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
