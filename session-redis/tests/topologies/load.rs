//! Many sessions, each updated by one writer, who keeps account of what was acknowledged and when.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use session_core::{
    CreateOutcome, Error, ErrorKind, Record, Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome,
};
use session_redis::{RedisBackend, RedisConfig};
use tokio::task::JoinSet;

/// Limits that bound an attempt, though not one that a busy machine exceeds.
pub(crate) fn patient(config: RedisConfig) -> RedisConfig {
    config.with_connect_timeout(Duration::from_secs(10)).with_response_timeout(Duration::from_secs(30))
}

/// A prefix that no other test has, in this run or another.
pub(crate) fn fresh_prefix() -> Vec<u8> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("t{}-{nanos}-{}:", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst)).into_bytes()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_000_000).unwrap()
}

pub(crate) fn id(number: usize) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// A session that lives for a day.
pub(crate) fn record(data: impl Into<Vec<u8>>) -> Record {
    let end = Timestamp::from_millis(1_000_000 + 24 * 60 * 60 * 1000).unwrap();
    Record::new(Revision::first(7), now(), end, end).with_data(data.into())
}

/// The number that a session counts to.
pub(crate) fn count(record: &Record) -> u64 {
    std::str::from_utf8(&record.data).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// An update that was acknowledged and is not there.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) acknowledged: Instant,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

struct Shared {
    backend: RedisBackend,
    is_over: AtomicBool,
    acknowledged: AtomicUsize,
    failures: Mutex<Vec<Error>>,
    losses: Mutex<Vec<Loss>>,
    sessions: Vec<Mutex<Account>>,
}

/// What the writer of a session knows.
#[derive(Clone)]
struct Account {
    record: Record,
    /// When `record` was acknowledged.
    at: Instant,
}

impl Load {
    /// Stores the sessions, and then updates them in turns until [`finish`](Self::finish).
    pub(crate) async fn start(backend: &RedisBackend, sessions: usize, writers: usize) -> Self {
        Self::start_with(backend, sessions, writers, &[]).await
    }

    /// The same; every other update is one of the `hot` sessions.
    pub(crate) async fn start_with(
        backend: &RedisBackend,
        sessions: usize,
        writers: usize,
        hot: &[usize],
    ) -> Self {
        let first = record("0");
        let account = || Mutex::new(Account { record: first.clone(), at: Instant::now() });
        let shared = Arc::new(Shared {
            backend: backend.clone(),
            is_over: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            failures: Mutex::default(),
            losses: Mutex::default(),
            sessions: (0..sessions).map(|_| account()).collect(),
        });
        let mut creators = JoinSet::new();
        for writer in 0..writers {
            let (shared, first) = (shared.clone(), first.clone());
            creators.spawn(async move {
                for session in (writer..sessions).step_by(writers) {
                    let outcome = shared.backend.create(id(session), first.clone(), now()).await.unwrap();
                    assert_eq!(outcome, CreateOutcome::Created);
                }
            });
        }
        creators.join_all().await;
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let shared = shared.clone();
            let hot: Vec<usize> = hot.iter().copied().filter(|session| session % writers == writer).collect();
            tasks.spawn(async move {
                let mut hot = hot.iter().cycle();
                while !shared.is_over.load(Ordering::SeqCst) {
                    for session in (writer..shared.sessions.len()).step_by(writers) {
                        if shared.is_over.load(Ordering::SeqCst) {
                            return;
                        }
                        shared.update(session).await;
                        if let Some(session) = hot.next() {
                            shared.update(*session).await;
                        }
                    }
                }
            });
        }
        Self { shared, writers: tasks }
    }

    /// Waits for so many more acknowledged updates.
    pub(crate) async fn until_acknowledged(&self, more: usize) {
        let wanted = self.shared.acknowledged.load(Ordering::SeqCst) + more;
        crate::node::until("updates are acknowledged", async || {
            self.shared.acknowledged.load(Ordering::SeqCst) >= wanted
        })
        .await;
    }

    /// Waits until each of these sessions has an update that was acknowledged after `since`.
    pub(crate) async fn until_all_are_updated(&self, sessions: &[usize], since: Instant) {
        let is_new = |session: &usize| self.shared.sessions[*session].lock().unwrap().at > since;
        crate::node::until("every session is updated again", async || sessions.iter().all(is_new)).await;
    }

    /// Ends the writers; what was lost. Looks at every session once more.
    pub(crate) async fn finish(mut self) -> Outcome {
        self.shared.is_over.store(true, Ordering::SeqCst);
        while let Some(writer) = self.writers.join_next().await {
            writer.unwrap();
        }
        for session in 0..self.shared.sessions.len() {
            self.shared.look(session).await;
        }
        let acknowledged = self.shared.acknowledged.load(Ordering::SeqCst);
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap());
        let losses = std::mem::take(&mut *self.shared.losses.lock().unwrap());
        Outcome { acknowledged, failures, losses }
    }
}

pub(crate) struct Outcome {
    pub(crate) acknowledged: usize,
    pub(crate) failures: Vec<Error>,
    pub(crate) losses: Vec<Loss>,
}

impl Shared {
    /// One update. What fails is looked at, as a manager would.
    async fn update(&self, session: usize) {
        let known = self.sessions[session].lock().unwrap().clone();
        let mut next = record((count(&known.record) + 1).to_string());
        next.revision = known.record.revision.next(1);
        match self.backend.update(id(session), known.record.revision, next.clone(), now()).await {
            Ok(UpdateOutcome::Updated) => {
                *self.sessions[session].lock().unwrap() = Account { record: next, at: Instant::now() };
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(UpdateOutcome::Conflict(_) | UpdateOutcome::Gone) => self.look(session).await,
            Err(error) => {
                let kind = error.kind();
                let expected =
                    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Indeterminate);
                assert!(expected, "{error:?}");
                self.failures.lock().unwrap().push(error);
                self.look(session).await;
            }
        }
    }

    /// Compares what is stored with what was acknowledged, and goes on from there.
    async fn look(&self, session: usize) {
        let known = self.sessions[session].lock().unwrap().clone();
        let deadline = Instant::now() + crate::node::LONG;
        let stored = loop {
            match self.backend.load(id(session), now()).await {
                Ok(stored) => break stored,
                Err(error) => {
                    assert!(Instant::now() < deadline, "{error:?}");
                    self.failures.lock().unwrap().push(error);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        let is_lost = stored.as_ref().is_none_or(|stored| count(stored) < count(&known.record));
        if is_lost {
            self.losses.lock().unwrap().push(Loss { acknowledged: known.at });
        }
        match stored {
            // An update without an answer may have landed: at most the one after the last.
            Some(stored) => {
                assert!(count(&stored) <= count(&known.record) + 1, "an update has landed twice");
                self.sessions[session].lock().unwrap().record = stored;
            }
            None => {
                let outcome = self.backend.create(id(session), known.record.clone(), now()).await;
                drop(outcome);
            }
        }
    }
}
