//! Commit: brings what a request wants to the store, by compare-and-set, and again on newer
//! values when another request was first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::change::replay;
use crate::contention::Turn;
use crate::meta::{Landed, Meta};
use crate::session::Committed;
use crate::session::state::{Base, Origin, Work};
use crate::values::Document;
use crate::{
    CreateOutcome, DeleteOutcome, Error, ErrorKind, Record, Result, Revision, SessionManager, Timestamp,
    UpdateOutcome,
};

/// No new attempt starts after this.
const TIME_BOUND: Duration = Duration::from_secs(2);
/// How many fresh ids a create tries.
const CREATE_ATTEMPTS: usize = 4;
/// The longest pause between two attempts that lost against another process.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// Commits `work`; what it leaves in there after a failure may be committed again.
pub(crate) async fn commit(manager: &SessionManager, work: &mut Work) -> Result<(Origin, Committed)> {
    if let Some(base) = &work.ending {
        work.ended |= end(manager, base).await?;
        work.ending = None;
    }
    match work.origin.clone() {
        Origin::Live(base) if work.wants_update(&base)? => Update::new(manager, work).run(base).await,
        Origin::Live(base) => {
            touch_if_due(manager, &base).await;
            Ok((Origin::Live(base), Committed::Unchanged))
        }
        Origin::New if work.wants_create() => create(manager, work).await,
        origin @ (Origin::New | Origin::Superseded) => {
            let committed = if work.ended { Committed::ClearToken } else { Committed::Unchanged };
            Ok((origin, committed))
        }
    }
}

impl Work {
    /// Nothing is stored before there is something to store (OWASP ASVS 7.6.2).
    fn wants_create(&self) -> bool {
        !self.document.is_empty() || self.intent.sign_in.is_some()
    }

    fn wants_update(&self, base: &Base) -> Result<bool> {
        Ok(!self.attempts.revisions.is_empty()
            || self.intent.rotates()
            // Values that nobody changed are not looked at: they may be damaged.
            || (!self.changes.is_empty() && !self.document.same_values(&base.document)?))
    }

    /// Whether there is anything that a commit would send to the store.
    pub(crate) fn is_idle(&self, now: Timestamp) -> Result<bool> {
        Ok(self.ending.is_none()
            && match &self.origin {
                Origin::Live(base) => !self.wants_update(base)? && !base.touch_is_due(now),
                Origin::New => !self.wants_create(),
                Origin::Superseded => true,
            })
    }
}

impl Base {
    fn touch_is_due(&self, now: Timestamp) -> bool {
        self.meta.lifetime.touch_is_due(self.record.touched_at, now)
    }
}

/// Ends a session; whether it was this call that did.
///
/// Passes the revision: a slow request with a token that has been replaced since cannot end the session
/// of whoever signed in meanwhile.
async fn end(manager: &SessionManager, base: &Base) -> Result<bool> {
    let mut expected = base.record.revision;
    let deadline = Instant::now() + TIME_BOUND;
    loop {
        match manager.store().delete(base.id(), Some(expected), manager.now()).await? {
            DeleteOutcome::Deleted => return Ok(true),
            // Somebody else did, and the browser may hold a newer cookie by now.
            DeleteOutcome::Absent => return Ok(false),
            DeleteOutcome::Conflict(current) => {
                refuse_if_stale(base, &Meta::decode(&current.meta)?)?;
                expected = current.revision;
            }
        }
        if Instant::now() >= deadline {
            return Err(ErrorKind::Contended.into());
        }
    }
}

async fn touch_if_due(manager: &SessionManager, base: &Base) {
    let now = manager.now();
    if !base.touch_is_due(now) {
        return;
    }
    let expires_at = base.meta.lifetime.expires_at(now, base.record.deadline);
    // The request has its answer; a touch that is missed is made up by the next one.
    if let Err(error) = manager.store().touch(base.id(), expires_at, now).await {
        tracing::warn!(id = ?base.id(), %error, "could not touch a session");
    }
}

async fn create(manager: &SessionManager, work: &mut Work) -> Result<(Origin, Committed)> {
    for _ in 0..CREATE_ATTEMPTS {
        // Never twice with one id: a copy that lands late could revive a session that was ended.
        let token = manager.ids().generate()?;
        let now = manager.now();
        let lifetime = manager.settings().lifetime;
        let deadline = lifetime.deadline(now);
        let mut meta = Meta::new(token.digest(), lifetime, now);
        meta.authenticated_at = work.intent.sign_in.is_some().then_some(now);
        let revision = Revision::first(rand::random());
        let record = Record::new(revision, now, lifetime.expires_at(now, deadline), deadline)
            .with_principal(work.intent.sign_in.clone())
            .with_meta(meta.encode()?)
            .with_data(work.document.to_json());
        check_size(manager, &record, None)?;
        match manager.store().create(token.id(), record.clone(), now).await? {
            CreateOutcome::Created => {}
            // A client below the driver sent it again after the first copy had landed.
            CreateOutcome::Occupied(current) if current.revision == revision => {}
            CreateOutcome::Occupied(_) => continue,
        }
        let committed =
            Committed::SetToken { token: token.clone(), max_age: lifetime.max_age(now, deadline) };
        return Ok((Origin::Live(Base::new(token, record, meta)), committed));
    }
    Err(Error::describe(ErrorKind::Internal, "the id generator repeats itself"))
}

/// An update of a stored session, over as many attempts as it takes.
struct Update<'a> {
    manager: &'a SessionManager,
    work: &'a mut Work,
    deadline: Instant,
    turn: Option<Turn>,
    lost: u32,
}

impl<'a> Update<'a> {
    fn new(manager: &'a SessionManager, work: &'a mut Work) -> Self {
        Self { manager, work, deadline: Instant::now() + TIME_BOUND, turn: None, lost: 0 }
    }

    async fn run(mut self, opened: Arc<Base>) -> Result<(Origin, Committed)> {
        if self.work.intent.rotates() && self.work.attempts.fresh.is_none() {
            self.work.attempts.fresh = Some(self.manager.ids().generate()?.with_id(opened.id()));
        }
        let mut base = opened.clone();
        let mut document = self.work.document.clone();
        loop {
            let now = self.manager.now();
            let (record, meta) = self.next_record(&base, &document, now)?;
            self.work.attempts.revisions.push(record.revision);
            let sent =
                self.manager.store().update(base.id(), base.record.revision, record.clone(), now).await;
            let current = match sent {
                Ok(UpdateOutcome::Updated) => return Ok(self.done(&base, record, meta)),
                Ok(UpdateOutcome::Gone) => {
                    self.work.attempts.revisions.clear();
                    return Err(ErrorKind::Gone.into());
                }
                Ok(UpdateOutcome::Conflict(current)) => current,
                Err(error) => return self.look_after(error, &base).await,
            };
            let meta = Meta::decode(&current.meta)?;
            // This one is answered, and can only have landed if a client below the driver sent it twice.
            let tried = self.work.attempts.revisions.pop();
            let landed = tried.is_some_and(|tried| meta.landed(current.revision, tried) == Landed::Yes);
            if landed || self.has_landed(&current, &meta)? {
                return Ok(self.done(&base, current, meta));
            }
            // Where the session has as many writes already, what they expect is gone for good. A later
            // attempt of an earlier commit may still arrive.
            self.work.attempts.revisions.retain(|tried| tried.sequence() > current.revision.sequence());
            let current = self.wait_turn(&base, current).await?;
            let meta = Meta::decode(&current.meta)?;
            if self.has_landed(&current, &meta)? {
                return Ok(self.done(&base, current, meta));
            }
            refuse_if_stale(&opened, &meta)?;
            base = Base::new(opened.token.clone(), current, meta);
            document = replay(&mut self.work.changes, &opened.document, &base.document)?;
            if !self.work.intent.rotates() && document.same_values(&base.document)? {
                return Ok((Origin::Live(base), Committed::Unchanged));
            }
        }
    }

    fn next_record(&self, base: &Base, document: &Document, now: Timestamp) -> Result<(Record, Meta)> {
        let mut meta = base.meta.clone();
        meta.push_revision(base.record.revision);
        let mut deadline = base.record.deadline;
        let mut principal = base.record.principal.clone();
        if let Some(fresh) = &self.work.attempts.fresh {
            meta.rotate(fresh.digest(), now);
        }
        if let Some(signed_in) = &self.work.intent.sign_in {
            meta.authenticated_at = Some(now);
            deadline = meta.lifetime.deadline(now);
            principal = Some(signed_in.clone());
        }
        let revision = base.record.revision.next(rand::random());
        let record = Record::new(revision, now, meta.lifetime.expires_at(now, deadline), deadline)
            .with_principal(principal)
            .with_meta(meta.encode()?)
            .with_data(document.to_json());
        check_size(self.manager, &record, Some(&base.record))?;
        Ok((record, meta))
    }

    /// Queues behind the other writers of this process, and returns what is stored once it is this
    /// one's turn.
    async fn wait_turn(&mut self, base: &Base, current: Record) -> Result<Record> {
        self.lost += 1;
        if self.turn.is_none() {
            let turn = self.manager.contention().turn(base.id(), self.deadline).await?;
            let waited = turn.waited;
            self.turn = Some(turn);
            if !waited {
                return Ok(current);
            }
        } else {
            // Lost in spite of its turn, so to another process: full jitter between the two.
            let longest = Duration::from_millis(1 << self.lost.min(6)).min(MAX_PAUSE);
            tokio::time::sleep(longest.mul_f64(rand::random())).await;
        }
        if Instant::now() >= self.deadline {
            return Err(ErrorKind::Contended.into());
        }
        let latest = self.manager.store().load_latest(base.id(), self.manager.now()).await?;
        latest.ok_or_else(|| ErrorKind::Gone.into())
    }

    /// After a failure that leaves open whether the update took effect: looks once.
    async fn look_after(self, error: Error, base: &Base) -> Result<(Origin, Committed)> {
        use ErrorKind::{Config, SchemaMissing, TooLarge, Unsupported};
        if let Config | SchemaMissing | TooLarge | Unsupported = error.kind() {
            self.work.attempts.revisions.pop();
            return Err(error);
        }
        let Ok(Some(current)) = self.manager.store().load_latest(base.id(), self.manager.now()).await else {
            return Err(error);
        };
        let meta = Meta::decode(&current.meta)?;
        match self.has_landed(&current, &meta) {
            Ok(true) => Ok(self.done(base, current, meta)),
            // Not yet: it may still arrive. Whoever commits again finds out.
            Ok(false) | Err(_) => Err(error),
        }
    }

    /// Whether one of the attempts is part of what is stored now.
    fn has_landed(&self, current: &Record, meta: &Meta) -> Result<bool> {
        let outcomes =
            || self.work.attempts.revisions.iter().map(|tried| meta.landed(current.revision, *tried));
        if outcomes().any(|landed| landed == Landed::Yes) {
            return Ok(true);
        }
        if outcomes().any(|landed| landed == Landed::Unknown) {
            return Err(ErrorKind::Indeterminate.into());
        }
        Ok(false)
    }

    fn done(&self, base: &Base, record: Record, meta: Meta) -> (Origin, Committed) {
        let Some(fresh) = self.work.attempts.fresh.clone() else {
            return (Origin::Live(Base::new(base.token.clone(), record, meta)), Committed::Unchanged);
        };
        // Replaced again since it landed: the browser may hold the newer one.
        let committed = if meta.is_current(fresh.digest()) {
            let max_age = meta.lifetime.max_age(self.manager.now(), record.deadline);
            Committed::SetToken { token: fresh.clone(), max_age }
        } else {
            Committed::Unchanged
        };
        (Origin::Live(Base::new(fresh, record, meta)), committed)
    }
}

/// A token that was replaced since the session was opened writes nothing and ends nothing.
fn refuse_if_stale(opened: &Base, current: &Meta) -> Result<()> {
    if current.is_current(opened.token.digest()) { Ok(()) } else { Err(ErrorKind::Stale.into()) }
}

fn check_size(manager: &SessionManager, record: &Record, old: Option<&Record>) -> Result<()> {
    let principal = record.principal.as_ref().map_or(0, |principal| principal.as_str().len());
    let size = record.data.len() + record.meta.len() + principal;
    let limit = manager.settings().max_record_size;
    let grows = old.is_none_or(|old| record.data.len() > old.data.len());
    if size > limit && grows {
        let detail = format!("{size} bytes; at most {limit}");
        return Err(Error::describe(ErrorKind::TooLarge, detail));
    }
    Ok(())
}
