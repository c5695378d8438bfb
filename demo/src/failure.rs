//! What people see when something fails: a page with a status and a way on.

use std::sync::Arc;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use session_kit::{Error, ErrorKind};

use crate::pages;

/// A request that cannot be answered as asked.
#[derive(Debug)]
pub(crate) enum Failure {
    Session(Error),
    NotFound,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => {
                log(&error);
                page(error.kind())
            }
            Self::NotFound => missing("There is no such session of yours: it may have ended already."),
        }
    }
}

/// The session layer commits after the handler has answered; this draws the page if that failed. The layer
/// has told the log.
pub(crate) async fn draw_failed_commit(response: Response) -> Response {
    let Some(error) = response.extensions().get::<Arc<Error>>() else { return response };
    let mut drawn = page(error.kind());
    for (name, value) in response.headers() {
        drawn.headers_mut().append(name, value.clone());
    }
    drawn
}

fn page(kind: ErrorKind) -> Response {
    let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (title, text, way_on) = match status {
        StatusCode::SERVICE_UNAVAILABLE => (
            "Back in a moment",
            "The store of sessions does not answer right now. Nothing is lost, and whoever was signed in \
             still is. Please try again in a few seconds.",
            "Try again",
        ),
        StatusCode::CONFLICT => (
            "Something changed meanwhile",
            "Your session changed in another tab while this request was under way. Nothing was \
             done; please try again.",
            "Try again",
        ),
        _ => ("Something went wrong", "The session could not be read or written. It is logged.", "Home"),
    };
    let mut answer = (status, Html(pages::message(title, text, way_on).into_string())).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

pub(crate) fn log(error: &Error) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, source, "a request failed");
}

/// A path that is not there.
pub(crate) async fn not_found() -> Response {
    missing("This page does not exist.")
}

/// Where a form was sent to, asked for without the form: from the address bar, or by "back".
pub(crate) async fn not_a_page() -> Response {
    let page = pages::message("Not a page", "This address only takes what a form sends.", "Home");
    (StatusCode::METHOD_NOT_ALLOWED, Html(page.into_string())).into_response()
}

fn missing(text: &str) -> Response {
    (StatusCode::NOT_FOUND, Html(pages::message("Not found", text, "Home").into_string())).into_response()
}
