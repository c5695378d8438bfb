//! What the answer to a request needs.

use std::fmt;

use crate::Error;

/// What [`Exchange::finish`](crate::http::Exchange::finish) wants done to the answer.
#[derive(Default)]
#[non_exhaustive]
pub struct Finished {
    /// The value of a `Set-Cookie` header to append.
    pub set_cookie: Option<String>,
    /// The value of a [`Session-Token`](crate::http::SESSION_TOKEN) header to set: the client's token from now
    /// on, empty for one to forget. Of [`bearer`](crate::http::HttpSessions::bearer) sessions only.
    pub session_token: Option<String>,
    /// A name to add to the `Vary` header: the answer depends on the session, or on the failure to open
    /// it (RFC 9110, 12.5.5).
    pub vary: Option<&'static str>,
    /// The value that replaces `Cache-Control`: an answer that hands out a token must not be stored
    /// (OWASP ASVS 14.3.2).
    pub cache_control: Option<&'static str>,
    /// Why the commit failed: answer with
    /// [`http_status`](crate::ErrorKind::http_status) of its kind in place of what the handler said.
    pub error: Option<Error>,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first two hold a secret.
        let Self { set_cookie, session_token, vary, cache_control, error } = self;
        f.debug_struct("Finished")
            .field("set_cookie", &set_cookie.as_ref().map(|_| ".."))
            .field("session_token", &session_token.as_ref().map(|_| ".."))
            .field("vary", vary)
            .field("cache_control", cache_control)
            .field("error", error)
            .finish()
    }
}
