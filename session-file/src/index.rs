//! Which principal has which sessions: an empty file, a marker, for each. A marker is made before the record that it is
//! about and removed after it, both under the lock of the record's shard, so there is never a record without its marker.
//! There may be markers without record; whoever meets one looks again under that lock, and removes it.

use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{Result, SessionId};

use crate::directory::Directory;
use crate::error::failed;
use crate::names::{self, PrincipalDigest};
use crate::shards::Shards;

pub(crate) struct Index {
    shards: Shards,
    flushes: bool,
    /// Which shards' markers this process has brought to the disk. Those of before may be by one that flushed nothing.
    is_flushed: Vec<AtomicBool>,
}

impl Index {
    pub(crate) fn new(directory: Directory, flushes: bool) -> Self {
        let is_flushed = (0..Shards::COUNT).map(|_| AtomicBool::default()).collect();
        Self { shards: Shards::new(directory, "principals", flushes), flushes, is_flushed }
    }

    /// Makes sure that there is a marker, and that it is safe where that is promised. `was_safe` says that there is
    /// a record which rests on it already.
    pub(crate) fn add(&self, principal: PrincipalDigest, id: SessionId, was_safe: bool) -> Result<()> {
        let directory = self.shards.make(principal.shard())?;
        let name = names::marker(principal, id);
        let is_there = directory.has(&name).map_err(failed)?;
        if !is_there {
            directory.open_or_create(&name).map_err(failed)?;
        }
        let is_flushed = &self.is_flushed[usize::from(principal.shard())];
        if self.flushes && !(is_there && was_safe && is_flushed.load(Ordering::Relaxed)) {
            directory.sync().map_err(failed)?;
            is_flushed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes a marker for which there is no record. Should that fail it is left for later.
    pub(crate) fn remove(&self, principal: PrincipalDigest, id: SessionId) {
        if let Ok(Some(directory)) = self.shards.open(principal.shard())
            && let Err(error) = directory.remove(&names::marker(principal, id))
        {
            tracing::debug!(%error, "a marker of a session that has gone stays for now");
        }
    }

    /// The sessions that `principal` may have, ascending.
    pub(crate) fn sessions(&self, principal: PrincipalDigest) -> Result<Vec<SessionId>> {
        let markers = self.markers(principal.shard())?.into_iter();
        let own = markers.filter(|(digest, _)| *digest == principal);
        let mut sessions: Vec<_> = own.map(|(_, id)| id).collect();
        sessions.sort_unstable();
        Ok(sessions)
    }

    /// All markers of a shard.
    pub(crate) fn markers(&self, shard: u8) -> Result<Vec<(PrincipalDigest, SessionId)>> {
        let Some(directory) = self.shards.open(shard)? else { return Ok(Vec::new()) };
        let names = directory.names().map_err(failed)?;
        Ok(names.iter().filter_map(|name| names::parse_marker(shard, name)).collect())
    }
}
