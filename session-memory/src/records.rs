//! The records of a shard by id: a hash table of pointers to them.
//!
//! Not a map: it has room for up to twice as many as it holds and is looked into at random, so it is to be small.
//! At eight bytes each, with the id behind the pointer, it stays in the processor's caches when the records no
//! longer do.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use session_core::{Principal, Record, Revision, SessionId, Timestamp};
use triomphe::ThinArc;

#[derive(Default)]
pub(crate) struct Records {
    table: HashTable<Stored>,
    hasher: RandomState,
}

/// A record in one allocation of exactly its size, `meta` and `data` included: what the caller made may have room to
/// spare, and each further allocation would be a further cache miss of every load. Records that were loaded share it.
#[derive(Clone)]
pub(crate) struct Stored(ThinArc<Head, u8>);

/// What stands before the payload, which is `meta`, then `data`.
struct Head {
    id: SessionId,
    revision: Revision,
    deadline: Timestamp,
    principal: Option<Principal>,
    meta_len: usize,
    expires_at: Time,
    touched_at: Time,
    /// Under which time the shard has it in its order of expiry.
    filed_at: Time,
}

/// A time that changes. Only whoever holds the lock of the shard asks for it or sets it, so it needs no order of its
/// own: it is atomic because what is loaded shares its allocation.
struct Time(AtomicI64);

impl Records {
    pub(crate) fn get(&self, id: SessionId) -> Option<&Stored> {
        self.table.find(self.hasher.hash_one(id), |stored| stored.id() == id)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Stored> {
        self.table.find_mut(self.hasher.hash_one(id), |stored| stored.id() == id)
    }

    /// Adds a record whose id is free.
    pub(crate) fn insert(&mut self, stored: Stored) {
        let hash = self.hasher.hash_one(stored.id());
        self.table.insert_unique(hash, stored, |other| self.hasher.hash_one(other.id()));
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Stored> {
        let found = self.table.find_entry(self.hasher.hash_one(id), |stored| stored.id() == id);
        found.ok().map(|found| found.remove().0)
    }

    /// All ids, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.table.iter().map(Stored::id)
    }
}

impl Stored {
    /// The record, to be filed under the time at which it expires.
    pub(crate) fn new(id: SessionId, record: Record) -> Self {
        let payload = [&*record.meta, &*record.data].concat();
        let head = Head {
            id,
            revision: record.revision,
            deadline: record.deadline,
            principal: record.principal,
            meta_len: record.meta.len(),
            expires_at: Time::new(record.expires_at),
            touched_at: Time::new(record.touched_at),
            filed_at: Time::new(record.expires_at),
        };
        Self(ThinArc::from_header_and_slice(head, &payload))
    }

    /// The record as it came; the payload is shared.
    pub(crate) fn record(&self) -> Record {
        let Head { revision, deadline, principal, meta_len, expires_at, touched_at, .. } = self.head();
        let mut record = Record::new(*revision, touched_at.get(), expires_at.get(), *deadline);
        record.principal.clone_from(principal);
        record.data = Bytes::from_owner(self.clone());
        record.meta = record.data.split_to(*meta_len);
        record
    }

    pub(crate) fn id(&self) -> SessionId {
        self.head().id
    }

    pub(crate) fn revision(&self) -> Revision {
        self.head().revision
    }

    pub(crate) fn principal(&self) -> Option<&Principal> {
        self.head().principal.as_ref()
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        self.head().expires_at.get()
    }

    pub(crate) fn filed_at(&self) -> Timestamp {
        self.head().filed_at.get()
    }

    pub(crate) fn file_under(&self, time: Timestamp) {
        self.head().filed_at.set(time);
    }

    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }

    /// As [`Record::touch`].
    pub(crate) fn touch(&self, new_expiry: Timestamp, now: Timestamp) {
        let Head { deadline, expires_at, touched_at, .. } = self.head();
        expires_at.set(expires_at.get().max(new_expiry).min(*deadline));
        touched_at.set(touched_at.get().max(now));
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }
}

/// The payload.
impl AsRef<[u8]> for Stored {
    fn as_ref(&self) -> &[u8] {
        &self.0.slice
    }
}

impl Time {
    fn new(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.as_millis()))
    }

    fn get(&self) -> Timestamp {
        // Nothing else was ever set.
        Timestamp::from_millis(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN)
    }

    fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::Relaxed);
    }
}
