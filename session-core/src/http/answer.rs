//! What an [`Error`] looks like as an answer, whatever the framework.

use std::error::Error as _;

use crate::Error;

/// What the log says where a handler's session has no middleware to come from.
pub(super) const NO_MIDDLEWARE: &str = "this route has no session middleware: put it around the route";

/// The status of the error's kind and one plain line. The details go to the log, if it is a failure of
/// this side.
pub(super) fn answer(error: &Error) -> (u16, String) {
    let status = error.kind().http_status();
    if status >= 500 {
        let source = error.source().map(ToString::to_string);
        tracing::error!(%error, source, "no session for a request");
    }
    (status, error.kind().to_string())
}
