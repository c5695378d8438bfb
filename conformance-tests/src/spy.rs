//! A backend between the core and the driver: it counts the verbs, and at a verb that a case names it
//! acts as a network would, or lets another request in first.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Listing, Operation, Principal, Purged, Record, Result,
    Revision, SessionBackend, SessionId, Timestamp, UpdateOutcome,
};

/// How often each verb was called; `load_latest` is a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) create: usize,
    pub(crate) load: usize,
    pub(crate) update: usize,
    pub(crate) touch: usize,
    pub(crate) delete: usize,
    pub(crate) list: usize,
    pub(crate) purge: usize,
}

/// The wrapper. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Spy {
    inner: Arc<dyn SessionBackend>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    calls: Calls,
    /// What happens at the next calls of a verb, in this order.
    acts: VecDeque<(Operation, Act)>,
    /// Runs before each call of the verb.
    always: Option<(Operation, Arc<dyn Fn() -> Running + Send + Sync>)>,
    /// What every verb fails with.
    broken: Option<ErrorKind>,
    /// Whether lists come in another order, with a session on them twice.
    shuffles: bool,
    /// Verbs on their way, which the core was told have failed.
    postponed: Vec<Running>,
}

type Running<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Act {
    /// This runs first.
    Before(Running),
    /// This runs once the store has answered, before the core hears of it.
    After(Running),
    /// The verb does its work, and then the answer is lost.
    LoseReply(ErrorKind),
    /// The verb never reaches the store.
    Refuse(ErrorKind),
    /// The verb is reported as failed now, and reaches the store later.
    Postpone(ErrorKind),
    /// A client below the driver sends it twice, with this between, and reports the second answer.
    Resend(Running),
}

impl Spy {
    pub(crate) fn new(inner: Arc<dyn SessionBackend>) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Calls {
        std::mem::take(&mut self.lock().calls)
    }

    /// Lets `other` happen between the core's next `operation` and the store.
    pub(crate) fn before(&self, operation: Operation, other: impl Future<Output = ()> + Send + 'static) {
        self.act(operation, Act::Before(Box::pin(other)));
    }

    /// Lets `other` happen between the store's answer to the next `operation` and the core.
    pub(crate) fn after(&self, operation: Operation, other: impl Future<Output = ()> + Send + 'static) {
        self.act(operation, Act::After(Box::pin(other)));
    }

    /// Lets something happen before every `operation` from now on.
    pub(crate) fn before_each<F>(&self, operation: Operation, other: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.lock().always = Some((operation, Arc::new(move || Box::pin(other()))));
    }

    /// Answers lists from now on as a store without an order does: another one each, and some sessions twice.
    pub(crate) fn shuffle_lists(&self) {
        self.lock().shuffles = true;
    }

    /// Lets every verb fail from now on, before it reaches the store.
    pub(crate) fn break_down(&self, kind: ErrorKind) {
        self.lock().broken = Some(kind);
    }

    pub(crate) fn recover(&self) {
        self.lock().broken = None;
    }

    pub(crate) fn lose_reply(&self, operation: Operation, kind: ErrorKind) {
        self.act(operation, Act::LoseReply(kind));
    }

    pub(crate) fn refuse(&self, operation: Operation, kind: ErrorKind) {
        self.act(operation, Act::Refuse(kind));
    }

    pub(crate) fn postpone(&self, operation: Operation, kind: ErrorKind) {
        self.act(operation, Act::Postpone(kind));
    }

    pub(crate) fn resend(&self, operation: Operation, between: impl Future<Output = ()> + Send + 'static) {
        self.act(operation, Act::Resend(Box::pin(between)));
    }

    /// Lets what was postponed reach the store now.
    pub(crate) async fn land(&self) {
        let postponed = std::mem::take(&mut self.lock().postponed);
        for verb in postponed {
            verb.await;
        }
    }

    /// How many acts have not happened yet: a case that means to meet them ends with none.
    pub(crate) fn acts_left(&self) -> usize {
        self.lock().acts.len()
    }

    fn act(&self, operation: Operation, act: Act) {
        self.lock().acts.push_back((operation, act));
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        verb: impl Fn(Arc<dyn SessionBackend>) -> Running<Result<T>> + Send + Sync,
    ) -> Result<T> {
        let (always, act) = {
            let mut shared = self.lock();
            shared.calls.count(operation);
            if let Some(kind) = shared.broken {
                return Err(kind.into());
            }
            let always = shared.always.as_ref().filter(|(which, _)| *which == operation);
            let always = always.map(|(_, other)| other.clone());
            let index = shared.acts.iter().position(|(which, _)| *which == operation);
            (always, index.and_then(|index| shared.acts.remove(index)).map(|(_, act)| act))
        };
        if let Some(other) = always {
            other().await;
        }
        let send = || verb(self.inner.clone());
        match act {
            None => send().await,
            Some(Act::Before(other)) => {
                other.await;
                send().await
            }
            Some(Act::After(other)) => {
                let answer = send().await;
                other.await;
                answer
            }
            Some(Act::LoseReply(kind)) => {
                send().await?;
                Err(kind.into())
            }
            Some(Act::Refuse(kind)) => Err(kind.into()),
            Some(Act::Postpone(kind)) => {
                let late = send();
                self.lock().postponed.push(Box::pin(async move {
                    // Nobody is there to be told.
                    let _ = late.await;
                }));
                Err(kind.into())
            }
            Some(Act::Resend(between)) => {
                send().await?;
                between.await;
                send().await
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn count(&mut self, operation: Operation) {
        let counter = match operation {
            Operation::Create => &mut self.create,
            Operation::Update => &mut self.update,
            Operation::Touch => &mut self.touch,
            Operation::Delete => &mut self.delete,
            Operation::List => &mut self.list,
            Operation::PurgeExpired => &mut self.purge,
            _ => &mut self.load,
        };
        *counter += 1;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionBackend for Spy {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            let record = record.clone();
            Box::pin(async move { inner.create(id, record, now).await })
        };
        self.run(Operation::Create, verb).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            Box::pin(async move { inner.load(id, now).await })
        };
        self.run(Operation::Load, verb).await
    }

    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            Box::pin(async move { inner.load_latest(id, now).await })
        };
        self.run(Operation::Load, verb).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            let record = record.clone();
            Box::pin(async move { inner.update(id, expected, record, now).await })
        };
        self.run(Operation::Update, verb).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            Box::pin(async move { inner.touch(id, expires_at, now).await })
        };
        self.run(Operation::Touch, verb).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            Box::pin(async move { inner.delete(id, expected, now).await })
        };
        self.run(Operation::Delete, verb).await
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            Box::pin(async move { inner.purge_expired(now, limit).await })
        };
        self.run(Operation::PurgeExpired, verb).await
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let principal = principal.cloned();
        let verb = move |inner: Arc<dyn SessionBackend>| -> Running<_> {
            let (principal, after) = (principal.clone(), after.clone());
            Box::pin(async move { inner.list(principal.as_ref(), after, limit, now).await })
        };
        let mut listing = self.run(Operation::List, verb).await?;
        if self.lock().shuffles {
            listing.sessions.reverse();
            listing.sessions.extend_from_within(..1.min(listing.sessions.len()));
        }
        Ok(listing)
    }
}

impl fmt::Debug for Spy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spy").field("inner", &self.inner).finish_non_exhaustive()
    }
}
