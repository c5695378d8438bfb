//! Sessions as [tower](https://docs.rs/tower) middleware: [`SessionLayer`].
//!
//! Handlers get the session through an extractor (with axum: `Session` itself) or from the request's
//! extensions as [`RequestSession`](session_core::http::RequestSession). It is loaded when first asked for and
//! committed before the head of the answer leaves.
//!
//! - Below status 500 everything is committed. From 500 on, and when the handler panics or the client goes
//!   away, nothing is but a `destroy` or `sign_out`.
//! - If the commit fails, its status (503, 409, ...) and an empty body take the place of the answer; the
//!   error is in the response's extensions as `Arc<session_core::Error>`, for an outer layer that draws a page.
//! - An answer with the session's token is `Cache-Control: no-store`; one whose request asked for its session
//!   has `Vary: Cookie`, or `Vary: Authorization`.
//!
//! A handler may [`commit`](session_core::Session::commit) by itself, to learn the outcome before it answers. One
//! that fails keeps its changes, and the layer commits them again: if the handler catches a `Conflict` and answers
//! 200, the layer's own commit decides, and where that fails, too, its 409 takes the place of the 200. To answer
//! as if nothing was to be stored, drop the changes by [`Session::reload`](session_core::Session::reload).
//!
//! A body that is streamed, or a connection that is upgraded, goes on after the commit: call
//! [`Session::reload`](session_core::Session::reload) there before changing the session, and commit yourself.

mod layer;
mod service;

pub use layer::SessionLayer;
pub use service::{ResponseFuture, SessionService};
