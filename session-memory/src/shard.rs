//! One shard: the records whose ids start with one byte, and the two indexes over them.
//!
//! All three change together, under the shard's lock: that is the whole of this driver's atomicity.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::ops::Bound;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use session_core::{Principal, Record, SessionId, Timestamp};

/// How many entries of `by_expiry` one purge moves at most before it says that there is more to do.
const MOVED_AT_ONCE: usize = 1000;

/// Invariant: each record has exactly one entry in `by_expiry`, at its `filed_at`, and one in `by_principal` if
/// it has a principal; there are no other entries.
#[derive(Default)]
pub(crate) struct Shard {
    /// By id. A table has room for up to twice as many and is looked into at random: of pointers, it stays
    /// small enough for the processor's caches.
    records: HashTable<Box<Filed>>,
    hasher: RandomState,
    by_expiry: BTreeSet<(Timestamp, SessionId)>,
    by_principal: BTreeSet<(Principal, SessionId)>,
}

/// A record, and the time under which it is in `by_expiry`.
///
/// That is never later than its `expires_at`, but may be earlier: most writes put the expiry off, and leave the
/// entry to whoever meets it first, who then moves it. So each move is paid for by a write.
struct Filed {
    id: SessionId,
    record: Record,
    filed_at: Timestamp,
}

impl Shard {
    /// The record, if it is live at `now`.
    pub(crate) fn live(&self, id: SessionId, now: Timestamp) -> Option<&Record> {
        let filed = self.records.find(self.hasher.hash_one(id), |filed| filed.id == id)?;
        Some(&filed.record).filter(|record| record.is_live(now))
    }

    /// Stores a record in place of what is there, which it returns.
    pub(crate) fn put(&mut self, id: SessionId, record: Record) -> Option<Record> {
        let hash = self.hasher.hash_one(id);
        match self.records.entry(hash, |filed| filed.id == id, |filed| self.hasher.hash_one(filed.id)) {
            Entry::Vacant(entry) => {
                let filed_at = record.expires_at;
                self.by_expiry.insert((filed_at, id));
                if let Some(principal) = &record.principal {
                    self.by_principal.insert((principal.clone(), id));
                }
                entry.insert(Box::new(Filed { id, record, filed_at }));
                None
            }
            Entry::Occupied(mut entry) => {
                let filed = entry.get_mut();
                let old = std::mem::replace(&mut filed.record, record);
                if filed.record.principal != old.principal {
                    if let Some(principal) = &filed.record.principal {
                        self.by_principal.insert((principal.clone(), id));
                    }
                    if let Some(principal) = &old.principal {
                        self.by_principal.remove(&(principal.clone(), id));
                    }
                }
                if filed.is_late() {
                    filed.move_entry(&mut self.by_expiry);
                }
                Some(old)
            }
        }
    }

    /// Touches the record, if it is live at `now`; whether it was.
    pub(crate) fn touch(&mut self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> bool {
        let filed = self.records.find_mut(self.hasher.hash_one(id), |filed| filed.id == id);
        let Some(filed) = filed.filter(|filed| filed.record.is_live(now)) else { return false };
        filed.record.touch(expires_at, now);
        if filed.is_late() {
            filed.move_entry(&mut self.by_expiry);
        }
        true
    }

    /// Removes the record and its entries.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Record> {
        let entry = self.records.find_entry(self.hasher.hash_one(id), |filed| filed.id == id).ok()?;
        let Filed { id, record, filed_at } = *entry.remove().0;
        self.by_expiry.remove(&(filed_at, id));
        if let Some(principal) = &record.principal {
            self.by_principal.remove(&(principal.clone(), id));
        }
        Some(record)
    }

    /// The record other than `spared` that expires next.
    pub(crate) fn next_to_expire(&mut self, spared: SessionId) -> Option<(Timestamp, SessionId)> {
        loop {
            let first = self.by_expiry.iter().copied().find(|(_, id)| *id != spared)?;
            let hash = self.hasher.hash_one(first.1);
            let filed = self.records.find_mut(hash, |filed| filed.id == first.1)?;
            if filed.record.expires_at == filed.filed_at {
                return Some(first);
            }
            filed.move_entry(&mut self.by_expiry);
        }
    }

    /// Removes up to `limit` records that are dead at `now`, into `removed`; whether there is more to do.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize, removed: &mut Vec<Record>) -> bool {
        let mut moved = 0;
        while let Some(&(filed_at, id)) = self.by_expiry.first()
            && filed_at <= now
            && let Some(filed) = self.records.find_mut(self.hasher.hash_one(id), |filed| filed.id == id)
        {
            if filed.record.is_live(now) {
                if moved == MOVED_AT_ONCE {
                    return true;
                }
                filed.move_entry(&mut self.by_expiry);
                moved += 1;
            } else {
                if removed.len() == limit {
                    return true;
                }
                removed.extend(self.remove(id));
            }
        }
        false
    }

    /// Appends live records behind `after` until `page` holds `limit` of them: ascending by id.
    pub(crate) fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<SessionId>,
        now: Timestamp,
        limit: usize,
        page: &mut Vec<(SessionId, Record)>,
    ) {
        let room = limit.saturating_sub(page.len());
        let live = |id: SessionId| Some((id, self.live(id, now)?.clone()));
        if let Some(principal) = principal {
            let start = match after {
                Some(id) => Bound::Excluded((principal.clone(), id)),
                None => Bound::Included((principal.clone(), SessionId::from_bytes([0; 16]))),
            };
            let entries = self.by_principal.range((start, Bound::Unbounded));
            let ids = entries.take_while(|(other, _)| other == principal).map(|(_, id)| *id);
            page.extend(ids.filter_map(live).take(room));
        } else {
            let behind = self.records.iter().map(|filed| filed.id).filter(|id| after.is_none_or(|after| *id > after));
            let mut ids: Vec<SessionId> = behind.collect();
            ids.sort_unstable();
            page.extend(ids.into_iter().filter_map(live).take(room));
        }
    }

    /// Whether records and indexes are all empty.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.records.is_empty() && self.by_expiry.is_empty() && self.by_principal.is_empty()
    }
}

impl Filed {
    /// Whether the record dies before the time under which it is filed, and would be overlooked.
    fn is_late(&self) -> bool {
        self.record.expires_at < self.filed_at
    }

    /// Files the record under the time at which it expires.
    fn move_entry(&mut self, by_expiry: &mut BTreeSet<(Timestamp, SessionId)>) {
        by_expiry.remove(&(self.filed_at, self.id));
        self.filed_at = self.record.expires_at;
        by_expiry.insert((self.filed_at, self.id));
    }
}
