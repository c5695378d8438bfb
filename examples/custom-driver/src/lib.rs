//! The smallest honest driver: sessions in a `BTreeMap` behind a lock, with the five verbs that every
//! driver has. `docs/writing-a-driver.md` explains it line by line.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionBackend, SessionId, Timestamp,
    UpdateOutcome, async_trait,
};

/// Sessions in the memory of this process, in one map.
#[derive(Debug, Default)]
pub struct MapBackend {
    sessions: Mutex<BTreeMap<SessionId, Record>>,
}

impl MapBackend {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Record>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionBackend for MapBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let mut sessions = self.sessions();
        match sessions.get(&id).filter(|current| current.is_live(now)) {
            Some(current) => Ok(CreateOutcome::Occupied(current.clone())),
            None => {
                sessions.insert(id, record);
                Ok(CreateOutcome::Created)
            }
        }
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        Ok(self.sessions().get(&id).filter(|current| current.is_live(now)).cloned())
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        match self.sessions().get_mut(&id).filter(|current| current.is_live(now)) {
            None => Ok(UpdateOutcome::Gone),
            Some(current) if current.revision != expected => Ok(UpdateOutcome::Conflict(current.clone())),
            Some(current) => {
                *current = record;
                Ok(UpdateOutcome::Updated)
            }
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        match self.sessions().get_mut(&id).filter(|current| current.is_live(now)) {
            None => Ok(false),
            Some(current) => {
                current.touch(expires_at, now);
                Ok(true)
            }
        }
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let mut sessions = self.sessions();
        match sessions.get(&id).filter(|current| current.is_live(now)) {
            None => Ok(DeleteOutcome::Absent),
            Some(current) if expected.is_some_and(|expected| expected != current.revision) => {
                Ok(DeleteOutcome::Conflict(current.clone()))
            }
            Some(_) => {
                sessions.remove(&id);
                Ok(DeleteOutcome::Deleted)
            }
        }
    }
}
