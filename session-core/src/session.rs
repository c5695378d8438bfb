//! A session as a request handler holds it: reads and changes in memory, one commit at the end.

mod commit;
mod siblings;
mod state;
mod update;
mod values;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::detached::Detached;
use crate::secrets::Rotation;
use crate::{Lifetime, Principal, Result, SessionId, SessionManager, SessionToken, Timestamp};

use state::State;
pub(crate) use state::{Base, Origin};

/// One request's view of a session. Clones are the same session.
///
/// Everything but the methods marked `async` works in memory. Nothing reaches the store before
/// [`commit`](Self::commit), which an HTTP layer calls by itself. Where two requests change the
/// same session at once, both changes survive: a commit that comes second is done again on top of the first.
/// [`update`](Self::update) is exact that way; of two plain [`insert`](Self::insert)s to one path the last
/// commit wins.
///
/// # Errors
///
/// Every change fails with [`Stale`](crate::ErrorKind::Stale) on a superseded session (see
/// [`SessionManager::open`]), with [`Gone`](crate::ErrorKind::Gone) after [`destroy`](Self::destroy), and with
/// [`AlreadyCommitted`](crate::ErrorKind::AlreadyCommitted) between a commit and a [`reload`](Self::reload).
/// Every method that takes a path fails with [`PathConflict`](crate::ErrorKind::PathConflict) if it is empty, has
/// an empty segment or begins with `_flash`, and with [`TooLarge`](crate::ErrorKind::TooLarge) over 255 bytes.
/// Every read fails with [`Corrupt`](crate::ErrorKind::Corrupt) if what is stored is not a JSON document.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    manager: SessionManager,
    state: Mutex<State>,
    /// Held by the commit or reload that is under way.
    turn: tokio::sync::Mutex<()>,
}

/// What a commit means for the client's token.
#[derive(Clone, Debug)]
#[must_use = "the client must be told about its token"]
pub enum Committed {
    /// The client keeps what it has.
    Unchanged,
    /// The client gets this token: the session was created, or its secret replaced.
    SetToken {
        /// The token to hand out.
        token: SessionToken,
        /// For how long to keep it; `None` = until the browser is closed.
        max_age: Option<Duration>,
    },
    /// The session was destroyed: the client forgets its token.
    ClearToken,
}

impl Session {
    pub(crate) fn new(manager: SessionManager, origin: Origin) -> Self {
        let state = Mutex::new(State::new(origin));
        Self { shared: Arc::new(Shared { manager, state, turn: tokio::sync::Mutex::default() }) }
    }

    /// The session's id, once it is stored: `None` for a new or superseded one.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.state().base().map(|base| base.id())
    }

    /// Whether nothing is stored yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self.state().origin(), Origin::New)
    }

    /// Whether the token was replaced while this request was under way: then reads see an empty
    /// session and every change but [`sign_in`](Self::sign_in) is [`Stale`](crate::ErrorKind::Stale).
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        matches!(self.state().origin(), Origin::Superseded)
    }

    /// Who is signed in, a sign-in of this request included.
    ///
    /// This, and no value of the session, is what to decide about access by.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        self.state().principal().cloned()
    }

    /// When somebody last signed in to the session as it is stored; `None` where nobody is signed in. A sign-in of
    /// this request shows after its commit.
    ///
    /// For what wants a password that was checked a moment ago (OWASP ASVS 7.5.1): check it again and call
    /// [`sign_in`](Self::sign_in) with the same principal, which keeps the values.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.state().base().and_then(|base| base.meta.authenticated_at)
    }

    /// Signs `principal` in: the token is replaced, every earlier one is dead at once (OWASP ASVS
    /// 7.2.4), and the absolute lifetime starts anew.
    ///
    /// From nobody or the same principal the values stay. Over another principal the session starts over: all
    /// values go, this request's too, and requests in flight with the old token are refused as after every
    /// sign-in. On a superseded session a new one begins, under another id.
    /// Check the password first; this checks nothing.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over 255 bytes. See also [`Session`].
    #[doc(alias = "login")]
    pub fn sign_in(&self, principal: &str) -> Result<()> {
        let principal = Principal::new(principal)?;
        self.state().sign_in(principal)
    }

    /// Signs out: the session ends, and this handle goes on with a new, empty one, so that a flash
    /// message can follow.
    ///
    /// Requests in flight with the session can no longer write once this is committed.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    #[doc(alias = "logout")]
    pub fn sign_out(&self) -> Result<()> {
        self.writable()?.end();
        Ok(())
    }

    /// Ends the session; the client's cookie is removed.
    ///
    /// Reads see an empty session from now on. [`sign_out`](Self::sign_out) is for going on with a new one.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    #[doc(alias = "delete")]
    #[doc(alias = "invalidate")]
    pub fn destroy(&self) -> Result<()> {
        self.writable()?.destroy();
        Ok(())
    }

    /// Replaces the token because of a change of privilege: every earlier one is dead at once.
    /// Values, id and deadline stay. [`sign_in`](Self::sign_in) does it by itself.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    #[doc(alias = "cycle_id")]
    #[doc(alias = "regenerate")]
    #[doc(alias = "renew")]
    pub fn rotate(&self) -> Result<()> {
        self.writable()?.rotate(Rotation::Privilege);
        Ok(())
    }

    /// Replaces the token because time has gone by. The replaced one stays valid until the client has
    /// shown that it has the new one, and for `grace` after that, so that requests in flight stay signed in.
    ///
    /// [`rotate_every`](crate::SessionManagerBuilder::rotate_every) does it by itself. Nothing happens on a
    /// session that was opened by a replaced token, or while a replaced token that still counts would be
    /// forgotten.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    pub fn rotate_gracefully(&self) -> Result<()> {
        self.writable()?.rotate(Rotation::Periodic);
        Ok(())
    }

    /// Gives this session a lifetime of its own: "remember me".
    ///
    /// The absolute limit counts from the last sign-in, or from the creation. Where it changes the cookie's
    /// `Max-Age` the token is replaced as by [`rotate_gracefully`](Self::rotate_gracefully), because a cookie is
    /// sent with a new token only.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a limit out of its range. See also [`Session`].
    pub fn set_lifetime(&self, lifetime: Lifetime) -> Result<()> {
        lifetime.validate()?;
        self.writable()?.set_lifetime(lifetime);
        Ok(())
    }

    /// Brings the changes to the store, and says what the client must be told.
    ///
    /// Goes on to its end when the future is dropped. Writes nothing if the result equals what was loaded,
    /// except for a touch when a tenth of the idle time (at most a minute) has passed since the last one. A
    /// second commit is [`Unchanged`](Committed::Unchanged).
    ///
    /// # Errors
    ///
    /// - [`Gone`](crate::ErrorKind::Gone): the session was destroyed, revoked or has expired meanwhile.
    /// - [`Stale`](crate::ErrorKind::Stale): another request has rotated or signed in meanwhile.
    /// - [`Conflict`](crate::ErrorKind::Conflict): another request changed a list that this one changed by
    ///   position, or put a value into the way of a path; with
    ///   [`detect_overwrites`](crate::SessionManagerBuilder::detect_overwrites) also if it changed what this one
    ///   has read and writes over.
    /// - [`Decode`](crate::ErrorKind::Decode): a value that [`update`](Self::update) is to run on again is of
    ///   another type by now.
    /// - [`Contended`](crate::ErrorKind::Contended): others were first, for two seconds or until the store's
    ///   driver gave up.
    /// - [`Indeterminate`](crate::ErrorKind::Indeterminate): an earlier commit had an unknown outcome, and too
    ///   much was written since to find out.
    /// - [`TooLarge`](crate::ErrorKind::TooLarge): over
    ///   [`max_record_size`](crate::SessionManagerBuilder::max_record_size).
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): a sign-in over
    ///   [`max_sessions_per_principal`](crate::SessionManagerBuilder::max_sessions_per_principal); see
    ///   [`OnLimit`](crate::OnLimit) for what becomes of the session.
    /// - [`Internal`](crate::ErrorKind::Internal): a function given to [`update`](Self::update) panicked when it was
    ///   run again, or there was no fresh id.
    /// - Those of the store.
    ///
    /// After `Gone`, `Stale`, `Conflict`, `Decode` and `TooLarge` nothing of the session's values was written;
    /// after `Contended`, `Indeterminate` and an error of the store it may have been (the
    /// [contract](crate::SessionBackend#errors) of stores says for each kind what can be taken for granted). The
    /// changes are kept, and commit can be called again; it finds out by itself what has landed.
    #[doc(alias = "save")]
    pub async fn commit(&self) -> Result<Committed> {
        if self.commit_if_idle().is_some() {
            return Ok(Committed::Unchanged);
        }
        self.commit_in_full().await
    }

    /// Commits where [`commit_if_idle`](Self::commit_if_idle) has said no.
    pub(crate) fn commit_in_full(&self) -> Detached<Committed> {
        let shared = Arc::clone(&self.shared);
        Detached::new(async move { shared.commit().await })
    }

    /// Commits where there is nothing to send to the store, and says what the client is to be told of all commits so
    /// far; `None` where that takes more. Most requests only read: they need no task. Nor the turn: while another
    /// commit has begun this says `None`, and a reload comes after it.
    pub(crate) fn commit_if_idle(&self) -> Option<Committed> {
        let mut state = self.state();
        let is_done = state.finish_if_idle(&self.shared.manager);
        is_done.then(|| state.answer().cloned().unwrap_or(Committed::Unchanged))
    }

    /// Opens the session again after a commit, by the token that it has by now: for handlers that
    /// outlive one commit, such as streams and WebSockets.
    ///
    /// From then on a commit makes a new token only where one was asked for: a rotation that is merely due waits
    /// for the next request, because nobody may be there to hear of it.
    ///
    /// What was not committed is dropped, a sign-out included. A handle whose token has died meanwhile, with the
    /// session alive, is *superseded* from then on, as in [`SessionManager::open`]; nothing is noted and nobody
    /// revoked for it, because no client has presented a token now.
    ///
    /// # Errors
    ///
    /// Those of [`SessionManager::open`]; then nothing has changed.
    pub async fn reload(&self) -> Result<()> {
        let _turn = self.shared.turn.lock().await;
        let token = self.state().token();
        let origin = match token {
            Some(token) => self.shared.manager.find_again(&token).await?,
            None => self.state().origin().clone(),
        };
        self.state().reopen(origin);
        Ok(())
    }

    /// What the client is to be told, of all commits of this handle so far: also of one whose future
    /// was dropped, and went on. `None` before the first that has something to say.
    #[must_use]
    pub fn answer(&self) -> Option<Committed> {
        self.state().answer().cloned()
    }

    /// Drops every change, but not the end of a session that was asked for.
    pub(crate) fn abandon(&self) {
        self.state().abandon();
    }

    /// Refuses changes from now on that no commit would store; [`reload`](Self::reload) takes it back.
    pub(crate) fn close(&self) {
        self.state().close();
    }

    /// Whether a commit would end a session.
    pub(crate) fn has_ending(&self) -> bool {
        self.state().has_ending()
    }

    /// Moves the expiry if that is due, and does nothing else.
    pub(crate) async fn touch_if_due(&self) {
        let base = self.state().base().cloned();
        if let Some(base) = base {
            commit::touch_if_due(&self.shared.manager, &base).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn writable(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        state.is_writable()?;
        Ok(state)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under the lock, and no step of ours leaves half a state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit(&self) -> Result<Committed> {
        // Nobody else commits, nearly always.
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_taken) => self.turn.lock().await,
        };
        let Some(mut work) = self.state().begin()? else { return Ok(Committed::Unchanged) };
        match commit::commit(&self.manager, &mut work).await {
            Ok((origin, committed)) => {
                self.state().finish(origin, &committed);
                Ok(committed)
            }
            Err(error) => {
                self.state().put_back(*work);
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}
