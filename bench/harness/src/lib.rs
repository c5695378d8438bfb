//! What the benchmarks of session-kit and of its peers share: the picks, the clock, the payloads and the talk with
//! `cargo xtask bench`.
//!
//! A program built on it holds one filled store and waits. It is told one cell at a time (an operation, a number of
//! tasks, a time) on its standard input, runs it, and answers with one line of JSON. So the programs of several
//! sides stay up for a whole run, each idle while another works, and cells alternate within seconds.

pub mod payload;

mod cell;
mod cookies;
mod cpu;
mod files;
mod program;
mod redis;
mod run;
mod store;

pub use cell::{Cell, Operation, Outcome};
pub use cookies::Cookies;
pub use program::{Program, Values, serve};
pub use redis::RedisDatabase;
pub use store::{Beside, Failure, Store, id, parallel};
