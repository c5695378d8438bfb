//! Calls that go as one statement: each has its own outcome, and what befalls one is no other's.

use std::num::NonZeroU32;

use session_core::{CreateOutcome, Record, Result, Revision, SessionBackend, UpdateOutcome};
use tokio::task::JoinHandle;

use crate::common::{Table, hold, id, locking, now, record, run, until_waiting};
use crate::dialect::{Backend, Config, Connection};

mod faults;
mod outcomes;
mod queue;

/// One connection, so that calls queue while it is in use.
pub(crate) fn one_connection(table: &Table) -> Config {
    table.config.clone().with_max_connections(NonZeroU32::MIN)
}

/// Keeps the backend's one connection in use, by a touch of session 999.
pub(crate) struct Occupied {
    lock: Connection,
    touch: JoinHandle<Result<bool>>,
}

impl Occupied {
    pub(crate) async fn new(table: &Table, backend: &Backend) -> Self {
        let _ = backend.create(id(999), record("occupied"), now()).await.unwrap();
        let lock = hold(table, &locking(999)).await;
        let backend = backend.clone();
        let touch = tokio::spawn(async move { backend.touch(id(999), now(), now()).await });
        until_waiting(table, 1).await;
        Self { lock, touch }
    }

    pub(crate) async fn release(self, table: &Table) {
        let Self { mut lock, touch } = self;
        run(&mut lock, table, "ROLLBACK").await;
        assert!(touch.await.unwrap().unwrap());
    }
}

/// Makes the calls while the one connection is in use, so that they go as one, and waits for all.
pub(crate) async fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    table: &Table,
    backend: &Backend,
    calls: impl IntoIterator<Item = F>,
) -> Vec<T> {
    let occupied = Occupied::new(table, backend).await;
    let calls = queued(calls).await;
    occupied.release(table).await;
    all(calls).await
}

/// Makes the calls in their order, and returns once each waits.
pub(crate) async fn queued<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
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

pub(crate) async fn all<T>(calls: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    outcomes
}

pub(crate) fn creating(
    backend: &Backend,
    number: u32,
    data: &str,
) -> impl Future<Output = Result<CreateOutcome>> + use<> {
    let (backend, record) = (backend.clone(), record(data));
    async move { backend.create(id(number), record, now()).await }
}

pub(crate) fn updating(
    backend: &Backend,
    number: u32,
    expected: Revision,
    data: &str,
) -> impl Future<Output = Result<UpdateOutcome>> + use<> {
    let (backend, record) = (backend.clone(), next(data));
    async move { backend.update(id(number), expected, record, now()).await }
}

/// What an update of a fresh record stores.
pub(crate) fn next(data: &str) -> Record {
    let mut record = record(data);
    record.revision = record.revision.next(7);
    record
}
