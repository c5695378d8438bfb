//! The verbs about one session. Those that write hold the lock of its shard from before their first look.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome,
};

use crate::directory::set_expiry_hint;
use crate::error::failed;
use crate::names::{self, shard};
use crate::shards::Released;
use crate::store::{Found, Store};

impl Store {
    pub(crate) fn create(
        &self,
        id: SessionId,
        record: &Record,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<CreateOutcome> {
        let shard = self.sessions.make_and_lock(shard(id), deadline)?;
        let old = Self::find(&shard.directory, id)?;
        match old {
            Some(found) if found.head.is_live(now) => {
                self.settle(&shard.directory)?;
                Ok(CreateOutcome::Occupied(found.record()?))
            }
            old => {
                let _ = self.replace(&shard, id, record, old.as_ref())?;
                Ok(CreateOutcome::Created)
            }
        }
    }

    /// Takes no lock, unless what it finds is half-written or damaged.
    pub(crate) fn load(&self, id: SessionId, now: Timestamp, deadline: Instant) -> Result<Option<Record>> {
        match self.load_unlocked(id, now) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Ok(Loaded::HalfWritten) => {}
            Ok(Loaded::Whole(record)) => return Ok(record),
            Err(error) => return Err(error),
        }
        let Some(shard) = self.sessions.lock(shard(id), deadline)? else { return Ok(None) };
        let found = Self::find(&shard.directory, id)?.filter(|found| found.head.is_live(now));
        found.map(Found::record).transpose()
    }

    pub(crate) fn load_unlocked(&self, id: SessionId, now: Timestamp) -> Result<Loaded> {
        let Some(shard) = self.sessions.open(shard(id))? else { return Ok(Loaded::Whole(None)) };
        let Some(found) = Self::find(&shard, id)? else { return Ok(Loaded::Whole(None)) };
        // The slot that could be read may be older than a touch that has been acknowledged.
        if found.head.has_damaged_slot {
            return Ok(Loaded::HalfWritten);
        }
        if !found.head.is_live(now) {
            return Ok(Loaded::Whole(None));
        }
        found.record().map(|record| Loaded::Whole(Some(record)))
    }

    /// Gives back what is left to be closed, too, after the lock and, if the caller sees to it, after the answer.
    pub(crate) fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: &Record,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(UpdateOutcome, Option<Replaced>)> {
        let Some(shard) = self.sessions.lock(shard(id), deadline)? else {
            return Ok((UpdateOutcome::Gone, None));
        };
        match Self::find(&shard.directory, id)?.filter(|found| found.head.is_live(now)) {
            None => {
                self.settle(&shard.directory)?;
                Ok((UpdateOutcome::Gone, None))
            }
            Some(found) if found.head.revision != expected => {
                self.settle(&shard.directory)?;
                Ok((UpdateOutcome::Conflict(found.record()?), None))
            }
            found => {
                let new = self.replace(&shard, id, record, found.as_ref())?;
                let rest = Replaced { _old: found, _new: new, _shard: shard.release() };
                Ok((UpdateOutcome::Updated, Some(rest)))
            }
        }
    }

    pub(crate) fn touch(
        &self,
        id: SessionId,
        expires_at: Timestamp,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<bool> {
        let Some(shard) = self.sessions.lock(shard(id), deadline)? else { return Ok(false) };
        let Some(found) = Self::find_to_patch(&shard, id)?.filter(|found| found.head.is_live(now)) else {
            self.settle(&shard.directory)?;
            return Ok(false);
        };
        let (place, slot, expires_at) = found.head.touched(expires_at, now);
        found.file.write_all_at(&slot, place).map_err(failed)?;
        set_expiry_hint(&found.file, expires_at);
        if self.flushes {
            found.file.sync_data().map_err(failed)?;
        }
        self.settle(&shard.directory)?;
        Ok(true)
    }

    pub(crate) fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<DeleteOutcome> {
        let Some(shard) = self.sessions.lock(shard(id), deadline)? else { return Ok(DeleteOutcome::Absent) };
        let principal = match (Self::find(&shard.directory, id), expected) {
            (Ok(Some(found)), _) if !found.head.is_live(now) => {
                self.settle(&shard.directory)?;
                return Ok(DeleteOutcome::Absent);
            }
            (Ok(Some(found)), Some(expected)) if found.head.revision != expected => {
                self.settle(&shard.directory)?;
                return Ok(DeleteOutcome::Conflict(found.record()?));
            }
            (Ok(Some(found)), _) => found.principal(),
            (Ok(None), _) => {
                self.settle(&shard.directory)?;
                return Ok(DeleteOutcome::Absent);
            }
            // What cannot be read goes whole.
            (Err(error), None) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat) => {
                None
            }
            (Err(error), _) => return Err(error),
        };
        shard.directory.remove(&names::record(id)).map_err(failed)?;
        self.settle(&shard.directory)?;
        if let Some(principal) = principal {
            self.index.remove(principal, id);
        }
        Ok(DeleteOutcome::Deleted)
    }
}

/// What an update leaves open. The blocks of the old file are freed when it is closed, which is a good part of the
/// work.
#[derive(Debug)]
pub(crate) struct Replaced {
    _old: Option<Found>,
    _new: File,
    _shard: Released,
}

/// What a look without the lock has come to.
#[derive(Debug)]
pub(crate) enum Loaded {
    Whole(Option<Record>),
    /// Only one slot could be read: look again under the lock.
    HalfWritten,
}
