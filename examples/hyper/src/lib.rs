//! Sessions in hyper without a framework: all that an integration has to do.
//!
//! Every integration is these three steps: [`HttpSessions::begin`] with the request's head, the handler,
//! [`finish`](session_core::http::Exchange::finish) with the answer's status. Nothing of the request's
//! changes is stored if the future is dropped on the way: because the client went away, or the handler panicked.

use hyper::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, HeaderValue, SET_COOKIE, VARY};
use hyper::{HeaderMap, Request, Response, StatusCode};
use session_core::http::{Finished, Head, HttpSessions, RequestSession, SESSION_TOKEN};
use session_core::{Error, ErrorKind, Result, Session};

/// Answers a request by `handler`, which gets the session by [`session`].
pub async fn with_sessions<I, O, F>(
    sessions: &HttpSessions,
    mut request: Request<I>,
    handler: impl FnOnce(Request<I>) -> F,
) -> Response<O>
where
    F: Future<Output = Response<O>>,
    O: Default,
{
    let exchange = sessions.begin(&head(request.headers()));
    request.extensions_mut().insert(exchange.request().clone());
    let response = handler(request).await;
    // Commits: so that what the answer says is stored before it leaves.
    let finished = exchange.finish(response.status().as_u16()).await;
    apply(finished, response)
}

/// The session of a request; loaded on the first call.
///
/// # Errors
///
/// Those of [`RequestSession::open`]; [`Config`](ErrorKind::Config) outside of [`with_sessions`].
pub async fn session<I: Sync>(request: &Request<I>) -> Result<Session> {
    let Some(session) = request.extensions().get::<RequestSession>().cloned() else {
        return Err(Error::new(ErrorKind::Config, "a request that did not come by with_sessions"));
    };
    session.open().await
}

/// What a client is told of an error: the status of its kind, and nothing that is nobody's business.
pub fn failure<O: Default>(error: &Error) -> Response<O> {
    let mut response = Response::new(O::default());
    let status = StatusCode::from_u16(error.kind().http_status());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// The parts of a request's head that sessions depend on.
fn head(headers: &HeaderMap) -> Head<'_> {
    let mut head = Head::new();
    for cookie in headers.get_all(COOKIE) {
        head = head.with_cookie(cookie.as_bytes());
    }
    for authorization in headers.get_all(AUTHORIZATION) {
        head = head.with_authorization(authorization.as_bytes());
    }
    if let Some(host) = headers.get(HOST) {
        head = head.with_host(host.as_bytes());
    }
    head
}

fn apply<O: Default>(finished: Finished, mut response: Response<O>) -> Response<O> {
    // An answer whose commit failed must not get out: it speaks of what is not stored.
    if let Some(error) = &finished.error {
        response = failure(error);
    }
    let headers = response.headers_mut();
    let value = |text: Option<String>| HeaderValue::try_from(text?).ok();
    // Beside the application's own cookies and `Vary`, in place of its `Cache-Control`.
    if let Some(cookie) = value(finished.set_cookie) {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(token) = value(finished.session_token) {
        headers.insert(SESSION_TOKEN, token);
    }
    if let Some(name) = finished.vary {
        headers.append(VARY, HeaderValue::from_static(name));
    }
    if let Some(policy) = finished.cache_control {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(policy));
    }
    response
}
