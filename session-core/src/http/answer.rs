//! What an [`Error`] looks like as an answer, and in the log.

use std::error::Error as _;

use crate::Error;

/// Why a handler's session cannot be had where no middleware has brought it.
#[cfg(any(feature = "actix-web-4", feature = "axum-core-0_5"))]
pub(super) const NO_MIDDLEWARE: &str = "this route has no session middleware: put it around the route";

/// The status of the error's kind and one plain line. The details go to the log.
#[cfg(any(feature = "actix-web-4", feature = "axum-core-0_5"))]
pub(super) fn answer(error: &Error) -> (u16, String) {
    log_failure(error, "no session for a request");
    (error.kind().http_status(), error.kind().to_string())
}

/// Tells the log of what is not the client's doing.
pub(super) fn log_failure(error: &Error, what: &'static str) {
    if error.kind().http_status() >= 500 {
        let source = error.source().map(ToString::to_string);
        tracing::error!(%error, source, "{what}");
    }
}
