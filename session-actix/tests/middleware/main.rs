//! The middleware in process, and once behind a real server: handlers on a store in memory that can be made
//! to fail.
//!
//! Each test brings its own handler; [`support::Site`] puts it behind the middleware.

#![expect(clippy::unwrap_used, reason = "in a test it is the assertion")]
#![expect(clippy::future_not_send, reason = "actix-web keeps a request on one thread")]

mod answers;
mod body;
mod commit;
mod extractor;
mod inner_errors;
mod interrupted;
mod server;
mod several;
mod support;
