//! How long a session lives, and how long the browser keeps its cookie.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result, Timestamp};

/// The two limits of a session's life (OWASP ASVS 7.3.1 and 7.3.2) and its cookie's.
///
/// Kept with each session and enforced by the core on every load, whatever the store's own expiry does.
/// Changing the defaults of a [`SessionManager`](crate::SessionManager) changes sessions created from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lifetime {
    /// The session ends when no request has opened it for this long; `None` = no such limit, so that
    /// the lifetime is fixed. 24 hours by default.
    pub idle_timeout: Option<Duration>,
    /// The session ends this long after it was created or last signed in, whatever it is used for.
    /// 30 days by default, 400 days at most (RFC 6265bis lets a browser cut off a cookie there).
    pub absolute_timeout: Duration,
    /// What the browser does with the cookie.
    pub cookie: CookieLifetime,
}

/// How long a browser keeps the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CookieLifetime {
    /// Until the session's absolute limit, across restarts of the browser (`Max-Age`). The default.
    #[default]
    #[serde(rename = "p")]
    Persistent,
    /// Until the browser is closed.
    #[serde(rename = "b")]
    BrowserSession,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(24 * 3600)),
            absolute_timeout: Duration::from_secs(30 * 24 * 3600),
            cookie: CookieLifetime::Persistent,
        }
    }
}

impl Lifetime {
    /// The longest absolute limit.
    pub const MAX_ABSOLUTE: Duration = Duration::from_secs(400 * 24 * 3600);

    const MAX_TOUCH_STEP: Duration = Duration::from_secs(60);

    /// The default lifetime.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same lifetime with this idle limit; `None` for no such limit.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// The same lifetime with this absolute limit.
    #[must_use]
    pub fn with_absolute_timeout(mut self, timeout: Duration) -> Self {
        self.absolute_timeout = timeout;
        self
    }

    /// The same lifetime with this one of the cookie.
    #[must_use]
    pub fn with_cookie(mut self, cookie: CookieLifetime) -> Self {
        self.cookie = cookie;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let at_least = Duration::from_millis(1);
        if self.absolute_timeout < at_least || self.absolute_timeout > Self::MAX_ABSOLUTE {
            return Err(Error::describe(ErrorKind::Config, "absolute_timeout is between 1 ms and 400 days"));
        }
        if self.idle_timeout.is_some_and(|idle| idle < at_least) {
            return Err(Error::describe(ErrorKind::Config, "idle_timeout is at least 1 ms"));
        }
        Ok(())
    }

    pub(crate) fn deadline(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.absolute_timeout)
    }

    /// When a session that is used at `now` expires.
    pub(crate) fn expires_at(&self, now: Timestamp, deadline: Timestamp) -> Timestamp {
        self.idle_timeout.map_or(deadline, |idle| now.saturating_add(idle).min(deadline))
    }

    /// Whether a request that changed nothing should still move the expiry: a tenth of the idle
    /// time has gone since the last use, or a minute.
    pub(crate) fn touch_is_due(&self, touched_at: Timestamp, now: Timestamp) -> bool {
        self.idle_timeout.is_some_and(|idle| {
            now.saturating_duration_since(touched_at) >= (idle / 10).min(Self::MAX_TOUCH_STEP)
        })
    }

    /// `Max-Age` of a cookie sent at `now`; `None` for one that ends with the browser.
    pub(crate) fn max_age(&self, now: Timestamp, deadline: Timestamp) -> Option<Duration> {
        match self.cookie {
            CookieLifetime::Persistent => Some(deadline.saturating_duration_since(now)),
            CookieLifetime::BrowserSession => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn touch_step_is_a_tenth_of_the_idle_time_at_most_a_minute() {
        for (idle, step) in [(MINUTE, MINUTE / 10), (20 * MINUTE, MINUTE)] {
            let lifetime = Lifetime { idle_timeout: Some(idle), ..Lifetime::default() };
            let due = Timestamp::MIN.saturating_add(step);
            assert!(lifetime.touch_is_due(Timestamp::MIN, due));
            assert!(!lifetime.touch_is_due(Timestamp::MIN, due.saturating_sub(Duration::from_millis(1))));
        }
        let fixed = Lifetime { idle_timeout: None, ..Lifetime::default() };
        assert!(!fixed.touch_is_due(Timestamp::MIN, Timestamp::MAX));
    }

    #[test]
    fn no_expiry_passes_the_deadline() {
        let deadline = Timestamp::MIN.saturating_add(MINUTE);
        let lifetime = Lifetime { idle_timeout: Some(2 * MINUTE), ..Lifetime::default() };
        assert_eq!(lifetime.expires_at(Timestamp::MIN, deadline), deadline);
    }

    #[test]
    fn limits_are_checked() {
        let too_long = Lifetime::MAX_ABSOLUTE + Duration::from_millis(1);
        for lifetime in [
            Lifetime { absolute_timeout: too_long, ..Lifetime::default() },
            Lifetime { absolute_timeout: Duration::ZERO, ..Lifetime::default() },
            Lifetime { idle_timeout: Some(Duration::ZERO), ..Lifetime::default() },
        ] {
            assert_eq!(lifetime.validate().unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
