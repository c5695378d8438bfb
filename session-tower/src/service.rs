//! The service: begins with the request's head, finishes before the answer's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use session_core::http::{Exchange, Finish, Finished, Head, HttpSessions, SESSION_TOKEN};
use tower_service::Service;

/// A service whose requests have sessions; made by [`SessionLayer`](crate::SessionLayer).
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    sessions: HttpSessions,
}

impl<S> SessionService<S> {
    pub(crate) fn new(inner: S, sessions: HttpSessions) -> Self {
        Self { inner, sessions }
    }
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let exchange = self.sessions.begin(&head(request.headers()));
        request.extensions_mut().insert(exchange.request().clone());
        ResponseFuture {
            state: State::Handling { handler: self.inner.call(request), exchange: Some(exchange) },
        }
    }
}

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

pin_project! {
    /// The answer of a [`SessionService`].
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R> {
        Handling {
            #[pin]
            handler: F,
            exchange: Option<Exchange>,
        },
        Finishing {
            finish: Finish,
            response: Option<Response<R>>,
        },
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.state.as_mut().project() {
            StateProjection::Handling { handler, exchange } => {
                // An error of the inner service drops the exchange, as a panic does.
                let response = ready!(handler.poll(context))?;
                let Some(exchange) = exchange.take() else { return Poll::Ready(Ok(response)) };
                let mut finish = exchange.finish(response.status().as_u16());
                // Mostly ready at once: then nothing is kept for a later poll.
                match Pin::new(&mut finish).poll(context) {
                    Poll::Ready(finished) => Poll::Ready(Ok(apply(finished, response))),
                    Poll::Pending => {
                        this.state.set(State::Finishing { finish, response: Some(response) });
                        Poll::Pending
                    }
                }
            }
            StateProjection::Finishing { finish, response } => {
                let finished = ready!(Pin::new(finish).poll(context));
                let response = response.take().unwrap_or_else(|| Response::new(R::default()));
                Poll::Ready(Ok(apply(finished, response)))
            }
        }
    }
}

fn apply<R: Default>(finished: Finished, mut response: Response<R>) -> Response<R> {
    if let Some(error) = finished.error {
        response = Response::new(R::default());
        *response.status_mut() =
            StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(Arc::new(error));
    }
    let headers = response.headers_mut();
    // Only visible ASCII goes into these: the cookie's parts were checked, a token is base64url.
    let value = |text: Option<String>| HeaderValue::try_from(text?).ok();
    if let Some(cookie) = value(finished.set_cookie) {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(token) = value(finished.session_token) {
        headers.insert(HeaderName::from_static(SESSION_TOKEN), token);
    }
    if let Some(name) = finished.vary {
        headers.append(VARY, HeaderValue::from_static(name));
    }
    if let Some(policy) = finished.cache_control {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(policy));
    }
    response
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
