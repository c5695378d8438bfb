//! The backend as the manager calls it: every verb with a time limit, every error with its verb.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::{
    CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Listing, Operation, Principal, Purged, Record, Result,
    Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome,
};

#[derive(Clone, Debug)]
pub(crate) struct Store {
    backend: Arc<dyn SessionBackend>,
    timeout: Duration,
}

impl Store {
    pub(crate) fn new(backend: Arc<dyn SessionBackend>, timeout: Duration) -> Self {
        Self { backend, timeout }
    }

    /// Not the `Arc`, which is a backend too: its verbs would box those of the one inside once more.
    fn backend(&self) -> &dyn SessionBackend {
        &*self.backend
    }

    pub(crate) fn create(
        &self,
        id: SessionId,
        record: Record,
        now: Timestamp,
    ) -> impl Future<Output = Result<CreateOutcome>> {
        self.call(Operation::Create, self.backend().create(id, record, now))
    }

    pub(crate) async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let record = self.call(Operation::Load, self.backend().load(id, now)).await?;
        Ok(record.filter(|record| is_alive(record, now)))
    }

    pub(crate) async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let record = self.call(Operation::Load, self.backend().load_latest(id, now)).await?;
        Ok(record.filter(|record| is_alive(record, now)))
    }

    /// No `async fn`, whose future would have room for the record twice.
    pub(crate) fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> impl Future<Output = Result<UpdateOutcome>> {
        self.call(Operation::Update, self.backend().update(id, expected, record, now))
    }

    pub(crate) async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.call(Operation::Touch, self.backend().touch(id, expires_at, now)).await
    }

    pub(crate) async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.call(Operation::Delete, self.backend().delete(id, expected, now)).await
    }

    pub(crate) async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        self.call(Operation::PurgeExpired, self.backend().purge_expired(now, limit)).await
    }

    /// One page of the live sessions of `principal` and of nobody else, or of all.
    pub(crate) async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        now: Timestamp,
    ) -> Result<Listing> {
        const PAGE: usize = 256;
        let listing = self.backend().list(principal, after, PAGE, now);
        let mut listing = self.call(Operation::List, listing).await?;
        listing.sessions.retain(|(_, record)| {
            is_alive(record, now) && (principal.is_none() || record.principal.as_ref() == principal)
        });
        Ok(listing)
    }

    /// Polled once before a timer is made, so that a store that never waits costs none.
    async fn call<T>(&self, operation: Operation, verb: impl Future<Output = Result<T>>) -> Result<T> {
        let mut verb = pin!(verb);
        let at_once = poll_fn(|context| Poll::Ready(verb.as_mut().poll(context))).await;
        let result = match at_once {
            Poll::Ready(result) => result,
            // Boxed, or every handler's future would have room for a timer.
            Poll::Pending => match Box::pin(tokio::time::timeout(self.timeout, verb)).await {
                Ok(result) => result,
                Err(_elapsed) => Err(ErrorKind::Timeout.into()),
            },
        };
        result.map_err(|error| error.with_operation(operation))
    }
}

/// Both limits, checked on every load whatever the store made of them.
fn is_alive(record: &Record, now: Timestamp) -> bool {
    record.is_live(now) && now < record.deadline
}
