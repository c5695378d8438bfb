//! What an integration keeps: a manager, how tokens travel, and what counts as activity.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::http::transport::Transport;
use crate::http::{Exchange, Head, SessionCookie};
use crate::{Result, SessionManager};

/// A [`SessionManager`] with a way for tokens to travel. Clones share everything.
#[derive(Clone, Debug)]
pub struct HttpSessions {
    /// One of it: it is cloned for every request.
    pub(super) shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) manager: SessionManager,
    pub(super) transport: Transport,
    pub(super) touch_always: bool,
    /// Whether the log has been told that browsers may drop the cookie.
    pub(super) warned: Arc<AtomicBool>,
}

impl HttpSessions {
    /// Sessions of `manager` in the default cookie.
    #[must_use]
    pub fn new(manager: SessionManager) -> Self {
        let transport = Transport::Cookie(SessionCookie::default());
        let shared = Shared { manager, transport, touch_always: false, warned: Arc::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The same sessions in this cookie.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if browsers would refuse it.
    pub fn with_cookie(self, cookie: SessionCookie) -> Result<Self> {
        cookie.validate()?;
        Ok(self.with_transport(Transport::Cookie(cookie)))
    }

    /// The same sessions in [`SessionCookie::insecure_local`].
    #[must_use]
    pub fn insecure_local(self) -> Self {
        self.with_transport(Transport::Cookie(SessionCookie::insecure_local()))
    }

    /// The same sessions for clients that are no browsers: tokens travel in headers instead of a cookie.
    ///
    /// The client sends `Authorization: Bearer <token>` (RFC 6750). When its session begins, its token is replaced
    /// or its session ends, the answer has a `Session-Token` header: the token to send from now on, or nothing,
    /// which means to forget the one that it has. An answer without that header changes nothing. No cookie is read
    /// or sent, and [`CookieLifetime`](crate::CookieLifetime) does not matter: a client keeps its token until it is
    /// told otherwise.
    ///
    /// Not for pages in a browser, whose scripts would have to keep the token where other scripts read it.
    #[must_use]
    pub fn bearer(self) -> Self {
        self.with_transport(Transport::Bearer)
    }

    /// Counts every request as activity for the idle timeout. By default only those do that open their session.
    ///
    /// It costs one load for each request that comes with a token and does not ask for its session, and a
    /// touch where one is due: when a tenth of the idle time has passed, at most a minute. Both come after the
    /// answer, which neither waits for them nor depends on them: it has no `Vary`, no rotation and no failure of
    /// theirs. Answers of status 500 and above touch nothing, here as elsewhere.
    #[must_use]
    pub fn touch_always(mut self) -> Self {
        Arc::make_mut(&mut self.shared).touch_always = true;
        self
    }

    fn with_transport(mut self, transport: Transport) -> Self {
        Arc::make_mut(&mut self.shared).transport = transport;
        self
    }

    /// The manager behind.
    #[must_use]
    pub fn manager(&self) -> &SessionManager {
        &self.shared.manager
    }

    /// Begins with a request. No I/O: a request that never opens its session costs none.
    pub fn begin(&self, head: &Head<'_>) -> Exchange {
        let transport = &self.shared.transport;
        let loopback = transport.needs_https() && head.host.is_some_and(is_loopback);
        Exchange::new(self.clone(), transport.presented(head), loopback)
    }
}

fn is_loopback(host: &[u8]) -> bool {
    // Nearly every host of nearly every request ends here.
    let is_localhost = host.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"localhost"));
    if !is_localhost && !host.starts_with(b"127.") && !host.starts_with(b"[") {
        return false;
    }
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
