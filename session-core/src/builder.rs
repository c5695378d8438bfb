//! How a [`SessionManager`] is put together, each setting with its default and its cost.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::cap::Cap;
use crate::contention::Contention;
use crate::events::Observer;
use crate::manager::{Inner, Settings};
use crate::store::Store;
use crate::{
    Clock, Codec, CookieLifetime, Error, ErrorKind, IdGenerator, Janitor, Lifetime, OnLimit, OnReplay,
    RandomIds, Result, SessionBackend, SessionEvents, SessionManager, SystemClock,
};

/// Settings of a [`SessionManager`]; made by [`SessionManager::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionManagerBuilder {
    backend: Arc<dyn SessionBackend>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    store_timeout: Duration,
    janitor: Option<Janitor>,
    events: Option<Arc<dyn SessionEvents>>,
    settings: Settings,
}

const MAX_GRACE: Duration = Duration::from_secs(300);
/// Below it, whoever meant another unit would have every request write.
const MIN_ROTATE_EVERY: Duration = Duration::from_secs(1);

impl SessionManagerBuilder {
    pub(crate) fn new(backend: Arc<dyn SessionBackend>) -> Self {
        Self {
            backend,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            store_timeout: Duration::from_secs(5),
            janitor: None,
            events: None,
            settings: Settings {
                lifetime: Lifetime::default(),
                codec: Codec::default(),
                grace: Duration::from_secs(30),
                rotate_every: None,
                on_replay: OnReplay::Reject,
                detect_overwrites: false,
                cap: None,
                max_record_size: 256 * 1024,
                max_clock_skew: Duration::from_secs(3600),
            },
        }
    }

    /// Ends a session that no request has opened for this long; `None` for a fixed lifetime.
    ///
    /// Default: 24 hours. Cost: a small write (a touch) whenever a tenth of it, at most a minute, has
    /// passed between two requests of a session. The longest idle time is one such step short of exact.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.lifetime.idle_timeout = timeout.into();
        self
    }

    /// Ends a session this long after it was created or last signed in. Default: 30 days; at most 400.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.settings.lifetime.absolute_timeout = timeout;
        self
    }

    /// Whether the cookie outlives the browser. Default: [`Persistent`](CookieLifetime::Persistent).
    pub fn cookie_lifetime(mut self, cookie: CookieLifetime) -> Self {
        self.settings.lifetime.cookie = cookie;
        self
    }

    /// For how long a token that was replaced still counts as one of a request in flight, which may
    /// not write, but is no stranger either. Default: 30 seconds; at most 5 minutes.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Replaces the token of a signed-in session that is in use this often, gracefully: the old one stays
    /// valid until the browser has shown the new one, and for `grace` after that. Default: never; at least a
    /// second.
    ///
    /// It limits for how long a stolen copy of a cookie is of use, and makes a later use of the copy
    /// noticeable: see [`on_replay`](Self::on_replay). Cost: one write for each rotation and one more when the
    /// new token is first presented.
    ///
    /// An answer with a new token that is lost does not end the session: the old token stays valid, and the
    /// next request after `grace` gets another new one. Four lost in a row fill the list of replaced tokens, and
    /// the session keeps the old token, unrotated, until the next sign-in or
    /// [`rotate`](crate::Session::rotate).
    pub fn rotate_every(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.settings.rotate_every = interval.into();
        self
    }

    /// What to do when a token comes back that was replaced by a periodic rotation long ago. Default:
    /// [`Reject`](OnReplay::Reject).
    pub fn on_replay(mut self, policy: OnReplay) -> Self {
        self.settings.on_replay = policy;
        self
    }

    /// Makes a commit fail with [`Conflict`](ErrorKind::Conflict) that would overwrite, by a plain insert or
    /// removal, what this session has read and another request has changed since. Default: the last commit
    /// wins. [`update`](crate::Session::update) needs none of it.
    pub fn detect_overwrites(mut self) -> Self {
        self.settings.detect_overwrites = true;
        self
    }

    /// Limits how many sessions one principal may have at a time. Default: no limit. Costs a list for
    /// each sign-in; needs a store that can list.
    ///
    /// Holds once the sign-ins that run at the same time have returned.
    pub fn max_sessions_per_principal(mut self, sessions: NonZeroUsize, policy: OnLimit) -> Self {
        self.settings.cap = Some(Cap { sessions: sessions.get(), policy });
        self
    }

    /// How long one call of the store may take. Default: 5 seconds.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// The most bytes that a session may take in the store, bookkeeping included. Default: 256 KiB.
    ///
    /// Every request with the session reads them all: keep sessions small. A commit that makes a
    /// session smaller is allowed whatever this is.
    pub fn max_record_size(mut self, bytes: usize) -> Self {
        self.settings.max_record_size = bytes;
        self
    }

    /// The stored form of the values of sessions that are created from now on. Default: [`Codec::Json`].
    pub fn codec(mut self, codec: Codec) -> Self {
        self.settings.codec = codec;
        self
    }

    /// By how much the clocks of the nodes may differ before a purge could hurt. Default: 1 hour, which is
    /// what a time zone or summer time set wrong makes of a clock; costs the space of the sessions that expired
    /// within it.
    ///
    /// [`purge_expired`](SessionManager::purge_expired) leaves what expired more recently than that, so that
    /// a node whose clock is fast removes nobody's live session.
    pub fn max_clock_skew(mut self, skew: Duration) -> Self {
        self.settings.max_clock_skew = skew;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Who hears what happens to sessions. Default: nobody. Costs a thread.
    pub fn events(mut self, listener: impl SessionEvents) -> Self {
        self.events = Some(Arc::new(listener));
        self
    }

    /// Where tokens come from. Default: [`RandomIds`].
    pub fn ids(mut self, ids: impl IdGenerator) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// Sweeps expired sessions in a task of its own, for as long as a clone of the manager lives.
    /// Default: none here; session-kit sets one.
    pub fn janitor(mut self, janitor: impl Into<Option<Janitor>>) -> Self {
        self.janitor = janitor.into();
        self
    }

    /// The manager. With a janitor it must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) for a setting out of its range, or a janitor outside a runtime.
    pub fn build(self) -> Result<SessionManager> {
        let Self { backend, clock, ids, store_timeout, janitor, events, settings } = self;
        settings.lifetime.validate()?;
        if settings.grace > MAX_GRACE {
            return Err(Error::describe(ErrorKind::Config, "grace is at most 5 minutes"));
        }
        if settings.rotate_every.is_some_and(|interval| interval < MIN_ROTATE_EVERY) {
            return Err(Error::describe(ErrorKind::Config, "rotate_every is at least 1 second"));
        }
        if store_timeout.is_zero() {
            return Err(Error::describe(ErrorKind::Config, "store_timeout is zero"));
        }
        let runtime = match &janitor {
            Some(_) => Some(Handle::try_current().map_err(|error| {
                Error::new(ErrorKind::Config, error).with_detail("a janitor needs a tokio runtime")
            })?),
            None => None,
        };
        let inner = Arc::new(Inner {
            store: Store::new(backend, store_timeout),
            clock,
            ids,
            contention: Contention::new(),
            observer: events.map_or_else(|| Ok(Observer::default()), Observer::telling)?,
            settings,
        });
        if let (Some(janitor), Some(runtime)) = (janitor, runtime) {
            runtime.spawn(janitor.run(Arc::downgrade(&inner)));
        }
        Ok(SessionManager::from_shared(inner))
    }
}
