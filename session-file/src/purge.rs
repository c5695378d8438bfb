//! Removes what is dead. Which files to open it guesses from the time that each write leaves beside them; what it removes
//! it has read, under the lock.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{MutexGuard, PoisonError};

use session_core::{Error, ErrorKind, Purged, Result, SessionId, Timestamp};

use crate::directory::{Directory, set_expiry_hint};
use crate::error::failed;
use crate::names::{self, PrincipalDigest, RecordName};
use crate::shards::{Held, Shards};
use crate::store::Store;
use crate::threads::Turn;

/// How many files are looked at while the lock is held.
const CHUNK: usize = 64;

/// How many files one call may pass by, which takes well below what managers wait for.
pub(crate) const MOST_FILES: usize = 50_000;

/// Where the next purge goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    shard: usize,
    /// How many shards of its round a call has left behind that stopped for the time.
    passed: usize,
    /// Which shard is looked at without trust: another one each time round.
    round: usize,
}

impl Place {
    /// Anywhere: a process that purges once and ends must not distrust the same shard each time.
    pub(crate) fn random() -> Self {
        Self { shard: 0, passed: 0, round: RandomState::new().build_hasher().finish() as usize }
    }
}

impl Store {
    /// Goes round the shards, from where the last purge stopped; after `most` files it stops at the next shard, where the next
    /// call goes on with this round. A shard that fails keeps no other from being purged.
    pub(crate) fn purge(&self, now: Timestamp, limit: usize, most: usize, turn: Turn<'_>) -> Result<Purged> {
        if limit == 0 {
            return Ok(Purged::default());
        }
        // What is left of a round is for one call: another one at the same time makes a round of its own.
        let mut place = self.purge_place();
        let Place { shard: first, passed, round } = *place;
        place.passed = 0;
        drop(place);
        let mut tally = Tally::default();
        for step in passed..Shards::COUNT {
            let shard = (first + step - passed) % Shards::COUNT;
            // In turn all files of each shard are looked at, whatever their times say.
            let believes = shard != round % Shards::COUNT;
            if let Err(error) = self.purge_shard(shard as u8, now, limit, believes, turn, &mut tally) {
                tracing::warn!(shard = format_args!("{shard:02x}"), %error, "a shard cannot be purged");
                tally.note(error);
            }
            // There may be more in this shard.
            if tally.taken == limit || turn.is_abandoned() {
                *self.purge_place() = Place { shard, passed: 0, round };
                return tally.purged(true);
            }
            if tally.files >= most && step + 1 < Shards::COUNT {
                *self.purge_place() = Place { shard: (shard + 1) % Shards::COUNT, passed: step + 1, round };
                return Ok(Purged::new(tally.removed, true));
            }
        }
        self.purge_place().round = round.wrapping_add(1);
        self.sweep((round % Shards::COUNT) as u8, turn);
        tally.purged(false)
    }

    fn purge_place(&self) -> MutexGuard<'_, Place> {
        self.purge_place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn purge_shard(
        &self,
        shard: u8,
        now: Timestamp,
        limit: usize,
        believes: bool,
        turn: Turn<'_>,
        tally: &mut Tally,
    ) -> Result<()> {
        let Some(directory) = self.sessions.open(shard)? else { return Ok(()) };
        let mut suspects = Vec::new();
        for name in directory.names().map_err(failed)? {
            tally.files += 1;
            let Some(suspect) = names::parse_record(shard, &name) else { continue };
            let is_said_to_live =
                believes && matches!(directory.expiry_hint(&name), Some(expires_at) if now < expires_at);
            if matches!(suspect, RecordName::Temporary(_)) || !is_said_to_live {
                suspects.push(suspect);
            }
        }
        for chunk in suspects.chunks(CHUNK) {
            let Some(held) = self.sessions.lock(shard, turn.deadline_from_now())? else { return Ok(()) };
            self.purge_chunk(&held, chunk, now, limit, tally)?;
            if tally.taken == limit || turn.is_abandoned() {
                break;
            }
        }
        Ok(())
    }

    fn purge_chunk(
        &self,
        shard: &Held<'_>,
        chunk: &[RecordName],
        now: Timestamp,
        limit: usize,
        tally: &mut Tally,
    ) -> Result<()> {
        let directory = &shard.directory;
        let mut gone = Vec::new();
        for suspect in chunk {
            if tally.taken == limit {
                break;
            }
            match *suspect {
                // Temporary files are made and renamed under the lock: whoever made this one has died.
                RecordName::Temporary(id) => {
                    let _ =
                        directory.remove(&names::temporary(id)).map_err(|error| tally.note(failed(error)));
                }
                RecordName::Record(id) => match self.purge_record(directory, id, now) {
                    Ok(None) => {}
                    Ok(Some(principal)) => {
                        tally.taken += 1;
                        gone.push((principal, id));
                    }
                    Err(error) => {
                        tracing::warn!(?id, %error, "a purge passes over a session");
                        tally.note(error);
                    }
                },
            }
        }
        if !gone.is_empty() {
            self.settle(directory)?;
            tally.removed += gone.len() as u64;
        }
        for (principal, id) in &gone {
            if let Some(principal) = principal {
                self.index.remove(*principal, *id);
            }
        }
        Ok(())
    }

    /// Removes the record if it is dead. Whose it was then; its marker is still there.
    fn purge_record(
        &self,
        shard: &Directory,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<Option<PrincipalDigest>>> {
        match Self::find(shard, id) {
            Ok(None) => Ok(None),
            Ok(Some(found)) if found.head.is_live(now) => {
                set_expiry_hint(&found.file, found.head.expires_at);
                // The marker is there, unless somebody has removed it from outside.
                let marked = found.principal().map(|principal| self.index.add(principal, id, true));
                marked.transpose().map(|_| None)
            }
            Ok(Some(found)) => {
                shard.remove(&names::record(id)).map_err(failed)?;
                Ok(Some(found.principal()))
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.set_aside(shard, id, &error);
                Ok(None)
            }
            // A later version may read it.
            Err(error) if error.kind() == ErrorKind::UnknownFormat => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves a file whose times cannot be read out of the way.
    fn set_aside(&self, shard: &Directory, id: SessionId, why: &Error) {
        let name = names::record(id);
        if let Err(error) = shard.rename(&name, &self.quarantine, &name) {
            tracing::warn!(?id, %why, %error, "a damaged session cannot be moved to `quarantine`");
        } else {
            tracing::warn!(?id, %why, "a damaged session was moved to `quarantine`");
        }
    }

    /// Removes the markers of one shard that lead to nothing: a process has died between a record and its marker.
    fn sweep(&self, shard: u8, turn: Turn<'_>) {
        let markers = match self.index.markers(shard) {
            Ok(markers) => markers,
            Err(error) => return tracing::warn!(%error, "the markers of principals cannot be swept"),
        };
        for (principal, id) in markers {
            if turn.is_abandoned() {
                return;
            }
            let is_there = || {
                self.sessions
                    .open(names::shard(id))?
                    .map_or(Ok(false), |shard| shard.has(&names::record(id)).map_err(failed))
            };
            // Whatever fails here is met again.
            if is_there().is_ok_and(|is_there| !is_there) {
                let _ = self.check_marker(principal, id, turn.deadline_from_now());
            }
        }
    }
}

/// What has been done on the way round, and what has gone wrong.
#[derive(Default)]
struct Tally {
    /// The first error.
    first: Option<Error>,
    /// How many files were passed.
    files: usize,
    /// How many records were removed, also if that could not be made safe: what counts against the limit.
    taken: usize,
    /// How many of them will stay so.
    removed: u64,
}

impl Tally {
    fn purged(self, more: bool) -> Result<Purged> {
        match self.first {
            Some(error) if self.removed == 0 => Err(error),
            _ => Ok(Purged::new(self.removed, more)),
        }
    }

    fn note(&mut self, error: Error) {
        self.first.get_or_insert(error);
    }
}
