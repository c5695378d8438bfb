//! Sessions as [actix-web](https://docs.rs/actix-web) middleware: [`SessionMiddleware`].
//!
//! Handlers get the session by its extractor, `Session` itself, or from the request's extensions as
//! [`RequestSession`](session_core::http::RequestSession). It is loaded when first asked for and
//! committed before the head of the answer leaves.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use session_actix::SessionMiddleware;
//! use session_core::{Key, Result, Session, SessionManager};
//! # use session_memory::MemoryBackend;
//!
//! const VIEWS: Key<u64> = Key::new("views");
//!
//! async fn count(session: Session) -> Result<String> {
//!     Ok(session.update(VIEWS, |views| views.unwrap_or(0) + 1)?.to_string())
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = SessionManager::builder(MemoryBackend::new()).build()?;
//! let middleware = SessionMiddleware::new(sessions).insecure_local();
//! HttpServer::new(move || App::new().wrap(middleware.clone()).route("/", web::get().to(count)))
//!     .bind("127.0.0.1:3000")?
//!     .run()
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! Make the [`SessionManager`](session_core::SessionManager) and the middleware once, outside the closure, and
//! clone them into it: actix-web calls it once for each of its workers. Each worker is a runtime of its own; the
//! backends of the project serve all of them, and none that is busy keeps the others from the store.
//!
//! - Below status 500 everything is committed, also where the status comes from an error that a handler or an
//!   inner middleware returned. From 500 on, and when the handler panics or the client goes away, nothing is but
//!   a `destroy` or `sign_out`.
//! - If the commit fails, its status (503, 409, ...) and an empty body take the place of the answer; the
//!   error is in the response's extensions as `Arc<session_core::Error>`, for an outer middleware that draws a page.
//! - An answer with the session's token is `Cache-Control: no-store`; one whose request asked for its session
//!   has `Vary: Cookie`, or `Vary: Authorization`.
//!
//! A handler may [`commit`](session_core::Session::commit) by itself, to learn the outcome before it answers. One
//! that fails keeps its changes, and the middleware commits them again: if the handler catches a `Conflict` and
//! answers 200, the middleware's own commit decides, and where that fails, too, its 409 takes the place of the 200.
//! To answer as if nothing was to be stored, drop the changes by
//! [`Session::reload`](session_core::Session::reload).
//!
//! A body that is streamed, or a connection that is upgraded, goes on after the commit: call
//! [`Session::reload`](session_core::Session::reload) there before changing the session, and commit yourself.

mod middleware;
mod service;

pub use middleware::SessionMiddleware;
pub use service::SessionService;
