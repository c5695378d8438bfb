//! The update of a stored session: compare-and-set, and again on newer values when another
//! request was first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::change::{refuse_overwrites, replay};
use crate::contention::Turn;
use crate::meta::{Landed, Meta};
use crate::secrets::Rotation;
use crate::session::Committed;
use crate::session::commit::{TIME_BOUND, check_size};
use crate::session::state::{Base, Origin, Work};
use crate::values::Document;
use crate::{Error, ErrorKind, Record, Result, SessionEvent, SessionManager, Timestamp, UpdateOutcome};

/// The longest pause between two attempts that lost against another process.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// An update of a stored session, over as many attempts as it takes.
pub(super) struct Update<'a> {
    manager: &'a SessionManager,
    work: &'a mut Work,
    opened: Arc<Base>,
    deadline: Instant,
    turn: Option<Turn>,
    lost: u32,
}

impl<'a> Update<'a> {
    pub(super) fn new(manager: &'a SessionManager, work: &'a mut Work, opened: Arc<Base>) -> Self {
        Self { manager, work, opened, deadline: Instant::now() + TIME_BOUND, turn: None, lost: 0 }
    }

    pub(super) async fn run(mut self) -> Result<(Origin, Committed)> {
        let unasked = self.is_unasked();
        match self.attempt().await {
            // A rotation is due again with the next request; this one has its answer.
            Err(error) if unasked => {
                tracing::warn!(id = ?self.opened.id(), %error, "could not rotate a session");
                Ok((Origin::Live(self.opened), Committed::Unchanged))
            }
            result => result,
        }
    }

    /// Whether all that there is to do is the core's own affair.
    fn is_unasked(&self) -> bool {
        let intent = &self.work.intent;
        self.work.changes.is_empty() && !intent.changes_privilege() && intent.lifetime.is_none()
    }

    async fn attempt(&mut self) -> Result<(Origin, Committed)> {
        let mut base = self.opened.clone();
        let mut replayed = None;
        let mut now = self.manager.now();
        self.prepare_rotation(now)?;
        loop {
            self.refuse_if_overtaken(&base, now)?;
            let document = replayed.as_ref().unwrap_or(&self.work.document);
            let (record, next) = self.next(&base, document, now)?;
            let current = match self.manager.store().update(base.id(), base.revision, record, now).await {
                Ok(UpdateOutcome::Updated) => return Ok(self.done(next)),
                Ok(UpdateOutcome::Gone) => {
                    self.work.attempts.revisions.clear();
                    return Err(ErrorKind::Gone.into());
                }
                Ok(UpdateOutcome::Conflict(current)) => current,
                Err(error) => {
                    self.work.attempts.revisions.push(next.revision);
                    return Box::pin(self.look_after(error)).await;
                }
            };
            self.manager.notice(SessionEvent::Conflict(base.id()));
            let meta = Meta::decode(&current.meta)?;
            // This one is answered, and can only have landed if a client below the driver sent it twice.
            let has_landed = meta.landed(current.revision, next.revision) == Landed::Yes;
            if has_landed || self.has_landed(&current, &meta)? {
                return Ok(self.done(self.landed(current, meta)?));
            }
            // Where the session has as many writes already, what they expect is gone for good. A later
            // attempt of an earlier commit may still arrive.
            self.work.attempts.revisions.retain(|tried| tried.sequence() > current.revision.sequence());
            let current = Box::pin(self.wait_turn(current)).await?;
            let meta = Meta::decode(&current.meta)?;
            if self.has_landed(&current, &meta)? {
                return Ok(self.done(self.landed(current, meta)?));
            }
            if !meta.secrets.may_write(self.opened.digest) {
                return Err(ErrorKind::Stale.into());
            }
            self.drop_periodic_rotation_no_longer_due(&meta);
            base = Base::new(self.opened.token.clone(), self.opened.digest, current, meta)?;
            let document = self.replay(&base)?;
            if self.is_done_already(&base, &document)? {
                return Ok((Origin::Live(base), Committed::Unchanged));
            }
            replayed = Some(document);
            now = self.manager.now();
        }
    }

    /// Takes a fresh secret for a rotation that is wanted or due: the same for every attempt.
    fn prepare_rotation(&mut self, now: Timestamp) -> Result<()> {
        let rotation = self.work.intent.due_rotation(self.manager.settings(), &self.opened, now);
        if let (Some(by), None) = (rotation, &self.work.attempts.fresh) {
            let fresh = self.manager.ids().generate()?.with_id(self.opened.id());
            self.work.attempts.fresh = Some(Box::new((fresh, by)));
        }
        Ok(())
    }

    fn refuse_if_overtaken(&self, base: &Base, now: Timestamp) -> Result<()> {
        let allowed = || {
            let grace = self.manager.settings().grace;
            base.meta.secrets.may_change_privilege(self.opened.digest, now, grace)
        };
        if self.work.intent.changes_privilege() && !allowed() { Err(ErrorKind::Stale.into()) } else { Ok(()) }
    }

    /// Another request has rotated since this one was opened: once is enough. Or one has presented the
    /// secret that this one took for lost.
    fn drop_periodic_rotation_no_longer_due(&mut self, meta: &Meta) {
        let (secrets, digest) = (&meta.secrets, self.opened.digest);
        let (now, grace) = (self.manager.now(), self.manager.settings().grace);
        let has_rotated = secrets.current != self.opened.meta.secrets.current;
        let is_due = secrets.current == digest || secrets.is_reissue_due(digest, now, grace);
        if let Some((_, Rotation::Periodic)) = self.work.attempts.fresh.as_deref()
            && (has_rotated || !is_due)
        {
            self.work.attempts.fresh = None;
        }
    }

    fn replay(&mut self, base: &Base) -> Result<Document> {
        if self.work.intent.start_over {
            let nothing = Document::empty();
            return replay(&mut self.work.changes, &nothing, &nothing);
        }
        let (older, newer) = (&self.opened.document, &base.document);
        refuse_overwrites(&self.work.changes, &self.work.reads, older, newer)?;
        replay(&mut self.work.changes, older, newer)
    }

    fn is_done_already(&self, base: &Base, document: &Document) -> Result<bool> {
        Ok(self.work.attempts.fresh.is_none()
            && self.work.intent.lifetime.is_none()
            && (self.work.changes.is_empty() || document.same_values(&base.document)?))
    }

    /// What is to be stored in the place of `base`, and what that makes of the session.
    fn next(&self, base: &Base, document: &Document, now: Timestamp) -> Result<(Record, Arc<Base>)> {
        let mut meta = base.meta.clone();
        meta.push_revision(base.revision);
        let mut deadline = base.deadline;
        let mut principal = base.principal.clone();
        if let Some((fresh, by)) = self.work.attempts.fresh.as_deref() {
            meta.secrets.rotate(*by, fresh.digest(), now);
        }
        let intent = &self.work.intent;
        if intent.start_over {
            meta.start_over(self.manager.settings().lifetime, now);
        }
        if let Some(signed_in) = &intent.sign_in {
            meta.authenticated_at = Some(now);
            principal = Some(signed_in.clone());
        }
        if let Some(lifetime) = intent.lifetime {
            meta.lifetime = lifetime;
        }
        if intent.sign_in.is_some() || intent.lifetime.is_some() {
            deadline = meta.lifetime.deadline(meta.period_start());
        }
        let revision = base.revision.next(rand::random());
        let record = Record::new(revision, now, meta.lifetime.expires_at(now, deadline), deadline)
            .with_principal(principal)
            .with_data(meta.codec.write(document)?);
        let encoded = meta.encode()?;
        let next = self.landed(record.clone(), meta)?;
        let record = record.with_meta(encoded);
        check_size(self.manager, &record, Some(base.data_len))?;
        Ok((record, next))
    }

    /// Queues behind the other writers of this process, and returns what is stored once it is this
    /// one's turn.
    async fn wait_turn(&mut self, current: Record) -> Result<Record> {
        self.lost += 1;
        if self.turn.is_none() {
            let turn = self.manager.contention().turn(self.opened.id(), self.deadline).await?;
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
        let latest = self.manager.store().load_latest(self.opened.id(), self.manager.now()).await?;
        latest.ok_or_else(|| ErrorKind::Gone.into())
    }

    /// After a failure that leaves open whether the update took effect: looks once.
    async fn look_after(&mut self, error: Error) -> Result<(Origin, Committed)> {
        if error.kind().means_nothing_was_begun() {
            self.work.attempts.revisions.pop();
            return Err(error);
        }
        let latest = self.manager.store().load_latest(self.opened.id(), self.manager.now()).await;
        let Ok(Some(current)) = latest else {
            return Err(error);
        };
        let meta = Meta::decode(&current.meta)?;
        match self.has_landed(&current, &meta) {
            Ok(true) => Ok(self.done(self.landed(current, meta)?)),
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

    /// The session that this record makes, with the token that the client has from then on.
    fn landed(&self, record: Record, meta: Meta) -> Result<Arc<Base>> {
        match self.work.attempts.fresh.as_deref() {
            Some((fresh, _)) => Base::new(fresh.clone(), fresh.digest(), record, meta),
            None => Base::new(self.opened.token.clone(), self.opened.digest, record, meta),
        }
    }

    fn done(&self, written: Arc<Base>) -> (Origin, Committed) {
        let mut committed = Committed::Unchanged;
        if self.work.attempts.fresh.is_some() {
            self.manager.notice(SessionEvent::Rotated(written.id()));
            // Replaced again since it landed: the browser may hold the newer one.
            if written.has_current_secret() {
                let max_age = written.meta.lifetime.max_age(self.manager.now(), written.deadline);
                committed = Committed::SetToken { token: written.token.clone(), max_age };
            }
        }
        (Origin::Live(written), committed)
    }
}
