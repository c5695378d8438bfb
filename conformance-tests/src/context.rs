//! What the body of a case works with: a fresh namespace, a clock that stands still, a seeded generator.

use std::future::Future;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use session_core::{
    Clock as _, ManualClock, Principal, Record, Result, Revision, SessionBackend, SessionId, Timestamp,
};

use crate::check::{self, CaseResult, Failure};
use crate::harness::{Damage, Harness};
use crate::network::FaultProxy;
use crate::process::{Process, Role};
use crate::recorder::{Recorder, Steps};
use crate::wire::Wire;

/// Where each case's clock starts: in 2001, so that a driver that asks its store for the time finds every
/// session expired.
pub(crate) const START: Timestamp = match Timestamp::from_millis(1_000_000_000_000) {
    Some(start) => start,
    None => Timestamp::MIN,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How much a case with many rounds does: all of them, or as many as show a broken backend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effort {
    Full,
    Brief,
}

/// What the bodies of cases work with, and how it is made of what is under test.
pub(crate) trait Ground: Clone + Send + Sync + 'static {
    /// What is under test.
    type Subject: ?Sized + Send + Sync + 'static;

    fn open(
        subject: Arc<Self::Subject>,
        seed: u64,
        steps: Steps,
        effort: Effort,
    ) -> impl Future<Output = Result<Self>> + Send;

    /// Removes what the case has opened.
    fn discard(&self) -> impl Future<Output = ()> + Send;
}

/// Everything that a case may touch. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    harness: Arc<dyn Harness>,
    namespaces: Mutex<Vec<String>>,
    backend: Arc<dyn SessionBackend>,
    clock: ManualClock,
    rng: Mutex<StdRng>,
    steps: Steps,
    effort: Effort,
}

impl Ground for Context {
    type Subject = dyn Harness;

    /// Opens a namespace of its own.
    async fn open(harness: Arc<dyn Harness>, seed: u64, steps: Steps, effort: Effort) -> Result<Self> {
        // From the operating system: a run with an old seed must not meet that run's sessions.
        let namespace = format!("c{:016x}", rand::random::<u64>());
        let backend = harness.open(&namespace).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                harness,
                namespaces: Mutex::new(vec![namespace]),
                backend: Arc::new(Recorder::new("", backend, steps.clone())),
                clock: ManualClock::new(START),
                rng: Mutex::new(StdRng::seed_from_u64(seed)),
                steps,
                effort,
            }),
        })
    }

    async fn discard(&self) {
        let namespaces = lock(&self.shared.namespaces).clone();
        for namespace in namespaces {
            self.shared.harness.discard(&namespace).await;
        }
    }
}

impl Context {
    /// The driver, on the case's own namespace.
    pub(crate) fn backend(&self) -> Arc<dyn SessionBackend> {
        self.shared.backend.clone()
    }

    /// The driver and what it promises.
    pub(crate) fn harness(&self) -> Arc<dyn Harness> {
        self.shared.harness.clone()
    }

    /// The name of the case's own namespace.
    pub(crate) fn namespace(&self) -> String {
        lock(&self.shared.namespaces).first().cloned().unwrap_or_default()
    }

    /// The driver once more on the case's own namespace, as another process would open it.
    pub(crate) async fn second_handle(&self) -> CaseResult<Arc<dyn SessionBackend>> {
        let backend = self.shared.harness.second_handle(&self.namespace()).await?;
        let backend = backend.ok_or_else(|| Failure::new("the harness opens no second handle"))?;
        Ok(Arc::new(Recorder::new("second handle: ", backend, self.shared.steps.clone())))
    }

    /// The driver once more on the case's own namespace, through a proxy.
    pub(crate) async fn wire(&self) -> CaseResult<Wire> {
        let server = self.shared.harness.server().await?;
        let server = server.ok_or_else(|| Failure::new("the harness names no server"))?;
        let proxy = FaultProxy::start(server).await?;
        let backend = self.open_through(&proxy).await?;
        Wire::new(self.clone(), proxy, backend).await
    }

    /// The driver on the case's own namespace, through this proxy.
    pub(crate) async fn open_through(&self, proxy: &FaultProxy) -> CaseResult<Arc<dyn SessionBackend>> {
        let backend = self.shared.harness.open_through(&self.namespace(), proxy.address()).await?;
        let backend = backend.ok_or_else(|| Failure::new("the harness opens nothing through a proxy"))?;
        Ok(Arc::new(Recorder::new("through the proxy: ", backend, self.shared.steps.clone())))
    }

    /// The program under test, to be started on the same store.
    pub(crate) fn command(&self) -> CaseResult<Command> {
        let command = self.shared.harness.process();
        command.ok_or_else(|| Failure::new("the harness starts no other process"))
    }

    /// A process that does this with sessions of the case's own namespace.
    pub(crate) fn process(&self, role: Role, ids: &[SessionId]) -> CaseResult<Process> {
        Process::start(self.command()?, role, &self.namespace(), ids)
    }

    /// Another namespace, which somebody else will open, to be discarded at the end.
    pub(crate) fn reserve(&self, namespace: &str) -> String {
        lock(&self.shared.namespaces).push(namespace.to_owned());
        namespace.to_owned()
    }

    /// The driver on another namespace, by its exact name.
    pub(crate) async fn open_other(&self, namespace: &str) -> CaseResult<Arc<dyn SessionBackend>> {
        lock(&self.shared.namespaces).push(namespace.to_owned());
        let backend = self.shared.harness.open(namespace).await?;
        Ok(Arc::new(Recorder::new("other namespace: ", backend, self.shared.steps.clone())))
    }

    /// The driver on another namespace, with another slack of the store's own expiry.
    pub(crate) async fn open_with_slack(
        &self,
        namespace: &str,
        slack: Duration,
    ) -> CaseResult<Arc<dyn SessionBackend>> {
        lock(&self.shared.namespaces).push(namespace.to_owned());
        let backend = self.shared.harness.open_with_slack(namespace, slack).await?;
        let backend = backend.ok_or_else(|| Failure::new("the harness opens none with another slack"))?;
        Ok(Arc::new(Recorder::new("with slack: ", backend, self.shared.steps.clone())))
    }

    /// Spoils a record of the case's own namespace.
    pub(crate) async fn damage(&self, id: SessionId, damage: Damage) -> CaseResult {
        let damaged = self.shared.harness.damage(&self.namespace(), id, damage).await?;
        check::equal(damaged, Some(true), "whether the harness damaged the record")
    }

    /// Everything that is stored in the case's own namespace.
    pub(crate) async fn scan(&self) -> CaseResult<Vec<Bytes>> {
        let pieces = self.shared.harness.scan(&self.namespace()).await?;
        pieces.ok_or_else(|| Failure::new("the harness shows nothing of what is stored"))
    }

    /// How much real time a slow case lets pass, of `full`.
    pub(crate) fn real_time(&self, full: Duration) -> Duration {
        match self.shared.effort {
            Effort::Full => full,
            Effort::Brief => full / 25,
        }
    }

    /// The hands of the case's clock.
    pub(crate) fn clock(&self) -> &ManualClock {
        &self.shared.clock
    }

    /// What the case's clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// How long anything may take that is expected to happen: only a failing case waits for its end.
    pub(crate) fn patience(&self) -> Duration {
        match self.shared.effort {
            Effort::Full => Duration::from_secs(30),
            Effort::Brief => Duration::from_secs(5),
        }
    }

    /// What a verb over a broken network may take: the driver's own limits, and a generous minute.
    pub(crate) fn limit(&self) -> Duration {
        match self.shared.effort {
            Effort::Full => Duration::from_secs(75),
            Effort::Brief => Duration::from_secs(8),
        }
    }

    /// A generator of its own for each call; together they follow from the seed.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(lock(&self.shared.rng).next_u64())
    }

    /// `full` rounds, or as many as the effort allows.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        match self.shared.effort {
            Effort::Full => full,
            Effort::Brief => (full / 10).clamp(3, 25),
        }
    }

    /// `full` sessions, or as many as the effort allows: what fills pages.
    pub(crate) fn sessions(&self, full: usize) -> usize {
        match self.shared.effort {
            Effort::Full => full,
            Effort::Brief => full / 4,
        }
    }

    /// `full` steps, or as many as the effort allows: what looks at random for what is rare.
    pub(crate) fn steps(&self, full: usize) -> usize {
        match self.shared.effort {
            Effort::Full => full,
            Effort::Brief => full / 5,
        }
    }

    /// An id that nobody has.
    pub(crate) fn id(&self) -> SessionId {
        SessionId::from_bytes(self.rng().random())
    }

    /// A record without principal that lives for an hour of at most a day. Its contents are plain text, so
    /// that a driver that spoils bytes fails the cases about bytes and no others.
    pub(crate) fn record(&self) -> Record {
        let (mut rng, now) = (self.rng(), self.now());
        let (expires_at, deadline) = (now.saturating_add(HOUR), now.saturating_add(DAY));
        let meta = format!("meta-{:032x}", rng.random::<u128>());
        let data = format!("data-{:032x}{:032x}", rng.random::<u128>(), rng.random::<u128>());
        Record::new(Revision::first(self.rng().random()), now, expires_at, deadline)
            .with_meta(meta)
            .with_data(data)
    }

    /// The record of somebody.
    pub(crate) fn record_of(&self, principal: &str) -> CaseResult<Record> {
        Ok(self.record().with_principal(Some(Principal::new(principal)?)))
    }

    /// What an update would make of `record`: the next revision, other contents, the same times.
    pub(crate) fn successor(&self, record: &Record) -> Record {
        let fresh = self.record();
        let mut next = record.clone().with_meta(fresh.meta).with_data(fresh.data);
        next.revision = record.revision.next(self.rng().random());
        next
    }

    /// Creates a session, now.
    pub(crate) async fn create(&self, record: &Record) -> CaseResult<SessionId> {
        let id = self.id();
        check::created(self.backend().create(id, record.clone(), self.now()).await?)?;
        Ok(id)
    }

    /// Fails unless the session is live now and is exactly `record`.
    pub(crate) async fn expect(&self, id: SessionId, record: &Record, what: &str) -> CaseResult {
        check::found(self.backend().load(id, self.now()).await?, record, what)
    }

    /// Fails unless there is no such session now.
    pub(crate) async fn expect_none(&self, id: SessionId, what: &str) -> CaseResult {
        check::missing(self.backend().load(id, self.now()).await?, what)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
