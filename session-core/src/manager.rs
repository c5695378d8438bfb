//! The entrance: opens sessions by token, and serves operators.

mod open;

use std::sync::Arc;
use std::time::Duration;

use crate::builder::SessionManagerBuilder;
use crate::cap::Cap;
use crate::contention::Contention;
use crate::events::Observer;
use crate::store::Store;
use crate::{
    Clock, Codec, Cursor, DeleteOutcome, Error, ErrorKind, IdGenerator, Lifetime, Principal, Purged, Record,
    Result, Revision, SessionBackend, SessionEvent, SessionId, SessionInfo, Stats, Timestamp,
};

pub use open::OnReplay;

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
