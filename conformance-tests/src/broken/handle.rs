//! Handles that take themselves for the only one: right as long as they are, and wrong as soon as another
//! process opens the same store.

use std::collections::HashMap;

use session_core::{
    CreateOutcome, DeleteOutcome, Purged, Record, Result, Revision, SessionBackend as _, SessionId,
    Timestamp, UpdateOutcome,
};
use tokio::sync::Mutex;

use super::store::Store;

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    CachesLatest,
    ComparesItsCopy,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::CachesLatest, "handle_caches_latest", "load_latest never answers from a cache"),
    (
        Fault::ComparesItsCopy,
        "handle_compares_its_copy",
        "a write happens only to the revision that is stored, not to one that a handle remembers",
    ),
];

/// The records that this handle has seen since it last wrote them. Whoever holds the lock is alone, so that
/// nothing but other handles can make a copy stale.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<HashMap<SessionId, Record>>);

impl Copies {
    pub(super) async fn create(
        &self,
        store: &Store,
        id: SessionId,
        record: Record,
        now: Timestamp,
    ) -> Result<CreateOutcome> {
        let mut copies = self.0.lock().await;
        copies.remove(&id);
        store.create(id, record, now).await
    }

    pub(super) async fn load(
        &self,
        fault: Fault,
        store: &Store,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<Record>> {
        let mut copies = self.0.lock().await;
        if let (Fault::CachesLatest, Some(copy)) = (fault, copies.get(&id)) {
            return Ok(Some(copy.clone()).filter(|copy| copy.is_live(now)));
        }
        let stored = store.dead_or_alive(id).await?;
        copies.extend(stored.clone().map(|record| (id, record)));
        Ok(stored.filter(|record| record.is_live(now)))
    }

    pub(super) async fn update(
        &self,
        fault: Fault,
        store: &Store,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let mut copies = self.0.lock().await;
        match (fault, copies.remove(&id)) {
            (Fault::ComparesItsCopy, Some(copy)) if copy.is_live(now) && copy.revision == expected => {
                store.force(id, record).await.map(|()| UpdateOutcome::Updated)
            }
            _ => store.update(id, expected, record, now).await,
        }
    }

    pub(super) async fn touch(
        &self,
        store: &Store,
        id: SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let mut copies = self.0.lock().await;
        copies.remove(&id);
        store.touch(id, expires_at, now).await
    }

    pub(super) async fn delete(
        &self,
        store: &Store,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let mut copies = self.0.lock().await;
        copies.remove(&id);
        store.delete(id, expected, now).await
    }

    pub(super) async fn purge_expired(&self, store: &Store, now: Timestamp, limit: usize) -> Result<Purged> {
        let mut copies = self.0.lock().await;
        copies.clear();
        store.memory.purge_expired(now, limit).await
    }
}
