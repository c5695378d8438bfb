//! The records of a shard by id: a hash table of boxes.
//!
//! Not a map: it has room for up to twice as many as it holds and is looked into at random, so it is to be small.
//! At eight bytes each, with the id in the box, it stays in the processor's caches when the records no longer do.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use session_core::{Record, SessionId, Timestamp};

#[derive(Default)]
pub(crate) struct Records {
    table: HashTable<Box<Filed>>,
    hasher: RandomState,
}

/// A record, and the time under which the shard has it in its order of expiry.
pub(crate) struct Filed {
    pub(crate) id: SessionId,
    pub(crate) record: Record,
    pub(crate) filed_at: Timestamp,
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
