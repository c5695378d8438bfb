//! Sessions in SQL databases: one crate, a module and a cargo feature for each dialect.
//!
//! - `sqlite`: an embedded database file, or memory. Feature `sqlite`, on by default.
//! - `postgres`: a PostgreSQL server. Feature `postgres`.
//! - `mysql`: a MariaDB or MySQL server. Feature `mysql`.
//!
//! Every dialect keeps one table (`sessions` unless told otherwise) with the same columns: `id`,
//! `revision`, `expires_at`, `deadline`, `touched_at`, `principal`, `meta` and `data`. Times are
//! milliseconds since the Unix epoch, and `data` is what the session's codec wrote: with the default
//! codec one plain JSON document, which other languages and tools read.
//!
//! No text of a client ever becomes SQL: ids arrive as 16 bytes, values are bound, and the table's name
//! is checked and quoted.

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod batching;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod home;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod server;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod table_name;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod target_session;

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use target_session::TargetSession;
