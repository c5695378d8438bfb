//! The service: begins with the request's head, finishes before the answer's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, VARY,
};
use actix_web::{HttpMessage as _, HttpResponse, ResponseError};
use session_core::Error;
use session_core::http::{Finished, Head, HttpSessions, SESSION_TOKEN};

/// A service whose requests have sessions; made by [`SessionMiddleware`](crate::SessionMiddleware).
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

impl<S, B> Service<ServiceRequest> for SessionService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let exchange = self.sessions.begin(&head(request.headers()));
        // A scope within may have sessions of its own, and what is around this middleware, others again.
        let outer = request.extensions_mut().insert(exchange.request().clone());
        let handler = self.inner.call(request);
        Box::pin(async move {
            let answer = handler.await;
            if let (Ok(response), Some(outer)) = (&answer, outer) {
                response.request().extensions_mut().insert(outer);
            }
            // Errors of handlers are responses by now. Those of inner middleware become one further out, of
            // this status.
            let status = match &answer {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            let mut finished = exchange.finish(status.as_u16()).await;
            let failure =
                finished.error.take().map(|error| actix_web::Error::from(CommitFailed(Arc::new(error))));
            match (answer, failure) {
                (Ok(response), None) => {
                    let mut response = response.map_into_left_body();
                    add_headers(&finished, response.headers_mut());
                    Ok(response)
                }
                (Ok(response), Some(failure)) => {
                    let mut response =
                        response.into_response(HttpResponse::from_error(failure)).map_into_right_body();
                    add_headers(&finished, response.headers_mut());
                    Ok(response)
                }
                (Err(error), failure) => {
                    let mut error = failure.unwrap_or(error);
                    error.add_response_mapper(move |mut response| {
                        add_headers(&finished, response.headers_mut());
                        response
                    });
                    Err(error)
                }
            }
        })
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

fn add_headers(finished: &Finished, headers: &mut HeaderMap) {
    // Only visible ASCII goes into these: the cookie's parts were checked, a token is base64url.
    let value = |text: &Option<String>| HeaderValue::try_from(text.as_deref()?).ok();
    if let Some(cookie) = value(&finished.set_cookie) {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(token) = value(&finished.session_token) {
        headers.insert(HeaderName::from_static(SESSION_TOKEN), token);
    }
    if let Some(name) = finished.vary {
        headers.append(VARY, HeaderValue::from_static(name));
    }
    if let Some(policy) = finished.cache_control {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(policy));
    }
}

/// What takes the place of an answer whose commit failed.
#[derive(Debug)]
struct CommitFailed(Arc<Error>);

impl fmt::Display for CommitFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for CommitFailed {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.0.clone());
        response
    }
}
