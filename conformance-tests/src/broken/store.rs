//! The correct store that all broken backends wrap, and the means to misuse it: a lying `now` makes the
//! dead live and the living dead.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use session_core::{
    CreateOutcome, DeleteOutcome, Principal, Record, Result, Revision, SessionBackend as _, SessionId,
    Timestamp, UpdateOutcome,
};
use session_memory::MemoryBackend;

use crate::harness::Damage;

/// The longest data that it is meant to take.
pub(super) const LIMIT: usize = 1 << 20;
/// How long it keeps what is dead, unless it was told otherwise.
pub(super) const SLACK: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) memory: MemoryBackend,
    /// Whether a purge keeps out whoever comes next.
    pub(super) is_locked: AtomicBool,
    /// The slack that it was opened with: only then does it remove records by itself.
    removes_after: Option<Duration>,
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
    /// Records that cannot be read.
    damaged: HashSet<SessionId>,
    /// How long the store itself keeps each record, from when on.
    kept: HashMap<SessionId, (Instant, Duration)>,
    /// Entries of the index: whose a session is, and its expiry when the entry was made.
    index: HashMap<SessionId, (Principal, Timestamp)>,
    /// Bytes that wait for a packet.
    waiting: usize,
    /// Namespaces that are taken for a part of this one.
    others: Vec<Arc<Store>>,
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

    /// One that removes records by itself.
    pub(super) fn removing_after(slack: Duration) -> Self {
        Self { removes_after: Some(slack), ..Self::default() }
    }

    pub(super) fn slack(&self) -> Duration {
        self.removes_after.unwrap_or(SLACK)
    }

    /// From now on the store itself keeps the record for so long.
    pub(super) fn keep(&self, id: SessionId, left: Duration) {
        self.history().kept.insert(id, (Instant::now(), left));
    }

    pub(super) fn time_to_live(&self, id: SessionId) -> Duration {
        let kept = self.history().kept.get(&id).copied();
        kept.map_or(Duration::ZERO, |(since, left)| left.saturating_sub(since.elapsed()))
    }

    /// Removes the record if its time is over in the store's own eyes, and it removes any by itself.
    pub(super) async fn expire(&self, id: SessionId, always: bool) -> Result<()> {
        if (always || self.removes_after.is_some()) && self.time_to_live(id).is_zero() {
            let _ = self.memory.delete(id, None, Timestamp::MIN).await?;
        }
        Ok(())
    }

    /// Everything that is stored, and what is left in the index.
    pub(super) async fn pieces(&self) -> Result<Vec<Bytes>> {
        let records = self.memory.list(None, None, usize::MAX, Timestamp::MIN).await?.sessions;
        let mut pieces = Vec::new();
        let mut add = |piece: &[u8]| pieces.push(Bytes::copy_from_slice(piece));
        for (id, record) in &records {
            add(id.as_bytes());
            add(record.principal.as_ref().map_or("", |principal| principal.as_str()).as_bytes());
            add(&record.meta);
            add(&record.data);
        }
        for (id, (principal, _)) in &self.history().index {
            add(id.as_bytes());
            add(principal.as_str().as_bytes());
        }
        Ok(pieces)
    }

    /// Spoils a record; whether it was there.
    pub(super) async fn damage(&self, id: SessionId, damage: Damage) -> Result<bool> {
        let Some(record) = self.dead_or_alive(id).await? else { return Ok(false) };
        match damage {
            Damage::Meta(bytes) => self.force(id, record.with_meta(bytes)).await?,
            Damage::Data(bytes) => self.force(id, record.with_data(bytes)).await?,
            Damage::Unreadable => drop(self.history().damaged.insert(id)),
        }
        Ok(true)
    }

    /// Whether there is a record that cannot be read, live at `now`.
    pub(super) async fn is_unreadable(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        let damaged = self.history().damaged.contains(&id);
        Ok(damaged && self.load(id, now).await?.is_some())
    }

    /// Whether any record cannot be read.
    pub(super) fn has_damage(&self) -> bool {
        !self.history().damaged.is_empty()
    }

    /// What was damaged has been replaced or removed.
    pub(super) fn mend(&self, id: SessionId) {
        self.history().damaged.remove(&id);
    }

    pub(super) fn index(&self, id: SessionId, principal: &Principal, expires_at: Timestamp) {
        self.history().index.insert(id, (principal.clone(), expires_at));
    }

    pub(super) fn unindex(&self, id: SessionId) {
        self.history().index.remove(&id);
    }

    pub(super) fn indexed(&self) -> Vec<SessionId> {
        self.history().index.keys().copied().collect()
    }

    /// Whether the index names the session, with an end behind `now`.
    pub(super) fn is_indexed(&self, id: SessionId, principal: &Principal, now: Timestamp) -> bool {
        let entry = self.history().index.get(&id).cloned();
        entry.is_some_and(|(name, until)| name == *principal && now < until)
    }

    /// Looks at the packet that waits, or changes it.
    pub(super) fn packet<T>(&self, change: impl FnOnce(&mut usize) -> T) -> T {
        change(&mut self.history().waiting)
    }

    pub(super) fn take_for_own(&self, other: Arc<Self>) {
        self.history().others.push(other);
    }

    pub(super) fn others(&self) -> Vec<Arc<Self>> {
        self.history().others.clone()
    }

    pub(super) fn forget_others(&self) {
        self.history().others.clear();
    }

    /// Whether this question is asked for the nth time, or twice or three times as often.
    pub(super) fn is_nth(&self, n: u32) -> bool {
        self.counted.fetch_add(1, Ordering::Relaxed) % n == n - 1
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets every other racer go first: what was checked before may not hold any more. On the one thread that they
/// share each comes to its turn eight times, surely.
pub(super) async fn pause() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}
