//! The entrance: opens sessions by token, and serves operators.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::SessionManagerBuilder;
use crate::cap::Cap;
use crate::contention::Contention;
use crate::events::Observer;
use crate::meta::Meta;
use crate::secrets::Presented;
use crate::session::{Base, Origin, Session};
use crate::store::Store;
use crate::{
    Clock, Codec, Cursor, DeleteOutcome, Error, ErrorKind, IdGenerator, Lifetime, Principal, Purged, Record,
    Result, Revision, SessionBackend, SessionEvent, SessionId, SessionInfo, SessionToken, Stats, Timestamp,
    UpdateOutcome,
};

/// Opens, lists and ends sessions on one store. Clones share everything.
///
/// Must be used within a tokio runtime with its timer on.
///
/// ```
/// # use session_core::{Result, SessionManager, SessionBackend};
/// # async fn example(backend: impl SessionBackend) -> Result<()> {
/// let sessions = SessionManager::builder(backend).build()?;
/// let session = sessions.open(None).await?;
/// session.insert("greeting", "hello")?;
/// let committed = session.commit().await?;
/// # let _ = committed; Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SessionManager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGenerator>,
    pub(crate) contention: Contention,
    pub(crate) observer: Observer,
    pub(crate) settings: Settings,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) lifetime: Lifetime,
    pub(crate) codec: Codec,
    pub(crate) grace: Duration,
    pub(crate) rotate_every: Option<Duration>,
    pub(crate) on_replay: OnReplay,
    pub(crate) detect_overwrites: bool,
    pub(crate) cap: Option<Cap>,
    pub(crate) max_record_size: usize,
    pub(crate) max_clock_skew: Duration,
}

impl SessionManager {
    /// Starts with defaults that are safe: see each method of [`SessionManagerBuilder`].
    pub fn builder(backend: impl SessionBackend) -> SessionManagerBuilder {
        SessionManagerBuilder::new(Arc::new(backend))
    }

    pub(crate) fn from_shared(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Opens the session that `token` is for.
    ///
    /// - No token, a malformed one, one of an unknown or expired session, or a wrong secret: a new, empty
    ///   session. It gets an id of its own when something is stored; a presented id is never adopted.
    /// - The current secret of a live session, or one that a periodic rotation has replaced and that is valid
    ///   still: that session.
    /// - A secret that died less than `grace` ago: a *superseded* session, which reads as
    ///   empty and refuses changes with [`Stale`](ErrorKind::Stale). The request was in flight when another one
    ///   signed in.
    ///
    /// # Errors
    ///
    /// A store that fails is an error, never an empty session: so nothing can be written after a
    /// failed read (OWASP ASVS 16.5.3). [`Corrupt`](ErrorKind::Corrupt) and
    /// [`UnknownFormat`](ErrorKind::UnknownFormat) if the record cannot be read.
    pub async fn open(&self, token: Option<&str>) -> Result<Session> {
        match token.and_then(SessionToken::parse) {
            Some(token) => self.open_token(token).await,
            None => Ok(Session::new(self.clone(), Origin::New)),
        }
    }

    pub(crate) async fn open_token(&self, token: SessionToken) -> Result<Session> {
        Ok(Session::new(self.clone(), self.find(token).await?))
    }

    /// Looks up what a token stands for that a client has presented.
    pub(crate) async fn find(&self, token: SessionToken) -> Result<Origin> {
        self.look_up(token, true).await
    }

    /// Looks again at the session of a handle. No client has presented its token now: that a rotation has
    /// arrived, or that a copy was kept, is not to be told from it, however long a stream goes on.
    pub(crate) async fn find_again(&self, token: SessionToken) -> Result<Origin> {
        self.look_up(token, false).await
    }

    async fn look_up(&self, token: SessionToken, presented_now: bool) -> Result<Origin> {
        let (id, digest) = (token.id(), token.digest());
        let mut record = self.store().load(id, self.now()).await?;
        let mut is_latest = false;
        while let Some(found) = record.take() {
            let (now, grace) = (self.now(), self.settings().grace);
            let mut meta = Meta::decode(&found.meta)?;
            let presented = meta.secrets.classify(digest, now, grace);
            record = match presented {
                Presented::Current | Presented::Replaced => {
                    if !presented_now || !meta.secrets.present(digest, now, grace) {
                        return Ok(Origin::Live(Base::new(token, digest, found, meta)?));
                    }
                    match self.note_presentation(id, &found, meta, now).await? {
                        Noted::Done(record, meta) => {
                            return Ok(Origin::Live(Base::new(token, digest, record, meta)?));
                        }
                        Noted::Conflict(current) => Some(current),
                        Noted::Gone => None,
                    }
                }
                // A cache may not have heard of the rotation that this secret comes from.
                _ if !is_latest => {
                    is_latest = true;
                    self.store().load_latest(id, now).await?
                }
                _ if !presented_now => return Ok(Origin::Superseded),
                Presented::Superseded => {
                    self.notice(SessionEvent::Superseded(id));
                    return Ok(Origin::Superseded);
                }
                Presented::Replayed => {
                    self.notice(SessionEvent::Replayed(id));
                    match self.settings().on_replay {
                        OnReplay::Reject => None,
                        OnReplay::Revoke => self.revoke_replayed(id, found.revision, now).await?,
                    }
                }
                Presented::Unknown => {
                    self.notice(SessionEvent::Forged(id));
                    None
                }
            };
        }
        Ok(Origin::New)
    }

    /// Writes down that a secret was presented, before the request's handler runs: what it replaced
    /// dies `grace` from now, whatever becomes of the request.
    async fn note_presentation(
        &self,
        id: SessionId,
        found: &Record,
        meta: Meta,
        now: Timestamp,
    ) -> Result<Noted> {
        let mut noted = meta.clone();
        noted.push_revision(found.revision);
        let mut record = found.clone();
        record.revision = found.revision.next(rand::random());
        record.meta = noted.encode()?;
        record.touch(meta.lifetime.expires_at(now, found.deadline), now);
        match self.store().update(id, found.revision, record.clone(), now).await {
            Ok(UpdateOutcome::Updated) => Ok(Noted::Done(record, noted)),
            Ok(UpdateOutcome::Conflict(current)) => Ok(Noted::Conflict(current)),
            Ok(UpdateOutcome::Gone) => Ok(Noted::Gone),
            // The request is not worse off for it: its commit writes it down, or the next request does.
            Err(error) => {
                tracing::warn!(?id, %error, "could not note that a rotated token has arrived");
                Ok(Noted::Done(found.clone(), meta))
            }
        }
    }

    /// Ends a session of whose secret somebody has kept a copy; what is there instead, if another
    /// request wrote it meanwhile.
    async fn revoke_replayed(
        &self,
        id: SessionId,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Option<Record>> {
        match self.store().delete(id, Some(revision), now).await? {
            DeleteOutcome::Deleted => {
                self.notice(SessionEvent::Revoked(id));
                Ok(None)
            }
            DeleteOutcome::Conflict(current) => Ok(Some(current)),
            DeleteOutcome::Absent => Ok(None),
        }
    }

    /// The live sessions of `principal`, ascending by id.
    ///
    /// A damaged one is left out and logged. Sessions that begin or end meanwhile may or may not be there.
    ///
    /// # Errors
    ///
    /// Those of the store; [`Unsupported`](ErrorKind::Unsupported) if it cannot list.
    pub async fn list(&self, principal: &str) -> Result<Vec<SessionInfo>> {
        self.list_for(&Principal::new(principal)?, None).await
    }

    pub(crate) async fn list_for(
        &self,
        principal: &Principal,
        current: Option<SessionId>,
    ) -> Result<Vec<SessionInfo>> {
        let mut sessions = Vec::new();
        let mut pages = Pages::of(self, Some(principal));
        while let Some(page) = pages.advance().await? {
            for (id, record) in page {
                match SessionInfo::new(id, record, current == Some(id)) {
                    Ok(info) => sessions.push(info),
                    Err(error) => tracing::warn!(?id, %error, "left a session out of a list"),
                }
            }
        }
        sessions.sort_unstable_by_key(SessionInfo::id);
        sessions.dedup_by_key(|info| info.id());
        Ok(sessions)
    }

    /// Ends a session, whoever's it is: for operators. Whether it was live.
    ///
    /// Requests in flight with it can no longer write; on every store a later commit is
    /// [`Gone`](ErrorKind::Gone).
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn revoke(&self, id: SessionId) -> Result<bool> {
        match self.store().delete(id, None, self.now()).await? {
            DeleteOutcome::Deleted => {
                self.notice(SessionEvent::Revoked(id));
                Ok(true)
            }
            DeleteOutcome::Absent => Ok(false),
            DeleteOutcome::Conflict(_) => {
                Err(Error::describe(ErrorKind::Internal, "an unconditional delete met a conflict"))
            }
        }
    }

    /// Ends every session of `principal`, and returns how many.
    ///
    /// Exactly those that were signed in when the call began. A sign-in whose password check came
    /// before this call and whose commit comes after is not among them. So count the changes of an account's
    /// password, read the count together with the hash that is checked, store it in the session at the sign-in,
    /// and refuse sessions that hold another one. Times would not do: that sign-in commits after the change.
    ///
    /// # Errors
    ///
    /// Those of the store, [`Unsupported`](ErrorKind::Unsupported) if it cannot list. Some sessions
    /// may have ended by then; the call can be repeated.
    pub async fn revoke_all(&self, principal: &str) -> Result<u64> {
        self.revoke_all_but(&Principal::new(principal)?, None).await
    }

    pub(crate) async fn revoke_all_but(&self, principal: &Principal, kept: Option<SessionId>) -> Result<u64> {
        let mut revoked = 0;
        let mut pages = Pages::of(self, Some(principal));
        while let Some(page) = pages.advance().await? {
            for (id, record) in page {
                if kept != Some(id) && self.revoke_if_of(id, record.revision, principal).await? {
                    revoked += 1;
                }
            }
        }
        Ok(revoked)
    }

    /// Ends a session if it is of `principal` still: somebody else may have signed in to it since it
    /// was listed.
    pub(crate) async fn revoke_if_of(
        &self,
        id: SessionId,
        mut revision: Revision,
        principal: &Principal,
    ) -> Result<bool> {
        loop {
            match self.store().delete(id, Some(revision), self.now()).await? {
                DeleteOutcome::Deleted => {
                    self.notice(SessionEvent::Revoked(id));
                    return Ok(true);
                }
                DeleteOutcome::Absent => return Ok(false),
                DeleteOutcome::Conflict(current) if current.principal.as_ref() == Some(principal) => {
                    revision = current.revision;
                }
                DeleteOutcome::Conflict(_) => return Ok(false),
            }
        }
    }

    /// Removes up to `limit` sessions that expired more than `max_clock_skew` ago.
    ///
    /// Expired sessions are dead whether or not they are removed: this frees the space. May run
    /// anywhere, at any time, in several places.
    ///
    /// # Errors
    ///
    /// Those of the store; [`Unsupported`](ErrorKind::Unsupported) if it cannot.
    pub async fn purge_expired(&self, limit: usize) -> Result<Purged> {
        let before = self.now().saturating_sub(self.settings().max_clock_skew);
        let purged = self.store().purge_expired(before, limit).await?;
        self.notice(SessionEvent::Expired(purged.removed));
        Ok(purged)
    }

    /// Asks the store for a session that was never issued, which finds a dead store, a missing
    /// table and a wrong password: for health checks.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn check(&self) -> Result<()> {
        let id = self.inner.ids.generate()?.id();
        self.store().load(id, self.now()).await.map(drop)
    }

    /// How often what has happened to sessions in this process, since the manager was built.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.observer.stats()
    }

    pub(crate) fn notice(&self, event: SessionEvent) {
        self.inner.observer.notice(event);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn ids(&self) -> &dyn IdGenerator {
        &*self.inner.ids
    }

    pub(crate) fn contention(&self) -> &Contention {
        &self.inner.contention
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }
}

/// What became of noting that a secret was presented.
enum Noted {
    Done(Record, Meta),
    Conflict(Record),
    Gone,
}

/// What to do when a token comes back that was replaced by a periodic rotation long ago: somebody has
/// kept a copy of a cookie, the thief or the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnReplay {
    /// Treat it as any wrong token. The default.
    #[default]
    Reject,
    /// End the session, so that whoever has the newer token is out, too. Never on a token that was replaced
    /// at a sign-in, forged or forgotten: else a planted one would sign the owner out.
    Revoke,
}

/// The live sessions of one principal, or all of them, page by page. One may come twice.
pub(crate) struct Pages<'a> {
    manager: &'a SessionManager,
    principal: Option<&'a Principal>,
    /// Where the next page starts; `None` after the last.
    next: Option<Option<Cursor>>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(manager: &'a SessionManager, principal: Option<&'a Principal>) -> Self {
        Self { manager, principal, next: Some(None) }
    }

    pub(crate) async fn advance(&mut self) -> Result<Option<Vec<(SessionId, Record)>>> {
        let Some(after) = self.next.take() else { return Ok(None) };
        let page = self.manager.store().list(self.principal, after, self.manager.now()).await?;
        self.next = page.next.map(Some);
        Ok(Some(page.sessions))
    }
}
