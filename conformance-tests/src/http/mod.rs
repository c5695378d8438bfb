//! The suite for integrations with HTTP frameworks: what every one of them must do, on the wire.
//!
//! Its author writes an [`HttpHarness`]: how the suite's [`Application`] is served. The suite brings the
//! handlers, speaks HTTP over a socket of its own, watches the store behind the application and can make it
//! fail. The runnable servers of session-kit show adapters of about eighty lines.

mod application;
mod broken;
mod cases;
mod client;
mod context;
mod site;

use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

pub use self::application::{Application, Body, ByteStream, Reply, Scope};
pub use self::broken::{BrokenIntegration, run_broken};
use crate::harness::Promises;
use crate::run::{Suite, run_suite};

/// An integration under test.
pub trait HttpHarness: Debug + Send + Sync + 'static {
    /// The row's name in test names and summaries: `tower`, `actix`.
    fn name(&self) -> &str;

    /// Serves the application on this listener, until [`Application::stopped`] returns.
    ///
    /// It is called on a thread of its own, without a runtime, for each case once. The listener does not
    /// block. Connections still open at the end may be cut off.
    ///
    /// The application has two [`Scope`]s, the second below `/inner` *and* within the first, as
    /// middleware within middleware. Each has three routes, for every method:
    ///
    /// | route | handler | calls |
    /// |---|---|---|
    /// | `/plain/{action}` | takes no session | [`Scope::plain`] |
    /// | `/session/{action}` | takes the `Session` by the framework's extractor | [`Scope::session`] |
    /// | `/result/{action}` | takes a `Result<Session, Error>` | [`Scope::result`] |
    ///
    /// What they return is the answer as the application means it: status, headers and body pass
    /// unchanged, an error by the integration's own conversion.
    ///
    /// # Errors
    ///
    /// Those of the server; a case that has no server fails.
    fn serve(&self, listener: TcpListener, application: Application) -> io::Result<()>;
}

/// Runs every case on an integration, against the committed list at `list` (relative to the package).
///
/// It is the `main` of a test target with `harness = false`, as [`crate::run`] is for drivers.
pub fn run(harness: impl HttpHarness, list: impl AsRef<Path>) -> ExitCode {
    let row = harness.name().to_owned();
    let subject: Arc<dyn HttpHarness> = Arc::new(harness);
    run_suite(Suite { cases: cases::all(), subject, row, promises: Promises::default() }, list.as_ref())
}
