//! The records of a shard by id: a hash table of boxes.
//!
//! Not a map: it has room for up to twice as many as it holds and is looked into at random, so it is to be small.
//! At eight bytes each, with the id in the box, it stays in the processor's caches when the records no longer do.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use session_core::{Principal, Record, Revision, SessionId, Timestamp};

#[derive(Default)]
pub(crate) struct Records {
    table: HashTable<Box<Filed>>,
    hasher: RandomState,
}

/// A record, and the time under which the shard has it in its order of expiry.
pub(crate) struct Filed {
    pub(crate) id: SessionId,
    pub(crate) stored: Stored,
    pub(crate) filed_at: Timestamp,
}

/// A record with its `meta` and `data` in one allocation of exactly their size: what the caller made may have room
/// to spare, and a second allocation would be a second cache miss of every load.
pub(crate) struct Stored {
    pub(crate) revision: Revision,
    pub(crate) expires_at: Timestamp,
    deadline: Timestamp,
    touched_at: Timestamp,
    pub(crate) principal: Option<Principal>,
    /// `meta`, then `data`.
    payload: Bytes,
    meta_len: usize,
}

impl Records {
    pub(crate) fn get(&self, id: SessionId) -> Option<&Filed> {
        self.table.find(self.hasher.hash_one(id), |filed| filed.id == id).map(|filed| &**filed)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Filed> {
        self.table.find_mut(self.hasher.hash_one(id), |filed| filed.id == id).map(|filed| &mut **filed)
    }

    /// Adds a record whose id is free.
    pub(crate) fn insert(&mut self, filed: Filed) {
        let hash = self.hasher.hash_one(filed.id);
        self.table.insert_unique(hash, Box::new(filed), |other| self.hasher.hash_one(other.id));
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Filed> {
        let found = self.table.find_entry(self.hasher.hash_one(id), |filed| filed.id == id);
        found.ok().map(|found| *found.remove().0)
    }

    /// All ids, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.table.iter().map(|filed| filed.id)
    }
}

impl Stored {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            revision: record.revision,
            expires_at: record.expires_at,
            deadline: record.deadline,
            touched_at: record.touched_at,
            principal: record.principal,
            payload: [&*record.meta, &*record.data].concat().into(),
            meta_len: record.meta.len(),
        }
    }

    /// The record as it came; the payload is shared.
    pub(crate) fn record(&self) -> Record {
        let mut record = Record::new(self.revision, self.touched_at, self.expires_at, self.deadline);
        record.principal.clone_from(&self.principal);
        record.data = self.payload.clone();
        record.meta = record.data.split_to(self.meta_len);
        record
    }

    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// As [`Record::touch`].
    pub(crate) fn touch(&mut self, expires_at: Timestamp, now: Timestamp) {
        self.expires_at = self.expires_at.max(expires_at).min(self.deadline);
        self.touched_at = self.touched_at.max(now);
    }
}
