//! The real manager on a store, a clock and a generator that can be set to any state, so that a search
//! can go on from each of them.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, IdGenerator, Listing, ManualClock, OnReplay, Principal, Record,
    Result, Revision, SessionBackend, SessionId, SessionManager, SessionToken, Timestamp, UpdateOutcome,
    async_trait,
};
use sha2::{Digest as _, Sha256};

/// Half of `grace`: what the clock moves by.
pub(crate) const TICK: Duration = Duration::from_secs(15);
/// `grace` in ticks.
pub(crate) const GRACE: i64 = 2;

pub(crate) type Records = BTreeMap<u8, Record>;

/// A token by the numbers of its id and its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    pub(crate) id: u8,
    pub(crate) secret: u8,
}

impl Token {
    pub(crate) fn of(token: &SessionToken) -> Self {
        let text = token.expose();
        let secret = URL_SAFE_NO_PAD.decode(&text[23..]).unwrap();
        Self { id: number(token.id()), secret: secret[0] }
    }

    pub(crate) fn text(self) -> String {
        SessionToken::from_parts(SessionId::from_bytes([self.id; 16]), [self.secret; 32]).expose()
    }
}

fn number(id: SessionId) -> u8 {
    id.as_bytes()[0]
}

pub(crate) fn instant(tick: i64) -> Timestamp {
    let millis = 1_000_000_000_000 + tick * i64::try_from(TICK.as_millis()).unwrap();
    Timestamp::from_millis(millis).unwrap()
}

/// The bookkeeping of a record, read back as numbers: what the search compares states by.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) current: u8,
    pub(crate) issued_at: i64,
    pub(crate) replaced: Vec<(u8, bool, Option<i64>)>,
}

pub(crate) struct World {
    runtime: tokio::runtime::Runtime,
    pub(crate) manager: SessionManager,
    store: Arc<Mutex<Records>>,
    clock: ManualClock,
    ids: Numbers,
    digests: Mutex<HashMap<Vec<u8>, u8>>,
}

impl World {
    pub(crate) fn new(rotate_every: Option<i64>, on_replay: OnReplay) -> Self {
        let store = Arc::new(Mutex::new(Records::new()));
        let clock = ManualClock::new(instant(0));
        let ids = Numbers(Arc::default());
        let manager = SessionManager::builder(Forkable(store.clone()))
            .clock(clock.clone())
            .ids(ids.clone())
            .grace(TICK * u32::try_from(GRACE).unwrap())
            // Without touches, which would tell states apart that are alike.
            .idle_timeout(None)
            .rotate_every(rotate_every.map(|ticks| TICK * u32::try_from(ticks).unwrap()))
            .on_replay(on_replay)
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { runtime, manager, store, clock, ids, digests: Mutex::default() }
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn set(&self, records: &Records, now: i64, next: u8) {
        self.store.lock().unwrap().clone_from(records);
        self.clock.set(instant(now));
        self.ids.0.store(next, Ordering::SeqCst);
    }

    pub(crate) fn records(&self) -> Records {
        self.store.lock().unwrap().clone()
    }

    /// The number that the next token gets.
    pub(crate) fn next(&self) -> u8 {
        self.ids.0.load(Ordering::SeqCst)
    }

    pub(crate) fn books(&self, id: u8, record: &Record) -> Books {
        let map = rmpv::decode::read_value(&mut &record.meta[1..]).unwrap();
        let map = map.as_map().unwrap();
        let secret = |value: &rmpv::Value| self.secret(id, value.as_slice().unwrap());
        let tick = |value: &rmpv::Value| {
            (value.as_i64().unwrap() - instant(0).as_millis()) / i64::try_from(TICK.as_millis()).unwrap()
        };
        let replaced = field(map, "o").and_then(rmpv::Value::as_array).into_iter().flatten().map(|old| {
            let old = old.as_map().unwrap();
            (secret(field(old, "d").unwrap()), field(old, "p").is_some(), field(old, "u").map(tick))
        });
        Books {
            current: secret(field(map, "d").unwrap()),
            issued_at: tick(field(map, "s").unwrap()),
            replaced: replaced.collect(),
        }
    }

    /// The number of the secret that has this digest.
    fn secret(&self, id: u8, digest: &[u8]) -> u8 {
        let mut known = self.digests.lock().unwrap();
        *known.entry(digest.to_vec()).or_insert_with(|| {
            let digest_of = |secret: u8| {
                let hash = Sha256::new_with_prefix(b"skit.v1");
                hash.chain_update([id; 16]).chain_update([secret; 32]).finalize().to_vec()
            };
            (0..=u8::MAX).find(|secret| digest_of(*secret) == digest).expect("a digest of this generator")
        })
    }
}

fn field<'a>(map: &'a [(rmpv::Value, rmpv::Value)], name: &str) -> Option<&'a rmpv::Value> {
    map.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

/// Tokens 0, 1, 2 and so on.
#[derive(Clone, Debug)]
struct Numbers(Arc<AtomicU8>);

impl IdGenerator for Numbers {
    fn generate(&self) -> Result<SessionToken> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(SessionToken::from_parts(SessionId::from_bytes([number; 16]), [number; 32]))
    }
}

#[derive(Debug)]
struct Forkable(Arc<Mutex<Records>>);

impl Forkable {
    /// The live records.
    fn live(&self, now: Timestamp) -> MutexGuard<'_, Records> {
        let mut records = self.0.lock().unwrap();
        records.retain(|_, record| record.is_live(now));
        records
    }
}

#[async_trait]
impl SessionBackend for Forkable {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let mut records = self.live(now);
        if let Some(current) = records.get(&number(id)) {
            return Ok(CreateOutcome::Occupied(current.clone()));
        }
        records.insert(number(id), record);
        Ok(CreateOutcome::Created)
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        Ok(self.live(now).get(&number(id)).cloned())
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        match self.live(now).get_mut(&number(id)) {
            None => Ok(UpdateOutcome::Gone),
            Some(current) if current.revision != expected => Ok(UpdateOutcome::Conflict(current.clone())),
            Some(current) => {
                *current = record;
                Ok(UpdateOutcome::Updated)
            }
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let mut records = self.live(now);
        let record = records.get_mut(&number(id));
        Ok(record.map(|record| record.touch(expires_at, now)).is_some())
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let mut records = self.live(now);
        match records.get(&number(id)) {
            None => Ok(DeleteOutcome::Absent),
            Some(current) if expected.is_some_and(|expected| expected != current.revision) => {
                Ok(DeleteOutcome::Conflict(current.clone()))
            }
            Some(_) => {
                records.remove(&number(id));
                Ok(DeleteOutcome::Deleted)
            }
        }
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        _after: Option<Cursor>,
        _limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let records = self.live(now);
        let of = |record: &Record| principal.is_none() || record.principal.as_ref() == principal;
        let found = records.iter().filter(|(_, record)| of(record));
        let found = found.map(|(id, record)| (SessionId::from_bytes([*id; 16]), record.clone()));
        Ok(Listing::new(found.collect(), None))
    }
}
