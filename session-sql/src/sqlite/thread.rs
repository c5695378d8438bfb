//! The threads that a backend owns, so that the async runtime need not wait for SQLite.

use std::thread::{Builder, JoinHandle};

use session_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

pub(super) fn spawn(body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // Debuggers and `top` show 15 characters of it.
    let thread = Builder::new().name("session-sqlite".to_owned());
    thread.spawn(body).map_err(|error| Error::new(ErrorKind::Unavailable, error).with_detail("no thread"))
}

/// Runs blocking `work` that has no connection yet on a thread of its own.
pub(super) async fn run_once<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (reply, result) = oneshot::channel();
    spawn(move || {
        // Nobody may be waiting any more.
        let _ = reply.send(work());
    })?;
    result.await.map_err(|_| ended())?
}

/// What a caller hears whose thread is gone.
pub(super) fn ended() -> Error {
    Error::describe(ErrorKind::Internal, "a database thread ended unexpectedly")
}
