//! The extractor and error response of actix-web 4. They live here because only this crate may
//! implement a foreign trait for its types.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};

use super::answer::{NO_MIDDLEWARE, answer};
use crate::http::RequestSession;
use crate::{Error, ErrorKind, Session};

/// Opens the request's session. `Result<Session, Error>` as the argument lets a handler
/// answer by itself when the store is down.
///
/// # Errors
///
/// Those of [`RequestSession::open`]; [`Config`](ErrorKind::Config) on a route without the session middleware.
impl FromRequest for Session {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let request = request.extensions().get::<RequestSession>().cloned();
        Box::pin(async move {
            match request {
                Some(request) => request.open().await,
                None => Err(Error::describe(ErrorKind::Config, NO_MIDDLEWARE)),
            }
        })
    }
}

/// The status of the error's kind and one plain line, without any detail: that goes to the log.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let (_, line) = answer(self);
        HttpResponse::build(self.status_code()).content_type("text/plain; charset=utf-8").body(line)
    }
}
