//! Lists of sessions, in the order of their ids.

use std::time::Instant;

use session_core::{Cursor, ErrorKind, Listing, Principal, Record, Result, SessionId, Timestamp};

use crate::error::failed;
use crate::names::{self, PrincipalDigest, RecordName};
use crate::store::Store;
use crate::threads::Turn;

/// A page ends once it holds this much.
const PAGE_BYTES: usize = 4 << 20;

impl Store {
    pub(crate) fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<SessionId>,
        limit: usize,
        now: Timestamp,
        turn: Turn<'_>,
    ) -> Result<Listing> {
        if limit == 0 {
            return Ok(Listing::default());
        }
        let mut page = Page { limit, bytes: 0, listing: Listing::default() };
        match principal {
            Some(principal) => {
                let digest = PrincipalDigest::of(principal);
                self.list_of(principal, digest, after, now, &mut page, turn)?;
            }
            None => self.list_all(after, now, &mut page, turn)?,
        }
        Ok(page.listing)
    }

    fn list_of(
        &self,
        principal: &Principal,
        digest: PrincipalDigest,
        after: Option<SessionId>,
        now: Timestamp,
        page: &mut Page,
        turn: Turn<'_>,
    ) -> Result<()> {
        for id in self.index.sessions(digest)?.into_iter().filter(|id| Some(*id) > after) {
            let record = self.listed(id, now, turn.deadline_from_now())?;
            let is_full = match record.filter(|record| record.principal.as_ref() == Some(principal)) {
                Some(record) => !page.takes(id, record),
                None => {
                    self.check_marker(digest, id, turn.deadline_from_now())?;
                    false
                }
            };
            if is_full || turn.is_abandoned() {
                break;
            }
        }
        Ok(())
    }

    fn list_all(
        &self,
        after: Option<SessionId>,
        now: Timestamp,
        page: &mut Page,
        turn: Turn<'_>,
    ) -> Result<()> {
        for shard in after.map_or(0, names::shard)..=u8::MAX {
            for id in self.ids(shard, turn.deadline_from_now())?.into_iter().filter(|id| Some(*id) > after) {
                if let Some(record) = self.listed(id, now, turn.deadline_from_now())?
                    && !page.takes(id, record)
                {
                    return Ok(());
                }
                if turn.is_abandoned() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The sessions of a shard, dead or alive, ascending. Under the lock: while names are moved over others some file
    /// systems show neither to whoever reads the directory.
    fn ids(&self, shard: u8, deadline: Instant) -> Result<Vec<SessionId>> {
        let Some(held) = self.sessions.lock(shard, deadline)? else { return Ok(Vec::new()) };
        let names = held.directory.names().map_err(failed)?;
        let mut ids: Vec<_> = names
            .iter()
            .filter_map(|name| match names::parse_record(shard, name)? {
                RecordName::Record(id) => Some(id),
                RecordName::Temporary(_) => None,
            })
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The record, if it lives and can be read: one bad file keeps nobody else from being signed out.
    fn listed(&self, id: SessionId, now: Timestamp, deadline: Instant) -> Result<Option<Record>> {
        match self.load(id, now, deadline) {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat) => {
                tracing::warn!(?id, %error, "a list leaves out a session that it cannot read");
                Ok(None)
            }
            result => result,
        }
    }

    /// Removes the marker unless there is a record, dead or alive, that rests on it.
    pub(crate) fn check_marker(
        &self,
        principal: PrincipalDigest,
        id: SessionId,
        deadline: Instant,
    ) -> Result<()> {
        // Held until the marker is gone: a create makes the marker first, under the same lock.
        let shard = self.sessions.make_and_lock(names::shard(id), deadline)?;
        match Self::find(&shard.directory, id) {
            Ok(Some(found)) if found.principal() == Some(principal) => {}
            Ok(_) => {
                self.settle(&shard.directory)?;
                self.index.remove(principal, id);
            }
            // Whose it is cannot be said.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

struct Page {
    limit: usize,
    bytes: usize,
    listing: Listing,
}

impl Page {
    /// Puts a session on the page, or, if that is full, where the next one starts.
    fn takes(&mut self, id: SessionId, record: Record) -> bool {
        let sessions = &mut self.listing.sessions;
        if let Some((last, _)) = sessions.last()
            && (sessions.len() == self.limit || self.bytes >= PAGE_BYTES)
        {
            self.listing.next = Some(Cursor::after(*last));
            return false;
        }
        self.bytes += record.meta.len() + record.data.len();
        sessions.push((id, record));
        true
    }
}
