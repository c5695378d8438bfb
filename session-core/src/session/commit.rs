//! Commit: brings what a request wants to the store, as a create, an update, a touch or a delete.

use std::time::Duration;

use tokio::time::Instant;

use crate::cap::Cap;
use crate::manager::Settings;
use crate::meta::Meta;
use crate::secrets::Rotation;
use crate::session::Committed;
use crate::session::state::{Base, Intent, Origin, State, Work};
use crate::session::update::Update;
use crate::{
    CookieLifetime, CreateOutcome, DeleteOutcome, Error, ErrorKind, Lifetime, Principal, Record, Result,
    Revision, SessionEvent, SessionManager, Timestamp,
};

/// No new attempt starts after this.
pub(super) const TIME_BOUND: Duration = Duration::from_secs(2);
/// How many fresh ids a create tries.
const CREATE_ATTEMPTS: usize = 4;

/// Commits `work`; what it leaves in there after a failure may be committed again.
///
/// Here and below, whatever is done seldom is boxed: the future of every commit has room for all that is not, is
/// allocated and moved, and would be three times as large.
pub(crate) async fn commit(manager: &SessionManager, work: &mut Work) -> Result<(Origin, Committed)> {
    match (manager.settings().cap, work.intent.sign_in.clone()) {
        (Some(cap), Some(principal)) => Box::pin(commit_within(cap, principal, manager, work)).await,
        _ => write(manager, work).await,
    }
}

/// Commits a sign-in where a principal may have so many sessions and no more.
async fn commit_within(
    cap: Cap,
    principal: Principal,
    manager: &SessionManager,
    work: &mut Work,
) -> Result<(Origin, Committed)> {
    let own: Vec<_> = work.ending.iter().map(|base| base.id()).chain(work.origin.id()).collect();
    cap.refuse_newcomer(manager, &principal, &own).await?;
    let (origin, committed) = write(manager, work).await?;
    if let Origin::Live(written) = &origin
        && let Err(error) = cap.enforce(manager, &principal, written.id()).await
    {
        match (&work.origin, error.kind()) {
            (_, ErrorKind::LimitReached) => return Err(error),
            // Signed in to for good, and its secret is a new one: the browser must hear of it. The next sign-in
            // settles the number.
            (Origin::Live(_), _) => {
                tracing::warn!(id = ?written.id(), %error, "could not look for sessions over the limit");
            }
            (Origin::New | Origin::Superseded, _) => {
                undo_create(manager, written).await;
                return Err(error);
            }
        }
    }
    Ok((origin, committed))
}

/// Ends a session that was created and whose token nobody will get: it would take somebody's place.
async fn undo_create(manager: &SessionManager, created: &Base) {
    let (id, revision) = (created.id(), created.revision);
    match manager.store().delete(id, Some(revision), manager.now()).await {
        Ok(DeleteOutcome::Deleted) => manager.notice(SessionEvent::Revoked(id)),
        Ok(_) => {}
        Err(error) => tracing::warn!(?id, %error, "could not undo a sign-in that failed"),
    }
}

async fn write(manager: &SessionManager, work: &mut Work) -> Result<(Origin, Committed)> {
    if let Some(base) = &work.ending {
        work.ended |= Box::pin(end(manager, base)).await?;
        work.ending = None;
        if !work.ended && work.intent.sign_in.is_none() {
            // Another request ended it: the browser may hold a newer cookie, which a new session's would replace.
            return Ok((Origin::New, Committed::Unchanged));
        }
    }
    match work.origin.clone() {
        Origin::Live(base) if work.wants_update(manager, &base)? => {
            Update::new(manager, work, base).run().await
        }
        Origin::Live(base) => {
            Box::pin(touch_if_due(manager, &base)).await;
            Ok((Origin::Live(base), Committed::Unchanged))
        }
        Origin::New if work.wants_create() => Box::pin(create(manager, work)).await,
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

    fn wants_update(&self, manager: &SessionManager, base: &Base) -> Result<bool> {
        Ok(self.differs
            || !self.attempts.revisions.is_empty()
            || self.intent.wants_update(manager.settings(), base, manager.now())
            // Values that nobody changed are not looked at: they may be damaged.
            || (!self.changes.is_empty() && !self.document.same_values(&base.document)?))
    }
}

impl Intent {
    /// Whether a commit has something to write beside values.
    fn wants_update(&self, settings: &Settings, base: &Base, now: Timestamp) -> bool {
        self.lifetime.is_some() || self.due_rotation(settings, base, now).is_some()
    }

    /// The rotation that a commit makes, wanted or due.
    pub(super) fn due_rotation(&self, settings: &Settings, base: &Base, now: Timestamp) -> Option<Rotation> {
        if self.changes_privilege() {
            return Some(Rotation::Privilege);
        }
        let (secrets, grace) = (&base.meta.secrets, settings.grace);
        let due = if base.has_current_secret() {
            let old_enough = |every| now >= secrets.issued_at.saturating_add(every);
            self.rotate.is_some()
                || self.lifetime.is_some_and(|lifetime| base.needs_another_cookie(&lifetime))
                || (!self.keep_token
                    && base.principal.is_some()
                    && settings.rotate_every.is_some_and(old_enough))
        } else {
            !self.keep_token && secrets.is_reissue_due(base.digest, now, grace)
        };
        (due && secrets.has_room(now, grace)).then_some(Rotation::Periodic)
    }
}

impl State {
    /// Ends a commit that has nothing to send to the store; whether it has ended. Not while another is under way.
    pub(super) fn finish_if_idle(&mut self, manager: &SessionManager) -> bool {
        if self.is_committed() {
            return true;
        }
        let idle = self.is_untouched()
            && match self.origin() {
                Origin::Live(base) => {
                    let now = manager.now();
                    !self.intent().wants_update(manager.settings(), base, now) && !base.touch_is_due(now)
                }
                Origin::New => self.intent().sign_in.is_none(),
                Origin::Superseded => true,
            };
        if idle {
            self.finish_untouched();
        }
        idle
    }
}

impl Base {
    fn touch_is_due(&self, now: Timestamp) -> bool {
        self.meta.lifetime.touch_is_due(self.touched_at, now)
    }

    /// Whether the browser must be told of another `Max-Age`.
    fn needs_another_cookie(&self, lifetime: &Lifetime) -> bool {
        lifetime.cookie != self.meta.lifetime.cookie
            || (lifetime.cookie == CookieLifetime::Persistent
                && lifetime.deadline(self.meta.period_start()) != self.deadline)
    }
}

/// Ends a session; whether it was this call that did.
///
/// Passes the revision: a slow request with a token that has been replaced since cannot end the session
/// of whoever signed in meanwhile.
async fn end(manager: &SessionManager, base: &Base) -> Result<bool> {
    let mut expected = base.revision;
    let deadline = Instant::now() + TIME_BOUND;
    loop {
        match manager.store().delete(base.id(), Some(expected), manager.now()).await? {
            DeleteOutcome::Deleted => {
                manager.notice(SessionEvent::Destroyed(base.id()));
                return Ok(true);
            }
            // Somebody else did, and the browser may hold a newer cookie by now.
            DeleteOutcome::Absent => return Ok(false),
            DeleteOutcome::Conflict(current) => {
                if !Meta::decode(&current.meta)?.secrets.may_write(base.digest) {
                    return Err(ErrorKind::Stale.into());
                }
                expected = current.revision;
            }
        }
        if Instant::now() >= deadline {
            return Err(ErrorKind::Contended.into());
        }
    }
}

pub(super) async fn touch_if_due(manager: &SessionManager, base: &Base) {
    let now = manager.now();
    if !base.touch_is_due(now) {
        return;
    }
    let expires_at = base.meta.lifetime.expires_at(now, base.deadline);
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
        let lifetime = work.intent.lifetime.unwrap_or(manager.settings().lifetime);
        let deadline = lifetime.deadline(now);
        let codec = manager.settings().codec;
        let digest = token.digest();
        let mut meta = Meta::new(digest, lifetime, codec, now);
        meta.authenticated_at = work.intent.sign_in.is_some().then_some(now);
        let revision = Revision::first(rand::random());
        let record = Record::new(revision, now, lifetime.expires_at(now, deadline), deadline)
            .with_principal(work.intent.sign_in.clone())
            .with_data(codec.write(&work.document)?);
        let encoded = meta.encode()?;
        let written = Base::new(token.clone(), digest, record.clone(), meta)?;
        let record = record.with_meta(encoded);
        check_size(manager, &record, None)?;
        match manager.store().create(token.id(), record, now).await? {
            CreateOutcome::Created => {}
            // A client below the driver sent it again after the first copy had landed.
            CreateOutcome::Occupied(current) if current.revision == revision => {}
            CreateOutcome::Occupied(_) => continue,
        }
        manager.notice(SessionEvent::Created(token.id()));
        let committed = Committed::SetToken { token, max_age: lifetime.max_age(now, deadline) };
        return Ok((Origin::Live(written), committed));
    }
    Err(Error::describe(ErrorKind::Internal, "the id generator repeats itself"))
}

/// `replaced` is the length of the values that the record replaces: to make them shorter is always allowed.
pub(super) fn check_size(manager: &SessionManager, record: &Record, replaced: Option<usize>) -> Result<()> {
    let principal = record.principal.as_ref().map_or(0, |principal| principal.as_str().len());
    let size = record.data.len() + record.meta.len() + principal;
    let limit = manager.settings().max_record_size;
    let grows = replaced.is_none_or(|replaced| record.data.len() > replaced);
    if size > limit && grows {
        let detail = format!("{size} bytes; at most {limit}");
        return Err(Error::describe(ErrorKind::TooLarge, detail));
    }
    Ok(())
}
