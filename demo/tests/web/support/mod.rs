//! The two sides of every test: a server that runs, and browsers that visit it.

mod browser;
mod page;
#[path = "../../../../session-sql/tests/postgres/private_server.rs"]
#[expect(dead_code, reason = "the tests of the driver use more of it")]
mod private_server;
mod server;
mod shared_store;

pub(crate) use browser::Browser;
pub(crate) use page::{Home, between};
pub(crate) use private_server::PrivateServer;
pub(crate) use server::{PATIENCE, Server, Workplace};
pub(crate) use shared_store::{SharedStore, missing_is_allowed};
