//! The extractor and error response of frameworks on axum-core 0.5 (axum 0.8). They live here because
//! only this crate may implement a foreign trait for its types.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::answer::{NO_MIDDLEWARE, answer};
use crate::http::RequestSession;
use crate::{Error, ErrorKind, Session};

/// Opens the request's session. `Result<Session, Error>` as the argument lets a handler
/// answer by itself when the store is down.
///
/// # Errors
///
/// Those of [`RequestSession::open`]; [`Config`](ErrorKind::Config) on a route without the session layer.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let Some(request) = parts.extensions.get::<RequestSession>() else {
            return Err(Error::describe(ErrorKind::Config, NO_MIDDLEWARE));
        };
        request.open().await
    }
}

/// The status of the error's kind and one plain line, without any detail: that goes to the log.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, line) = answer(&self);
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), line).into_response()
    }
}
