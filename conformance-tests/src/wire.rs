//! What cases about networks work with: a driver behind a proxy, and single calls whose effect can be told from
//! their absence, whatever became of the answer.

use std::sync::Arc;
use std::time::Instant;

use rand::RngExt as _;
use session_core::{
    CreateOutcome, DeleteOutcome, Error, ErrorKind, Record, Result, SessionBackend, SessionId, Timestamp,
    UpdateOutcome,
};
use tokio::time::timeout;

use crate::check::{self, CaseResult, Failure, ensure};
use crate::context::{Context, HOUR};
use crate::network::{FaultProxy, Way};

/// A driver that reaches its server through a proxy. The case's own backend does so directly.
#[derive(Debug)]
pub(crate) struct Wire {
    ctx: Context,
    pub(crate) proxy: FaultProxy,
    pub(crate) backend: Arc<dyn SessionBackend>,
    /// A session that nothing happens to.
    steady: (SessionId, Record),
}

impl Wire {
    pub(crate) async fn new(
        ctx: Context,
        proxy: FaultProxy,
        backend: Arc<dyn SessionBackend>,
    ) -> CaseResult<Self> {
        let record = ctx.record();
        let steady = (ctx.create(&record).await?, record);
        Ok(Self { ctx, proxy, backend, steady })
    }

    /// Loads through the proxy until the driver has found its server again. It may fail until then, but not lie.
    pub(crate) async fn recovers(&self) -> CaseResult {
        let (start, (id, record)) = (Instant::now(), &self.steady);
        loop {
            match self.within(self.backend.load(*id, self.ctx.now())).await? {
                Ok(found) => return check::found(found, record, "a session that nothing happened to"),
                Err(error) => {
                    temporary(&error, "load after a fault")?;
                    ensure(start.elapsed() < self.ctx.limit(), "the driver does not find its server again")?;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Fails unless a verb answers within its driver's own limits.
    pub(crate) async fn within<T>(&self, verb: impl Future<Output = T>) -> CaseResult<T> {
        let limit = self.ctx.limit();
        timeout(limit, verb).await.map_err(|_| Failure::new(format!("no answer within {limit:?}")))
    }

    /// Connected, and with such a verb behind it.
    pub(crate) async fn warm(&self, verb: Verb) -> CaseResult {
        self.recovers().await?;
        let call = Call::prepare(&self.ctx, verb).await?;
        let result = self.within(call.run(&self.backend)).await?;
        call.check(&self.ctx, &result).await.map(drop)
    }

    /// How many bytes such a verb takes in each direction, on a connection that has seen one.
    pub(crate) async fn cost(&self, verb: Verb) -> CaseResult<[(Way, u64); 2]> {
        self.warm(verb).await?;
        let before = self.proxy.traffic();
        self.warm_again(verb).await?;
        let after = self.proxy.traffic();
        Ok([
            (Way::Requests, after.requests - before.requests),
            (Way::Replies, after.replies - before.replies),
        ])
    }

    async fn warm_again(&self, verb: Verb) -> CaseResult {
        let call = Call::prepare(&self.ctx, verb).await?;
        let result = self.within(call.run(&self.backend)).await?;
        call.check(&self.ctx, &result).await.map(drop)
    }
}

/// Fails unless an error says that the store was out of reach, for now.
#[track_caller]
pub(crate) fn temporary(error: &Error, what: &str) -> CaseResult {
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Overloaded];
    ensure(kinds.contains(&error.kind()), format!("{what}: not an error of the network: {error:?}"))
}

/// `count` places in a row of `bytes`, or all if there are fewer: as evenly as an offset from the seed allows.
pub(crate) fn places(ctx: &Context, bytes: u64, count: usize) -> Vec<u64> {
    let step = bytes.div_ceil(count as u64).max(1);
    let first = ctx.rng().random_range(0..step);
    (first..bytes).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Load,
    Update,
    Touch,
    Delete,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] = [Self::Create, Self::Load, Self::Update, Self::Touch, Self::Delete];
}

/// One verb of one session that no other call is about.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) id: SessionId,
    /// What is stored if it has not happened.
    before: Option<Record>,
    /// What is stored if it has.
    after: Option<Record>,
    /// What it is given.
    record: Record,
    now: Timestamp,
}

/// What a verb has answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Create(CreateOutcome),
    Load(Option<Record>),
    Update(UpdateOutcome),
    Touch(bool),
    Delete(DeleteOutcome),
}

impl Call {
    /// Such a call, with whatever it needs already stored.
    pub(crate) async fn prepare(ctx: &Context, verb: Verb) -> CaseResult<Self> {
        let old = ctx.record();
        let now = ctx.now();
        if verb == Verb::Create {
            return Ok(Self { verb, id: ctx.id(), before: None, after: Some(old.clone()), record: old, now });
        }
        let id = ctx.create(&old).await?;
        let mut record = ctx.successor(&old);
        let after = match verb {
            Verb::Update => Some(record.clone()),
            Verb::Touch => {
                record = old.clone();
                record.touch(old.expires_at.saturating_add(HOUR), now);
                Some(record.clone())
            }
            Verb::Delete => None,
            Verb::Create | Verb::Load => Some(old.clone()),
        };
        Ok(Self { verb, id, before: Some(old), after, record, now })
    }

    /// Makes it.
    pub(crate) fn run(
        &self,
        backend: &Arc<dyn SessionBackend>,
    ) -> impl Future<Output = Result<Answer>> + Send + 'static {
        let (backend, call) = (backend.clone(), self.clone());
        async move {
            let (id, record, now) = (call.id, call.record, call.now);
            Ok(match call.verb {
                Verb::Create => Answer::Create(backend.create(id, record, now).await?),
                Verb::Load => Answer::Load(backend.load(id, now).await?),
                Verb::Update => {
                    let expected = call.before.map_or(record.revision, |before| before.revision);
                    Answer::Update(backend.update(id, expected, record, now).await?)
                }
                Verb::Touch => Answer::Touch(backend.touch(id, record.expires_at, now).await?),
                Verb::Delete => Answer::Delete(backend.delete(id, None, now).await?),
            })
        }
    }

    /// Fails unless the answer is true, or an error that a network excuses, and what is stored is whole and agrees
    /// with it. Whether the call has happened.
    pub(crate) async fn check(&self, ctx: &Context, answer: &Result<Answer>) -> CaseResult<bool> {
        let happened = self.look(ctx).await?;
        match answer {
            Err(error) => {
                temporary(error, &format!("{:?}", self.verb))?;
                let denied = error.kind() == ErrorKind::Overloaded && happened && self.before != self.after;
                ensure(!denied, format!("{:?}: Overloaded, and yet it has happened", self.verb))?;
            }
            Ok(answer) => {
                self.check_answer(answer)?;
                ensure(happened, format!("{:?}: {answer:?}, and yet it has not happened", self.verb))?;
            }
        }
        Ok(happened)
    }

    fn check_answer(&self, answer: &Answer) -> CaseResult {
        match answer {
            Answer::Create(outcome) => check::created(outcome.clone()),
            Answer::Load(Some(found)) if Some(found) == self.before.as_ref() => Ok(()),
            // A client may send an update again that it has no answer to; the core recognises it.
            Answer::Update(UpdateOutcome::Conflict(current)) => {
                check::same(current, &self.record, "the Conflict of an update of its own")
            }
            Answer::Update(outcome) => check::updated(outcome.clone()),
            Answer::Touch(true) => Ok(()),
            Answer::Delete(DeleteOutcome::Deleted | DeleteOutcome::Absent) => Ok(()),
            other => Err(Failure::new(format!("an answer that nothing excuses: {other:?}"))),
        }
    }

    /// Fails unless the session is as it was or as the call leaves it. Whether the call has happened.
    pub(crate) async fn look(&self, ctx: &Context) -> CaseResult<bool> {
        let found = ctx.backend().load(self.id, self.now).await?;
        let known = found == self.before || found == self.after;
        ensure(known, format!("{:?}: neither as before nor as after it: {found:?}", self.verb))?;
        Ok(found == self.after)
    }
}
