//! What browsers send: the cookie of each session, for requests that come from all of them in turn.

use std::sync::Arc;

use crate::Failure;

/// Cookies of one length, in one text: fetching one is no part of what a server does, so it should cost little and
/// leave the processor's caches to the sessions.
#[derive(Clone)]
pub struct Cookies {
    text: Arc<str>,
    length: usize,
}

impl Cookies {
    /// The cookies of sessions number 0, 1, 2...
    ///
    /// # Errors
    ///
    /// If there is none, or they differ in length.
    pub fn new(cookies: &[String]) -> Result<Self, Failure> {
        let length = cookies.first().ok_or("no session was created")?.len();
        if cookies.iter().any(|cookie| cookie.len() != length) {
            return Err("cookies of several lengths".into());
        }
        Ok(Self { text: cookies.concat().into(), length })
    }

    /// The cookie of session number `session`.
    ///
    /// # Errors
    ///
    /// If there are not so many.
    pub fn of(&self, session: u64) -> Result<&str, Failure> {
        let start = usize::try_from(session)? * self.length;
        Ok(self.text.get(start..start + self.length).ok_or("no such session")?)
    }
}
