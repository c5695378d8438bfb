//! The verbs, each under the one lock that guards its session.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Listing, Principal, Purged, Record, Result, Revision,
    SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};

use crate::MemoryConfig;
use crate::records::Stored;
use crate::shard::Shard;

/// Sessions in the memory of this process.
///
/// To keep a handle after giving it away, share it: an `Arc<MemoryBackend>` is a backend too.
pub struct MemoryBackend {
    /// By the first byte of the id. Ids are random, so it spreads them evenly, and walking the shards
    /// in order walks the ids in order.
    shards: Box<[Mutex<Shard>]>,
    capacity: usize,
    len: AtomicUsize,
    evicted: AtomicU64,
    /// Held by whoever evicts: two at once would each evict for the other's newcomer too.
    eviction: Mutex<()>,
}

const SHARDS: usize = 256;

impl MemoryBackend {
    /// An empty store without limit.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(MemoryConfig::new())
    }

    /// An empty store with these settings.
    #[must_use]
    pub fn with_config(config: MemoryConfig) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            capacity: config.capacity.map_or(usize::MAX, Into::into),
            len: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            eviction: Mutex::default(),
        }
    }

    /// How many records there are, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no record, not even an expired one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many live sessions the [capacity](MemoryConfig::with_capacity) has cost so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn shard(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(id.as_bytes()[0])])
    }

    /// Evicts what expires next until the store is within its capacity; never `newcomer`.
    fn make_room(&self, newcomer: SessionId, now: Timestamp) {
        if self.len() <= self.capacity {
            return;
        }
        let _alone = self.eviction.lock().unwrap_or_else(PoisonError::into_inner);
        while self.len() > self.capacity {
            let next = self.shards.iter().filter_map(|shard| lock(shard).next_to_expire(newcomer)).min();
            let Some((expires_at, id)) = next else { return };
            let mut shard = self.shard(id);
            // Touched, replaced or removed since it was found: look again.
            if shard.next_to_expire(newcomer) != Some((expires_at, id)) {
                continue;
            }
            shard.remove(id);
            self.len.fetch_sub(1, Ordering::Relaxed);
            if now < expires_at {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A panic elsewhere while the lock was held must not take every other session down.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("len", &self.len())
            .field("evicted", &self.evicted())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionBackend for MemoryBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let stored = Stored::new(id, record);
        let mut shard = self.shard(id);
        if let Some(current) = shard.live(id, now) {
            return Ok(CreateOutcome::Occupied(current.record()));
        }
        let replaced = shard.put(stored);
        if replaced.is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
            drop(shard);
            self.make_room(id, now);
        }
        Ok(CreateOutcome::Created)
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        Ok(self.shard(id).live(id, now).map(Stored::record))
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let stored = Stored::new(id, record);
        let mut shard = self.shard(id);
        match shard.live(id, now) {
            None => Ok(UpdateOutcome::Gone),
            Some(current) if current.revision() != expected => Ok(UpdateOutcome::Conflict(current.record())),
            Some(_) => {
                let replaced = shard.put(stored);
                drop(shard);
                drop(replaced);
                Ok(UpdateOutcome::Updated)
            }
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        Ok(self.shard(id).touch(id, expires_at, now))
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let mut shard = self.shard(id);
        match shard.live(id, now) {
            None => Ok(DeleteOutcome::Absent),
            Some(current) if expected.is_some_and(|expected| expected != current.revision()) => {
                Ok(DeleteOutcome::Conflict(current.record()))
            }
            Some(_) => {
                let removed = shard.remove(id);
                self.len.fetch_sub(1, Ordering::Relaxed);
                drop(shard);
                drop(removed);
                Ok(DeleteOutcome::Deleted)
            }
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        if limit == 0 {
            return Ok(Purged::default());
        }
        // Dropped at the end, under no lock.
        let mut removed = Vec::new();
        let mut more = false;
        for shard in &self.shards {
            let before = removed.len();
            let mut shard = lock(shard);
            more |= shard.purge(now, limit, &mut removed);
            self.len.fetch_sub(removed.len() - before, Ordering::Relaxed);
            if more && removed.len() == limit {
                break;
            }
        }
        Ok(Purged::new(removed.len() as u64, more))
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let after = after.map(|cursor| cursor.session_id()).transpose()?;
        if limit == 0 {
            return Ok(Listing::default());
        }
        let first = after.map_or(0, |id| usize::from(id.as_bytes()[0]));
        let mut page = Vec::new();
        for shard in &self.shards[first..] {
            lock(shard).list(principal, after, now, limit, &mut page);
            if page.len() == limit {
                break;
            }
        }
        let next = page.last().filter(|_| page.len() == limit).map(|(id, _)| Cursor::after(*id));
        Ok(Listing::new(page, next))
    }
}

#[cfg(test)]
mod tests;
