//! One shard: the records whose ids start with one byte, and the two indexes over them.
//!
//! All three change together, under the shard's lock: that is the whole of this driver's atomicity.

use std::collections::BTreeSet;
use std::ops::Bound;

use session_core::{Principal, Record, SessionId, Timestamp};

use crate::records::{Records, Stored};

/// How many entries of the order of expiry a purge looks at before it lets others have the shard.
pub(crate) const PURGED_AT_ONCE: usize = 32;

/// Invariant: each record has exactly one entry in `by_expiry`, at its `filed_at`, and one in `by_principal` if
/// it has a principal; there are no other entries.
///
/// `filed_at` is never later than the record's `expires_at`, so nothing that is dead is overlooked. It may be
/// earlier: most writes put the expiry off and leave the entry where it is, to be moved by the first purge or
/// eviction that meets it. So a write seldom looks into the order, and pays for at most one move.
#[derive(Default)]
pub(crate) struct Shard {
    records: Records,
    by_expiry: BTreeSet<(Timestamp, SessionId)>,
    by_principal: BTreeSet<(Principal, SessionId)>,
}

impl Shard {
    /// The record, if it is live at `now`.
    pub(crate) fn live(&self, id: SessionId, now: Timestamp) -> Option<&Stored> {
        self.records.get(id).filter(|stored| stored.is_live(now))
    }

    /// Stores a record in place of what is there, which it returns.
    pub(crate) fn put(&mut self, stored: Stored) -> Option<Stored> {
        let id = stored.id();
        let Some(current) = self.records.get_mut(id) else {
            self.by_expiry.insert((stored.filed_at(), id));
            if let Some(principal) = stored.principal() {
                self.by_principal.insert((principal.clone(), id));
            }
            self.records.insert(stored);
            return None;
        };
        stored.file_under(current.filed_at());
        let old = std::mem::replace(current, stored);
        if current.principal() != old.principal() {
            if let Some(principal) = current.principal() {
                self.by_principal.insert((principal.clone(), id));
            }
            if let Some(principal) = old.principal() {
                self.by_principal.remove(&(principal.clone(), id));
            }
        }
        move_if_sooner(&mut self.by_expiry, current);
        Some(old)
    }

    /// Touches the record, if it is live at `now`; whether it was.
    pub(crate) fn touch(&mut self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> bool {
        let Some(stored) = self.records.get(id).filter(|stored| stored.is_live(now)) else {
            return false;
        };
        stored.touch(expires_at, now);
        // The deadline may have moved it back.
        move_if_sooner(&mut self.by_expiry, stored);
        true
    }

    /// Removes the record and its entries.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Stored> {
        let stored = self.records.remove(id)?;
        self.by_expiry.remove(&(stored.filed_at(), id));
        if let Some(principal) = stored.principal() {
            self.by_principal.remove(&(principal.clone(), id));
        }
        Some(stored)
    }

    /// The record other than `spared` that expires next.
    pub(crate) fn next_to_expire(&mut self, spared: SessionId) -> Option<(Timestamp, SessionId)> {
        loop {
            let (filed_at, id) = self.by_expiry.iter().copied().find(|(_, id)| *id != spared)?;
            let stored = self.records.get(id)?;
            if stored.expires_at() == filed_at {
                return Some((filed_at, id));
            }
            move_entry(&mut self.by_expiry, stored);
        }
    }

    /// Removes records that are dead at `now`, into `removed` until that holds `limit` of them; whether there is
    /// more to do. Looks at [`PURGED_AT_ONCE`] entries at most.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize, removed: &mut Vec<Stored>) -> bool {
        for _ in 0..PURGED_AT_ONCE {
            let Some(id) = self.due(now) else { return false };
            match self.records.get(id) {
                Some(stored) if stored.is_live(now) => move_entry(&mut self.by_expiry, stored),
                _ if removed.len() == limit => return true,
                _ => removed.extend(self.remove(id)),
            }
        }
        self.due(now).is_some()
    }

    /// What may be dead at `now`: if this is not, nothing is.
    fn due(&self, now: Timestamp) -> Option<SessionId> {
        let (filed_at, id) = self.by_expiry.first()?;
        (*filed_at <= now).then_some(*id)
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
        let live = |id: SessionId| Some((id, self.live(id, now)?.record()));
        if let Some(principal) = principal {
            let start = match after {
                Some(id) => Bound::Excluded((principal.clone(), id)),
                None => Bound::Included((principal.clone(), SessionId::from_bytes([0; 16]))),
            };
            let entries = self.by_principal.range((start, Bound::Unbounded));
            let ids = entries.take_while(|(other, _)| other == principal).map(|(_, id)| *id);
            page.extend(ids.filter_map(live).take(room));
        } else {
            let mut ids: Vec<SessionId> = self.records.ids().filter(|id| Some(*id) > after).collect();
            ids.sort_unstable();
            page.extend(ids.into_iter().filter_map(live).take(room));
        }
    }

    /// Whether the invariant holds.
    #[cfg(test)]
    pub(crate) fn is_sound(&self) -> bool {
        let all = || self.records.ids().filter_map(|id| self.records.get(id));
        let principals = all().filter_map(|stored| Some((stored.principal()?.clone(), stored.id())));
        self.by_expiry == all().map(|stored| (stored.filed_at(), stored.id())).collect()
            && self.by_principal == principals.collect()
            && all().all(|stored| stored.filed_at() <= stored.expires_at())
    }

    /// Whether records and indexes are all empty.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.records.ids().next().is_none() && self.by_expiry.is_empty() && self.by_principal.is_empty()
    }
}

/// Files the record under the time at which it expires, where that is sooner than it is filed under.
fn move_if_sooner(by_expiry: &mut BTreeSet<(Timestamp, SessionId)>, stored: &Stored) {
    if stored.expires_at() < stored.filed_at() {
        move_entry(by_expiry, stored);
    }
}

/// Files the record under the time at which it expires.
fn move_entry(by_expiry: &mut BTreeSet<(Timestamp, SessionId)>, stored: &Stored) {
    by_expiry.remove(&(stored.filed_at(), stored.id()));
    stored.file_under(stored.expires_at());
    by_expiry.insert((stored.filed_at(), stored.id()));
}
