//! The demo in a real browser: each test is a step that a person takes, on a demo, a driver and profiles of its
//! own, and prints `browser: <step> ok` past the harness, so that the line stands in every log.

#![expect(clippy::unwrap_used, reason = "in a test it is the assertion")]
#![expect(clippy::future_not_send, reason = "a step runs on one thread, from its first page to its last")]

mod counting;
mod looks;
#[path = "../../../session-sql/tests/postgres/private_server.rs"]
#[expect(dead_code, reason = "the tests of the driver use more of it")]
mod private_server;
mod profile;
#[path = "../web/support/server.rs"]
#[expect(dead_code, reason = "the tests without a browser use more of it")]
mod server;
mod several;
mod signing;
mod stage;
mod trouble;
