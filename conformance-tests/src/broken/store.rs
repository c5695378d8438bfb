//! The correct store that all broken backends wrap, and the means to misuse it: a lying `now` makes the
//! dead live and the living dead.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionBackend as _, SessionId, Timestamp,
    UpdateOutcome,
};
use session_memory::MemoryBackend;

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) memory: MemoryBackend,
    history: Mutex<History>,
    counted: AtomicU32,
}

#[derive(Debug, Default)]
struct History {
    /// What each record was before its last update or touch.
    previous: HashMap<SessionId, Record>,
    /// What was deleted, as it was.
    deleted: HashMap<SessionId, Record>,
    /// The first id that was seen with these bytes.
    first_with: HashMap<[u8; 15], SessionId>,
}

impl Store {
    pub(super) async fn create(
        &self,
        id: SessionId,
        record: Record,
        now: Timestamp,
    ) -> Result<CreateOutcome> {
        self.memory.create(id, record, now).await
    }

    pub(super) async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.memory.load(id, now).await
    }

    pub(super) async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let before = self.load(id, now).await?;
        let outcome = self.memory.update(id, expected, record, now).await?;
        if let (UpdateOutcome::Updated, Some(before)) = (&outcome, before) {
            self.history().previous.insert(id, before);
        }
        Ok(outcome)
    }

    pub(super) async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let before = self.load(id, now).await?;
        let touched = self.memory.touch(id, expires_at, now).await?;
        if let (true, Some(before)) = (touched, before) {
            self.history().previous.insert(id, before);
        }
        Ok(touched)
    }

    pub(super) async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let before = self.load(id, now).await?;
        let outcome = self.memory.delete(id, expected, now).await?;
        if let (DeleteOutcome::Deleted, Some(before)) = (&outcome, before) {
            self.history().deleted.insert(id, before);
        }
        Ok(outcome)
    }

    /// The record, live or expired.
    pub(super) async fn dead_or_alive(&self, id: SessionId) -> Result<Option<Record>> {
        self.load(id, Timestamp::MIN).await
    }

    /// The record, if it is there and dead.
    pub(super) async fn expired(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        Ok(self.dead_or_alive(id).await?.filter(|record| !record.is_live(now)))
    }

    /// Stores the record over whatever is there: to a create at the end of time everything is dead.
    pub(super) async fn force(&self, id: SessionId, record: Record) -> Result<()> {
        self.memory.create(id, record, Timestamp::MAX).await.map(drop)
    }

    /// The record as it was before its last update or touch.
    pub(super) fn previous(&self, id: SessionId) -> Option<Record> {
        self.history().previous.get(&id).cloned()
    }

    /// The record as it was when it was deleted.
    pub(super) fn deleted(&self, id: SessionId) -> Option<Record> {
        self.history().deleted.get(&id).cloned()
    }

    /// Every id that was deleted.
    pub(super) fn all_deleted(&self) -> Vec<(SessionId, Record)> {
        self.history().deleted.iter().map(|(id, record)| (*id, record.clone())).collect()
    }

    /// The first id that was seen with the first fifteen bytes of this one.
    pub(super) fn first_with(&self, id: SessionId) -> SessionId {
        let mut bytes = [0; 15];
        bytes.copy_from_slice(&id.as_bytes()[..15]);
        *self.history().first_with.entry(bytes).or_insert(id)
    }

    /// Whether this question is asked for the twentieth time, or the fortieth.
    pub(super) fn is_twentieth(&self) -> bool {
        self.counted.fetch_add(1, Ordering::Relaxed) % 20 == 19
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets every other racer go first: what was checked before may not hold any more.
pub(super) async fn pause() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}
