//! The middleware: how an application adds sessions to its routes.

use std::future::{Ready, ready};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use session_core::http::{HttpSessions, SessionCookie};
use session_core::{Result, SessionManager};

use crate::SessionService;

/// Gives every request of the services inside a session.
///
/// ```
/// # use session_core::{Result, SessionBackend, SessionManager};
/// use session_actix::SessionMiddleware;
///
/// # fn example(backend: impl SessionBackend) -> Result<()> {
/// let sessions = SessionManager::builder(backend).build()?;
/// let app = actix_web::App::new().wrap(SessionMiddleware::new(sessions));
/// # let _ = app; Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SessionMiddleware {
    sessions: HttpSessions,
}

impl SessionMiddleware {
    /// Sessions of `manager` in the default cookie, `__Host-session`, which browsers send over
    /// HTTPS only.
    #[must_use]
    pub fn new(manager: SessionManager) -> Self {
        Self { sessions: HttpSessions::new(manager) }
    }

    /// The same middleware with this cookie.
    ///
    /// # Errors
    ///
    /// [`Config`](session_core::ErrorKind::Config) if browsers would refuse it.
    pub fn with_cookie(self, cookie: SessionCookie) -> Result<Self> {
        Ok(Self { sessions: self.sessions.with_cookie(cookie)? })
    }

    /// The same middleware with a cookie that works over plain http: for loopback and nothing else. See
    /// [`SessionCookie::insecure_local`].
    #[must_use]
    pub fn insecure_local(self) -> Self {
        Self { sessions: self.sessions.insecure_local() }
    }

    /// The same middleware with bearer tokens instead of a cookie, for clients that are no browsers. See
    /// [`HttpSessions::bearer`].
    #[must_use]
    pub fn bearer(self) -> Self {
        Self { sessions: self.sessions.bearer() }
    }

    /// The same middleware, to which every request is activity, not only one that opens its session. See
    /// [`HttpSessions::touch_always`] for what it costs.
    #[must_use]
    pub fn touch_always(self) -> Self {
        Self { sessions: self.sessions.touch_always() }
    }
}

impl<S, B> Transform<S, ServiceRequest> for SessionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = SessionService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(SessionService::new(inner, self.sessions.clone())))
    }
}
