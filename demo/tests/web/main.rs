//! The demo as people meet it: a process that serves on a socket, and browsers with cookie jars.
//!
//! Each module holds the rules of one part; what does not depend on the store runs on each of them.

#![expect(clippy::unwrap_used, reason = "in a test it is the assertion")]

mod account;
mod counter;
mod home;
mod lifecycle;
mod session_list;
mod sign_in;
mod start;
mod stored;
mod support;
mod trouble;
mod two_processes;

/// Runs each function on a server of its own, once per store, as `<module>::<store>::<function>`.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Server::on_memory().await).await })*
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Server::on_sqlite().await).await })*
        }
    };
}
pub(crate) use on_each_store;
