//! What people see when something fails: a page with a status and a way on.

use std::sync::Arc;

use axum::http::StatusCode;
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

/// The session layer commits after the handler has answered; this draws the page if that failed.
pub(crate) async fn draw_failed_commit(response: Response) -> Response {
    let Some(error) = response.extensions().get::<Arc<Error>>() else { return response };
    log(error);
    let mut drawn = page(error.kind());
    for (name, value) in response.headers() {
        drawn.headers_mut().append(name, value.clone());
    }
    drawn
}

fn page(kind: ErrorKind) -> Response {
    let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (title, text) = match status {
        StatusCode::SERVICE_UNAVAILABLE => (
            "Back in a moment",
            "The store of sessions does not answer. You are still signed in; please try again.",
        ),
        StatusCode::CONFLICT => (
            "Something changed meanwhile",
            "Your session changed in another tab while this request was under way. Nothing was \
             done; please try again.",
        ),
        _ => ("Something went wrong", "The session could not be read or written. It is logged."),
    };
    (status, Html(pages::message(title, text).into_string())).into_response()
}

pub(crate) fn log(error: &Error) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, source, "a request failed");
}

/// A path that is not there.
pub(crate) async fn not_found() -> Response {
    missing("This page does not exist.")
}

fn missing(text: &str) -> Response {
    (StatusCode::NOT_FOUND, Html(pages::message("Not found", text).into_string())).into_response()
}
