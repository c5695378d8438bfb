//! What the tests share: a server, a prefix of one's own, ids, instants, records, and a look at the keys that does
//! not go through the driver.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult};
use session_core::{CreateOutcome, Principal, Record, Revision, SessionBackend, SessionId, Timestamp};
use session_redis::{RedisBackend, RedisConfig};

use crate::server::Server;

pub(crate) const NOW: i64 = 1_000_000;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub(crate) fn now() -> Timestamp {
    at(NOW)
}

pub(crate) fn id(number: u32) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// The first revision of a session that lives for a second and may live for ten.
pub(crate) fn record(data: &str) -> Record {
    Record::new(Revision::first(7), now(), at(NOW + 1_000), at(NOW + 10_000))
        .with_meta(&b"meta"[..])
        .with_data(data.as_bytes().to_vec())
}

pub(crate) fn principal(name: &str) -> Option<Principal> {
    Some(Principal::new(name).unwrap())
}

pub(crate) async fn create(backend: &RedisBackend, number: u32, record: Record) {
    assert_eq!(backend.create(id(number), record, now()).await.unwrap(), CreateOutcome::Created);
}

/// Where a test waits no longer for what does not come.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// With limits that no machine is too busy for.
pub(crate) fn patient(config: RedisConfig) -> RedisConfig {
    config.with_connect_timeout(LONG).with_response_timeout(LONG)
}

/// Whether tests may do without what is missing. They fail otherwise.
pub(crate) fn may_do_without(what: &str) -> bool {
    let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
    assert!(allowed, "{what} (SESSION_TEST_ALLOW_MISSING=1 to do without)");
    eprintln!("not tested: {what}");
    true
}

/// A backend under a prefix of its own, and a connection that it does not know of.
pub(crate) struct Fixture {
    pub(crate) url: String,
    pub(crate) prefix: Vec<u8>,
    pub(crate) backend: RedisBackend,
    raw: MultiplexedConnection,
}

impl Fixture {
    /// On the server that `SESSION_TEST_REDIS` names; `None` if there is none, and that is allowed.
    pub(crate) async fn shared() -> Option<Self> {
        match env::var("SESSION_TEST_REDIS") {
            Ok(url) => Some(Self::at(url, |config| config).await),
            Err(_) => {
                may_do_without("SESSION_TEST_REDIS names no server");
                None
            }
        }
    }

    /// On a server of the test's own.
    pub(crate) async fn on(server: &Server) -> Self {
        Self::at(server.url(), |config| config).await
    }

    pub(crate) async fn at(url: String, choose: impl FnOnce(RedisConfig) -> RedisConfig) -> Self {
        let prefix = fresh_prefix();
        let config = choose(patient(RedisConfig::from_url(&url).unwrap().with_prefix(prefix.clone())));
        let backend = RedisBackend::connect(config).await.unwrap();
        let raw = raw(&url).await;
        Self { url, prefix, backend, raw }
    }

    pub(crate) async fn with_prefix(&self, prefix: &[u8]) -> RedisBackend {
        let config = patient(RedisConfig::from_url(&self.url).unwrap().with_prefix(prefix));
        RedisBackend::connect(config).await.unwrap()
    }

    pub(crate) fn key(&self, number: u32) -> Vec<u8> {
        [&self.prefix[..], id(number).as_bytes()].concat()
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &str, arguments: &[&[u8]]) -> T {
        self.try_ask(command, arguments).await.unwrap()
    }

    pub(crate) async fn try_ask<T: FromRedisValue>(
        &self,
        command: &str,
        arguments: &[&[u8]],
    ) -> RedisResult<T> {
        let mut command = redis::cmd(command);
        for argument in arguments {
            command.arg(*argument);
        }
        command.query_async(&mut self.raw.clone()).await
    }

    /// The bytes behind a key, whatever its type, and how long it lives; `None` if there is no such key.
    pub(crate) async fn dump(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.ask("DUMP", &[key]).await
    }

    /// The index that is there: its key and its entries with their scores.
    pub(crate) async fn index(&self) -> Option<(Vec<u8>, Vec<(SessionId, i64)>)> {
        let mut indexes = self.keys().await;
        indexes.retain(|key| key.len() != self.prefix.len() + 16);
        assert!(indexes.len() <= 1, "more than one index");
        let key = indexes.pop()?;
        let entries: Vec<(Vec<u8>, String)> = self.ask("ZRANGE", &[&key, b"0", b"-1", b"WITHSCORES"]).await;
        let entries = entries
            .into_iter()
            .map(|(id, score)| (SessionId::from_bytes(id.try_into().unwrap()), score.parse().unwrap()));
        Some((key, entries.collect()))
    }

    /// Every key that begins with the prefix.
    pub(crate) async fn keys(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = self.ask("KEYS", &[b"*"]).await;
        all.retain(|key| key.starts_with(&self.prefix));
        all
    }

    pub(crate) async fn discard(&self) {
        for key in self.keys().await {
            self.ask::<()>("UNLINK", &[&key]).await;
        }
    }
}

pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    // The client's own limits are half a second and a second.
    let limits =
        AsyncConnectionConfig::new().set_connection_timeout(Some(LONG)).set_response_timeout(Some(LONG));
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&limits).await.unwrap()
}

/// A prefix that no other test has, in this run or another.
pub(crate) fn fresh_prefix() -> Vec<u8> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("t{}-{nanos}-{}:", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst)).into_bytes()
}
