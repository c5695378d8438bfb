//! The verbs: each one command or script about one key, with the principal's index before and after.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Error, ErrorKind, Listing, Principal, Purged, Record, Result,
    Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};

use crate::keys::Keys;
use crate::listing::{Names, Walk};
use crate::record_format::{decode, encode, revision, timestamp};
use crate::replicas::Replicas;
use crate::script::{CREATE, DELETE, INDEX, Script, TOUCH, UPDATE};
use crate::servers::Servers;

/// Sessions in Redis or Valkey. Clones share its connections.
///
/// What it guarantees and where it ends stands in the [crate's documentation](crate).
#[derive(Clone)]
pub struct RedisBackend {
    pub(crate) store: Arc<Store>,
}

#[async_trait]
impl SessionBackend for RedisBackend {
    /// One round trip, two with a principal.
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        if record.principal.is_none() {
            return self.store.create(id, &record, now).await;
        }
        let store = Arc::clone(&self.store);
        self.store.servers.detached(Box::pin(async move { store.create(id, &record, now).await })).await
    }

    /// One round trip.
    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let reply = self.store.get(id).await?;
        Ok(record(reply)?.filter(|record| record.is_live(now)))
    }

    /// One round trip, three if the record moves to another principal or a later deadline.
    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        if record.principal.is_none() {
            return self.store.update(id, expected, &record, now).await;
        }
        let store = Arc::clone(&self.store);
        self.store
            .servers
            .detached(Box::pin(async move { store.update(id, expected, &record, now).await }))
            .await
    }

    /// One round trip; the payload does not travel.
    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.store.touch(id, expires_at, now).await
    }

    /// One round trip, two with a principal.
    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let store = Arc::clone(&self.store);
        self.store.servers.detached(Box::pin(async move { store.delete(id, expected, now).await })).await
    }

    /// Nothing: the server expires records by itself.
    async fn purge_expired(&self, _now: Timestamp, _limit: usize) -> Result<Purged> {
        Ok(Purged::default())
    }

    /// Leaves damaged records out, with a warning for each. A page ends early at 4 MiB of records, and may be
    /// empty though more follow.
    ///
    /// The pages of a principal walk through its index, those of all sessions through every key of the database,
    /// once.
    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let walk = Walk::from(after.as_ref())?;
        self.store.list(principal, walk, limit, now).await
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Store { servers, writes: _, keys: _, slack: _, replicas, address } = &*self.store;
        f.debug_struct("RedisBackend")
            .field("address", address)
            .field("servers", servers)
            .field("replicas", replicas)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Store {
    pub(crate) servers: Servers,
    /// Where writes go that wait for replicas.
    pub(crate) writes: Servers,
    pub(crate) keys: Keys,
    pub(crate) slack: Duration,
    /// Those that writes wait for.
    pub(crate) replicas: Option<Replicas>,
    pub(crate) address: String,
}

impl Store {
    async fn get(&self, id: SessionId) -> Result<Value> {
        let key = self.keys.record(id);
        Ok(self.servers.send(&key, redis::cmd("GET").arg(&key)).await?)
    }

    /// Runs a script that writes. Reads have a connection of their own where writes wait for replicas: what makes
    /// writes leave a server must make reads leave it, or they would see what is no more.
    async fn write(&self, script: &Script, key: &[u8], arguments: &[&[u8]]) -> Result<Value> {
        let result = script.run(&self.writes, self.replicas, key, arguments).await;
        if self.replicas.is_some()
            && let Err(error) = &result
            && matches!(error.kind(), ErrorKind::Indeterminate | ErrorKind::Timeout | ErrorKind::Unavailable)
        {
            self.servers.look_around();
        }
        result
    }

    async fn create(&self, id: SessionId, new: &Record, now: Timestamp) -> Result<CreateOutcome> {
        let (bytes, keep) = (encode(new)?, self.keep_until(new.expires_at, now));
        self.index(id, new, now).await?;
        let arguments: [&[u8]; 3] = [&bytes, &timestamp(now), keep.as_bytes()];
        match self.write(&CREATE, &self.keys.record(id), &arguments).await? {
            Value::Int(1) => Ok(CreateOutcome::Created),
            there => Ok(CreateOutcome::Occupied(current(there)?)),
        }
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        new: &Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let (key, bytes) = (self.keys.record(id), encode(new)?);
        let (expected, keep, moment) =
            (revision(expected), self.keep_until(new.expires_at, now), timestamp(now));
        let indexed: [&[u8]; 5] = [&expected, &bytes, &moment, keep.as_bytes(), b"1"];
        let mut arguments = &indexed[..4];
        loop {
            match self.write(&UPDATE, &key, arguments).await? {
                Value::Int(0) => return Ok(UpdateOutcome::Gone),
                Value::Int(1) => return Ok(UpdateOutcome::Updated),
                Value::Int(2) if arguments.len() < indexed.len() => {
                    self.index(id, new, now).await?;
                    arguments = &indexed;
                }
                there => return Ok(UpdateOutcome::Conflict(current(there)?)),
            }
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let slack = self.slack.as_millis().to_string();
        let arguments: [&[u8]; 3] = [&timestamp(expires_at), &timestamp(now), slack.as_bytes()];
        match TOUCH.run(&self.servers, None, &self.keys.record(id), &arguments).await? {
            Value::Int(touched) => Ok(touched == 1),
            there => Err(unreadable(there)),
        }
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let expected = expected.map(revision);
        let arguments: [&[u8]; 2] = [expected.as_ref().map_or(&[], |bytes| bytes), &timestamp(now)];
        match self.write(&DELETE, &self.keys.record(id), &arguments).await? {
            Value::Int(0) => Ok(DeleteOutcome::Absent),
            Value::Int(1) => Ok(DeleteOutcome::Deleted),
            Value::Array(principal) => {
                self.forget(id, principal).await;
                Ok(DeleteOutcome::Deleted)
            }
            there => Ok(DeleteOutcome::Conflict(current(there)?)),
        }
    }

    /// Enters a session into the index of its principal, before its record is stored: a list may look at
    /// an entry without a record, but a record without an entry would escape a revocation.
    async fn index(&self, id: SessionId, new: &Record, now: Timestamp) -> Result<()> {
        match &new.principal {
            Some(principal) => Box::pin(self.enter(id, principal, new, now)).await,
            None => Ok(()),
        }
    }

    async fn enter(&self, id: SessionId, principal: &Principal, new: &Record, now: Timestamp) -> Result<()> {
        let end = new.deadline.max(new.expires_at);
        // By a clock that is ahead by less than the slack, everything up to here has ended.
        let ended = now.as_millis().saturating_sub(i64::try_from(self.slack.as_millis()).unwrap_or(i64::MAX));
        let (score, ended, keep) =
            (end.as_millis().to_string(), ended.to_string(), self.keep_until(end, now));
        let arguments: [&[u8]; 4] = [id.as_bytes(), score.as_bytes(), ended.as_bytes(), keep.as_bytes()];
        self.write(&INDEX, &self.keys.index(principal), &arguments).await.map(drop)
    }

    /// Takes a deleted session off its principal's index. If that fails the entry goes with its time.
    async fn forget(&self, id: SessionId, principal: Vec<Value>) {
        let Some(Value::BulkString(name)) = principal.into_iter().next() else { return };
        let Some(principal) = String::from_utf8(name).ok().and_then(|name| Principal::new(name).ok()) else {
            return;
        };
        let index = self.keys.index(&principal);
        let mut command = redis::cmd("ZREM");
        command.arg(&index).arg(id.as_bytes().as_slice());
        if let Err(error) = self.servers.send(&index, &command).await.map_err(Error::from) {
            tracing::debug!(%error, "a deleted session stays in the index of its principal");
        }
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        mut walk: Walk,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        if limit == 0 {
            return Ok(Listing::default());
        }
        let index = principal.map(|principal| self.keys.index(principal));
        let names = match &index {
            Some(key) => Names::Index(key, now),
            None => Names::Records(&self.keys),
        };
        let ids = walk.advance(&self.servers, &names, limit).await?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        for (number, chunk) in ids.chunks(CHUNK).enumerate() {
            if bytes >= PAGE_BYTES {
                walk.put_back(&ids[number * CHUNK..]);
                break;
            }
            let command = |id: &SessionId| {
                let key = self.keys.record(*id);
                let mut command = redis::cmd("GET");
                command.arg(&key);
                (key, command)
            };
            let replies = self.servers.send_all(chunk.iter().map(command).collect()).await?;
            for (id, reply) in chunk.iter().zip(replies) {
                let record = match reply.map_err(Error::from).and_then(record) {
                    Ok(Some(record)) => record,
                    Ok(None) => continue,
                    Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat) => {
                        tracing::warn!(?id, %error, "a list leaves out a record");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                bytes += record.meta.len() + record.data.len();
                if record.is_live(now)
                    && principal.is_none_or(|principal| record.principal.as_ref() == Some(principal))
                {
                    page.push((*id, record));
                }
            }
        }
        Ok(Listing::new(page, walk.into_cursor()))
    }

    /// How long the server keeps a key, in milliseconds: never less than the slack and 1 ms, so that the
    /// caller's clock decides what is alive.
    fn keep_until(&self, end: Timestamp, now: Timestamp) -> String {
        let life = end.saturating_duration_since(now).max(Duration::from_millis(1));
        (life + self.slack).as_millis().to_string()
    }
}

/// Records that a list reads at once.
const CHUNK: usize = 64;

/// What a page holds at most, give or take a chunk.
const PAGE_BYTES: usize = 4 << 20;

/// The record in an answer, if there is one.
fn record(reply: Value) -> Result<Option<Record>> {
    match reply {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => decode(Bytes::from(bytes)).map(Some),
        _ => Err(strange()),
    }
}

/// The record that a script found in its way.
fn current(reply: Value) -> Result<Record> {
    record(reply)?.ok_or_else(strange)
}

/// Why a script could not read what it returned.
fn unreadable(reply: Value) -> Error {
    match record(reply) {
        Ok(_) => strange(),
        Err(error) => error,
    }
}

fn strange() -> Error {
    Error::describe(ErrorKind::Internal, "the server's answer is not one of the script's")
}
