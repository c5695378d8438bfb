//! One shard: the records whose ids start with one byte, and the two indexes over them.
//!
//! All three change together, under the shard's lock: that is the whole of this driver's atomicity.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound;

use session_core::{Principal, Record, SessionId, Timestamp};

/// Invariant: each record has exactly one entry in `by_expiry`, and one in `by_principal` if it has a
/// principal; there are no other entries.
#[derive(Default)]
pub(crate) struct Shard {
    records: BTreeMap<SessionId, Record>,
    by_expiry: BTreeSet<(Timestamp, SessionId)>,
    by_principal: BTreeSet<(Principal, SessionId)>,
}

impl Shard {
    /// The record, if it is live at `now`.
    pub(crate) fn live(&self, id: SessionId, now: Timestamp) -> Option<&Record> {
        self.records.get(&id).filter(|record| record.is_live(now))
    }

    /// Stores a record in place of what is there. Whether the id was free.
    pub(crate) fn put(&mut self, id: SessionId, record: Record) -> bool {
        self.by_expiry.insert((record.expires_at, id));
        if let Some(principal) = &record.principal {
            self.by_principal.insert((principal.clone(), id));
        }
        match self.records.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(record);
                true
            }
            Entry::Occupied(mut entry) => {
                let old = entry.insert(record);
                let new = entry.get();
                if old.expires_at != new.expires_at {
                    self.by_expiry.remove(&(old.expires_at, id));
                }
                if let Some(principal) = old.principal
                    && new.principal.as_ref() != Some(&principal)
                {
                    self.by_principal.remove(&(principal, id));
                }
                false
            }
        }
    }

    /// Touches the record, if it is live at `now`; whether it was.
    pub(crate) fn touch(&mut self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> bool {
        let Some(record) = self.records.get_mut(&id).filter(|record| record.is_live(now)) else {
            return false;
        };
        let old = record.expires_at;
        record.touch(expires_at, now);
        if record.expires_at != old {
            self.by_expiry.insert((record.expires_at, id));
            self.by_expiry.remove(&(old, id));
        }
        true
    }

    /// Removes the record and its entries.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Record> {
        let record = self.records.remove(&id)?;
        self.by_expiry.remove(&(record.expires_at, id));
        if let Some(principal) = &record.principal {
            self.by_principal.remove(&(principal.clone(), id));
        }
        Some(record)
    }

    /// The record other than `spared` that expires next.
    pub(crate) fn next_to_expire(&self, spared: SessionId) -> Option<(Timestamp, SessionId)> {
        self.by_expiry.iter().copied().find(|(_, id)| *id != spared)
    }

    /// Whether a record is dead at `now`.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.by_expiry.first().is_some_and(|(expires_at, _)| *expires_at <= now)
    }

    /// Removes up to `limit` records that are dead at `now`; how many.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize) -> usize {
        let mut removed = 0;
        while removed < limit
            && let Some(&(expires_at, id)) = self.by_expiry.first()
            && expires_at <= now
        {
            self.remove(id);
            removed += 1;
        }
        removed
    }

    /// Appends live records behind `after`, ascending by id, until `page` holds `limit` of them.
    pub(crate) fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<SessionId>,
        now: Timestamp,
        limit: usize,
        page: &mut Vec<(SessionId, Record)>,
    ) {
        let room = limit.saturating_sub(page.len());
        let live = |(_, record): &(SessionId, Record)| record.is_live(now);
        if let Some(principal) = principal {
            let start = match after {
                Some(id) => Bound::Excluded((principal.clone(), id)),
                None => Bound::Included((principal.clone(), SessionId::from_bytes([0; 16]))),
            };
            let entries = self.by_principal.range((start, Bound::Unbounded));
            let ids = entries.take_while(|(other, _)| other == principal).map(|(_, id)| *id);
            let records = ids.filter_map(|id| Some((id, self.records.get(&id)?.clone())));
            page.extend(records.filter(live).take(room));
        } else {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let records = self.records.range((start, Bound::Unbounded));
            page.extend(records.map(|(id, record)| (*id, record.clone())).filter(live).take(room));
        }
    }

    /// Whether records and indexes are all empty.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.records.is_empty() && self.by_expiry.is_empty() && self.by_principal.is_empty()
    }
}
