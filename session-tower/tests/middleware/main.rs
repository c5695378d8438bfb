//! The middleware in process: axum routes on a store in memory that is watched, and can be made to fail.
//!
//! Each test brings its own handler; [`support::Site`] puts it behind the layer.

#![expect(clippy::unwrap_used, reason = "in a test it is the assertion")]

mod activity;
mod bearer;
mod body;
mod commit;
mod config;
mod cookies;
mod extractor;
mod headers;
mod interrupted;
mod layers;
mod lifetimes;
mod lookup;
mod support;
mod warnings;
