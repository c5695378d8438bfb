//! Sessions over HTTP without a framework: header strings in, header strings out.
//!
//! An integration makes one [`HttpSessions`], calls [`begin`](HttpSessions::begin) with each request's
//! head, hands the [`RequestSession`] to the handlers and calls [`finish`](Exchange::finish) with the
//! answer's status before its head leaves. It depends on no version of any HTTP crate.
//! All that [`Finished`] names goes into the answer: which of it is there depends on how tokens travel, by
//! a cookie or as [`bearer`](HttpSessions::bearer) tokens.
//!
//! ```
//! # use session_core::http::{Head, HttpSessions};
//! # use session_core::{SessionBackend, SessionManager, Result};
//! # async fn example(backend: impl SessionBackend) -> Result<()> {
//! let sessions = HttpSessions::new(SessionManager::builder(backend).build()?);
//!
//! let exchange = sessions.begin(&Head::new().with_cookie(b"__Host-session=..."));
//! let session = exchange.request().open().await?;
//! session.insert("greeting", "hello")?;
//! let finished = exchange.finish(200).await;
//! assert!(finished.set_cookie.is_some_and(|cookie| cookie.starts_with("__Host-session=")));
//! # Ok(()) }
//! ```

#[cfg(feature = "actix-web-4")]
mod actix_web;
mod answer;
#[cfg(feature = "axum-core-0_5")]
mod axum_core;
mod cookie;
mod exchange;
mod finished;
mod head;
mod sessions;
mod transport;

pub use cookie::{SameSite, SessionCookie};
pub use exchange::{Exchange, Finish, RequestSession};
pub use finished::Finished;
pub use head::Head;
pub use sessions::HttpSessions;

/// The header by which [`bearer`](HttpSessions::bearer) sessions hand out tokens, as HTTP/2 writes it.
pub const SESSION_TOKEN: &str = "session-token";
