//! One request and its answer: finds the session when it is first asked for, commits before the
//! answer's head leaves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll, ready};

use tokio::sync::OnceCell;

use crate::detached::Detached;
use crate::http::answer::log_failure;
use crate::http::transport::Presented;
use crate::http::{Finished, HttpSessions};
use crate::session::{Origin, Session};
use crate::{Committed, Result, SessionEvent, SessionToken};

/// A request whose answer has not left yet; made by [`HttpSessions::begin`].
///
/// Dropped before [`finish`](Self::finish), because the handler panicked or the client went away, it
/// commits nothing but the end of a session that was asked for.
#[derive(Debug)]
#[must_use = "without `finish` nothing is committed"]
pub struct Exchange {
    request: RequestSession,
    finished: bool,
}

impl Exchange {
    pub(super) fn new(sessions: HttpSessions, presented: Presented, loopback: bool) -> Self {
        let (asked, finished) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared =
            Arc::new(Shared { sessions, presented, loopback, asked, finished, cell: OnceCell::new() });
        Self { request: RequestSession { shared }, finished: false }
    }

    /// What handlers open the session by.
    #[must_use]
    pub fn request(&self) -> &RequestSession {
        &self.request
    }

    /// Commits, and says which headers the answer needs.
    ///
    /// Below status 500 everything is committed. From 500 on nothing is, but the end of a session that was
    /// asked for. A commit of the handler's own stands, and its cookie is sent, whatever the status. Goes on
    /// to its end when the future is dropped.
    pub fn finish(mut self, status: u16) -> Finish {
        let shared = &self.request.shared;
        let mut finished = Finished::default();
        if shared.asked.load(Ordering::Relaxed) {
            finished.vary = Some(shared.http().transport.vary());
        } else if status < 500 {
            shared.touch_in_passing();
        }
        let Some(session) = shared.session_or_finish() else { return Finish::at_once(finished) };
        if status >= 500 {
            session.abandon();
        }
        let committed = if status >= 500 && !session.has_ending() {
            session.close();
            session.answer().or(Some(Committed::Unchanged))
        } else {
            session.commit_if_idle()
        };
        if let Some(committed) = committed {
            shared.tell(&committed, &mut finished);
            self.finished = true;
            return Finish::at_once(finished);
        }
        let commit = session.commit_in_full();
        Finish(Outcome::Awaited { exchange: self, finished, commit })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(session) = self.request.shared.cell.get().filter(|_| !self.finished) else { return };
        session.abandon();
        if !session.has_ending() {
            return;
        }
        let session = session.clone();
        let ending = async move {
            if let Err(error) = session.commit().await {
                tracing::error!(%error, "could not end the session of a request that was dropped");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(ending)),
            Err(_outside) => {
                tracing::error!("a request was dropped outside the runtime: its session goes on")
            }
        }
    }
}

/// What [`Exchange::finish`] is waited for by. Ready at once where there is nothing to commit.
#[must_use = "without being waited for it commits nothing"]
pub struct Finish(Outcome);

enum Outcome {
    Known(Finished),
    Awaited { exchange: Exchange, finished: Finished, commit: Detached<Committed> },
}

impl Finish {
    fn at_once(finished: Finished) -> Self {
        Self(Outcome::Known(finished))
    }
}

impl Future for Finish {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Finished> {
        match &mut self.0 {
            Outcome::Known(finished) => Poll::Ready(std::mem::take(finished)),
            Outcome::Awaited { exchange, finished, commit } => {
                // From here on the commit goes on by itself.
                exchange.finished = true;
                if let Err(error) = ready!(Pin::new(commit).poll(context)) {
                    log_failure(&error, "could not commit a session");
                    finished.error = Some(error);
                }
                let shared = &exchange.request.shared;
                if let Some(committed) = shared.cell.get().and_then(Session::answer) {
                    shared.tell(&committed, finished);
                }
                Poll::Ready(std::mem::take(finished))
            }
        }
    }
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finish").finish_non_exhaustive()
    }
}

/// A request's session, opened when it is first asked for. Clones are the same.
#[derive(Clone)]
pub struct RequestSession {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: HttpSessions,
    presented: Presented,
    loopback: bool,
    /// Whether the session was asked for, with success or without.
    asked: AtomicBool,
    /// Whether the answer has left, or is about to, and the session was not open by then.
    finished: AtomicBool,
    cell: OnceCell<Session>,
}

impl RequestSession {
    /// The session: loaded on the first call, the same on every other.
    ///
    /// Of several tokens the one that opens a live session counts. Two that open different ones count for
    /// nothing: somebody may have planted one of them.
    ///
    /// First opened after the answer, it takes no change before a [`reload`](Session::reload): no commit follows.
    ///
    /// # Errors
    ///
    /// Those of [`SessionManager::open`](crate::SessionManager::open); the next call tries again.
    pub async fn open(&self) -> Result<Session> {
        self.shared.asked.store(true, Ordering::Relaxed);
        let session = self.shared.cell.get_or_try_init(|| self.shared.find()).await?;
        // Looked at after the cell is filled, and set before `finish` looks into the cell again: with a fence in between
        // here and there, one of them sees the other.
        fence(Ordering::SeqCst);
        if self.shared.finished.load(Ordering::Relaxed) {
            session.close();
        }
        Ok(session.clone())
    }
}

impl Shared {
    fn http(&self) -> &super::sessions::Shared {
        &self.sessions.shared
    }

    fn tokens(&self) -> Vec<SessionToken> {
        self.http().transport.tokens(&self.presented)
    }

    /// The session, if it has been opened. If not, one that is opened from now on takes no changes.
    fn session_or_finish(&self) -> Option<&Session> {
        self.cell.get().or_else(|| {
            self.finished.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            self.cell.get()
        })
    }

    /// Puts into the answer what the client must know of its token.
    fn tell(&self, committed: &Committed, finished: &mut Finished) {
        if matches!(committed, Committed::SetToken { .. }) {
            self.warn_of_loopback();
        }
        self.http().transport.tell(committed, finished);
    }

    /// Boxed where there is no token or more than one, because a handler's future has room for this one.
    async fn find(&self) -> Result<Session> {
        let manager = &self.http().manager;
        let found = match self.http().transport.only_token(&self.presented) {
            Some(token) => manager.find(&token).await?,
            None => Box::pin(self.find_among_several()).await?,
        };
        Ok(Session::new(manager.clone(), found))
    }

    async fn find_among_several(&self) -> Result<Origin> {
        let manager = &self.http().manager;
        let mut found = Origin::New;
        for token in &self.tokens() {
            match (manager.find(token).await?, &found) {
                (Origin::Live(next), Origin::Live(first)) if next.id() != first.id() => {
                    manager.notice(SessionEvent::Ambiguous(first.id(), next.id()));
                    found = Origin::New;
                    break;
                }
                // Of one session the current secret, which can do more than one that it replaced.
                (Origin::Live(next), Origin::Live(_)) if !next.has_current_secret() => {}
                (live @ Origin::Live(_), _) => found = live,
                (Origin::Superseded, Origin::New) => found = Origin::Superseded,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Counts a request as activity that never asked for its session. Nobody waits for it, so nobody is told
    /// of a failure but the log.
    fn touch_in_passing(self: &Arc<Self>) {
        if !self.http().touch_always || self.tokens().is_empty() {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            match shared.find().await {
                Ok(session) => session.touch_if_due().await,
                Err(error) => tracing::warn!(%error, "could not touch a session"),
            }
        });
    }

    fn warn_of_loopback(&self) {
        if self.loopback && !self.http().warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a Secure session cookie went out to a loopback host, where some browsers drop it over \
                 plain http and every request starts a new session; use `insecure_local` there"
            );
        }
    }
}

impl fmt::Debug for RequestSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSession").field("session", &self.shared.cell.get()).finish_non_exhaustive()
    }
}
