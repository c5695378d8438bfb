//! The layer: how an application adds sessions to its routes.

use session_core::http::{HttpSessions, SessionCookie};
use session_core::{Result, SessionManager};
use tower_layer::Layer;

use crate::SessionService;

/// Gives every request of the services inside a session.
///
/// ```
/// # use session_core::{Result, SessionBackend, SessionManager};
/// use session_tower::SessionLayer;
///
/// # fn example(backend: impl SessionBackend) -> Result<()> {
/// let sessions = SessionManager::builder(backend).build()?;
/// let layer = SessionLayer::new(sessions);
/// # let router: axum::Router = axum::Router::new().layer(layer); Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer {
    sessions: HttpSessions,
}

impl SessionLayer {
    /// Sessions of `manager` in the default cookie, `__Host-session`, which browsers send over
    /// HTTPS only.
    #[must_use]
    pub fn new(manager: SessionManager) -> Self {
        Self { sessions: HttpSessions::new(manager) }
    }

    /// The same layer with this cookie.
    ///
    /// # Errors
    ///
    /// [`Config`](session_core::ErrorKind::Config) if browsers would refuse it.
    pub fn with_cookie(self, cookie: SessionCookie) -> Result<Self> {
        Ok(Self { sessions: self.sessions.with_cookie(cookie)? })
    }

    /// The same layer with a cookie that works over plain http: for loopback and nothing else. See
    /// [`SessionCookie::insecure_local`].
    #[must_use]
    pub fn insecure_local(self) -> Self {
        Self { sessions: self.sessions.insecure_local() }
    }

    /// The same layer with bearer tokens instead of a cookie, for clients that are no browsers. See
    /// [`HttpSessions::bearer`].
    #[must_use]
    pub fn bearer(self) -> Self {
        Self { sessions: self.sessions.bearer() }
    }

    /// The same layer, to which every request is activity, not only one that opens its session. See
    /// [`HttpSessions::touch_always`] for what it costs.
    #[must_use]
    pub fn touch_always(self) -> Self {
        Self { sessions: self.sessions.touch_always() }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.sessions.clone())
    }
}
