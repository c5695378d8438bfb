//! One request and its answer: finds the session when it is first asked for, commits before the
//! answer's head leaves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OnceCell;

use crate::http::SessionCookie;
use crate::session::{Origin, Session};
use crate::{Committed, Error, Result, SessionManager, SessionToken};

/// A [`SessionManager`] with a cookie: what an integration keeps. Clones share everything.
#[derive(Clone, Debug)]
pub struct HttpSessions {
    manager: SessionManager,
    cookie: Arc<SessionCookie>,
    warned: Arc<AtomicBool>,
}

/// More cookies of our name than this come from somebody who tries something.
const MAX_TOKENS: usize = 4;

impl HttpSessions {
    /// Sessions of `manager` in the default cookie.
    #[must_use]
    pub fn new(manager: SessionManager) -> Self {
        Self { manager, cookie: Arc::default(), warned: Arc::default() }
    }

    /// The same sessions in this cookie.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if browsers would refuse it.
    pub fn with_cookie(mut self, cookie: SessionCookie) -> Result<Self> {
        cookie.validate()?;
        self.cookie = Arc::new(cookie);
        Ok(self)
    }

    /// The same sessions in [`SessionCookie::insecure_local`].
    #[must_use]
    pub fn insecure_local(mut self) -> Self {
        self.cookie = Arc::new(SessionCookie::insecure_local());
        self
    }

    /// The manager behind.
    #[must_use]
    pub fn manager(&self) -> &SessionManager {
        &self.manager
    }

    /// Begins with a request. No I/O: a request that never opens its session costs none.
    pub fn begin(&self, head: &Head<'_>) -> Exchange {
        let mut tokens: Vec<SessionToken> = Vec::new();
        let values = head.cookies.iter().flat_map(|header| self.cookie.values(header)).take(MAX_TOKENS);
        for token in values.filter_map(|value| SessionToken::parse(std::str::from_utf8(value).ok()?)) {
            if !tokens.iter().any(|known| known.id() == token.id() && known.digest() == token.digest()) {
                tokens.push(token);
            }
        }
        let loopback = self.cookie.secure && head.host.is_some_and(is_loopback);
        let (asked, cell) = (AtomicBool::new(false), OnceCell::new());
        let shared = Arc::new(Shared { sessions: self.clone(), tokens, loopback, asked, cell });
        Exchange { request: RequestSession { shared }, finished: false }
    }
}

/// The parts of a request that sessions depend on.
#[derive(Clone, Debug, Default)]
pub struct Head<'a> {
    cookies: Vec<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// A request without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the value of a `Cookie` header; a request may have several.
    #[must_use]
    pub fn with_cookie(mut self, header: &'a [u8]) -> Self {
        self.cookies.push(header);
        self
    }

    /// Sets the value of the `Host` header.
    #[must_use]
    pub fn with_host(mut self, host: &'a [u8]) -> Self {
        self.host = Some(host);
        self
    }
}

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
    pub async fn finish(mut self, status: u16) -> Finished {
        let mut finished = Finished::default();
        if self.request.shared.asked.load(Ordering::Relaxed) {
            finished.vary = Some("Cookie");
        }
        let Some(session) = self.request.shared.cell.get().cloned() else { return finished };
        if status >= 500 {
            session.abandon();
        }
        self.finished = true;
        if (status < 500 || session.has_ending())
            && let Err(error) = session.commit().await
        {
            finished.error = Some(error);
        }
        let shared = &self.request.shared;
        finished.set_cookie = match session.answer() {
            Some(Committed::SetToken { token, max_age }) => {
                shared.warn_of_loopback();
                Some(shared.sessions.cookie.set(&token, max_age))
            }
            Some(Committed::ClearToken) => Some(shared.sessions.cookie.remove()),
            Some(Committed::Unchanged) | None => None,
        };
        finished.cache_control = finished.set_cookie.is_some().then_some("no-store");
        finished
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

/// What [`Exchange::finish`] wants done to the answer.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Finished {
    /// The value of a `Set-Cookie` header to append.
    pub set_cookie: Option<String>,
    /// A name to add to the `Vary` header: the answer depends on the session, or on the failure to open
    /// it (RFC 9110, 12.5.5).
    pub vary: Option<&'static str>,
    /// The value that replaces `Cache-Control`: an answer that sets the cookie must not be stored
    /// (OWASP ASVS 14.3.2).
    pub cache_control: Option<&'static str>,
    /// Why the commit failed: answer with
    /// [`http_status`](crate::ErrorKind::http_status) of its kind in place of what the handler said.
    pub error: Option<Error>,
}

/// A request's session, opened when it is first asked for. Clones are the same.
#[derive(Clone)]
pub struct RequestSession {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: HttpSessions,
    tokens: Vec<SessionToken>,
    loopback: bool,
    /// Whether the session was asked for, with success or without.
    asked: AtomicBool,
    cell: OnceCell<Session>,
}

impl RequestSession {
    /// The session: loaded on the first call, the same on every other.
    ///
    /// Of several cookies with our name the one that opens a live session counts. Two that open
    /// different ones count for nothing: somebody may have planted one of them.
    ///
    /// # Errors
    ///
    /// Those of [`SessionManager::open`]; the next call tries again.
    pub async fn open(&self) -> Result<Session> {
        self.shared.asked.store(true, Ordering::Relaxed);
        self.shared.cell.get_or_try_init(|| self.shared.find()).await.cloned()
    }
}

impl Shared {
    async fn find(&self) -> Result<Session> {
        let manager = &self.sessions.manager;
        let mut found = Origin::New;
        for token in &self.tokens {
            match (manager.find(token.clone()).await?, &found) {
                (Origin::Live(_), Origin::Live(_)) => {
                    tracing::warn!("a request came with the cookies of two live sessions");
                    found = Origin::New;
                    break;
                }
                (live @ Origin::Live(_), _) => found = live,
                (Origin::Superseded, Origin::New) => found = Origin::Superseded,
                _ => {}
            }
        }
        Ok(Session::new(manager.clone(), found))
    }

    fn warn_of_loopback(&self) {
        if self.loopback && !self.sessions.warned.swap(true, Ordering::Relaxed) {
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

fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts_are_recognised() {
        for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:80", "127.3.2.1", "[::1]:3000", "[::1]"] {
            assert!(is_loopback(host.as_bytes()), "{host}");
        }
        for host in ["example.org", "127.0.0.1.example.org", "10.0.0.1", "", "["] {
            assert!(!is_loopback(host.as_bytes()), "{host}");
        }
    }
}
