//! Server-side sessions for any Rust server, on any store.
//!
//! [`connect`] takes a URL and returns a [`SessionManager`]; the cargo features say which URLs are known.
//! The URL is all that changes from one store to another.
//!
//! | URL | feature | store |
//! |---|---|---|
//! | `file:PATH` | `file` | a directory of files, made on connecting |
//! | `memory:` | `memory` (default) | this process |
//! | `mysql://ACCOUNT:PASSWORD@HOST/DATABASE`, `mariadb://..` | `mysql` | a MariaDB or MySQL server, whose table `?auto_migrate=true` or an administrator makes |
//! | `postgres://ROLE:PASSWORD@HOST/DATABASE` | `postgres` | a PostgreSQL server, whose table `?auto_migrate=true` or an administrator makes |
//! | `sqlite:PATH`, `sqlite::memory:` | `sqlite` | a SQLite file, made ready on connecting |
//! | `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://..` with TLS | `redis` | Redis 6.2 or later, or Valkey |
//!
//! Options follow as `?key=value&key=value`; an unknown one is an error, not a silence.
//!
//! | store | options |
//! |---|---|
//! | `file:` | `durability` (`process-crash` or `power-loss`), `busy_timeout` (ms; 4000), `threads` (16), `create` (`true`) |
//! | `memory:` | `capacity` (sessions; no limit by default) |
//! | `mysql:`, `mariadb:` | MySQL's (`ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`, `socket`), `target_session_attrs` (`read-write` with several hosts, else `any`), `table` (`sessions`, or `database.sessions`), and from `auto_migrate` on as `postgres:` |
//! | `postgres:` | libpq's (`sslmode`, `sslrootcert`, `host`, `application_name`, `target_session_attrs`, ...), `table` (`sessions`, or `schema.sessions`), `unlogged` (`false`), `auto_migrate` (`false`), `max_connections` (10), `connect_timeout` (s; 5), `acquire_timeout` (ms; 2000), `statement_timeout` (ms; 2000), `lock_timeout` (ms; 1000), `queue_capacity` (1024), `statement_cache` (`true`) |
//! | `sqlite:` | `table` (`sessions`), `durability` (`process-crash` or `power-loss`), `busy_timeout` (ms; 4000), `auto_migrate` (`true`), `create` (`true`) |
//! | `redis://`, `rediss://` | `prefix` (`session:`), `connect_timeout` (ms; 2000), `response_timeout` (ms; 4000), `expiry_slack` (ms; 600000), `eviction` (`refuse` or `allow`), `ca_file` (PEM; the system's authorities) |
//!
//! Of `postgres:`, `mysql:` and `mariadb:` several hosts may be named, `postgres://ROLE:PASSWORD@FIRST:5432,SECOND/DATABASE`:
//! sessions are kept on the first that takes writes, and after a failover on its successor.
//!
//! Paths are percent-decoded and may be relative or absolute (`sqlite:/var/lib/app.db`,
//! `sqlite:///var/lib/app.db`). So are users and passwords: a `?` in a password is written `%3F`.
//!
//! What the crates behind it hold is exported here: the core's types at the top, the middleware for
//! web frameworks as `session_kit::axum` and `session_kit::actix`.

mod connect;
mod url;

pub use connect::{backend, builder, connect};
pub use session_core::*;

/// Sessions in axum: [`SessionLayer`](axum::SessionLayer) goes around the routes,
/// [`Session`] is an extractor.
#[cfg(feature = "axum")]
pub mod axum {
    pub use session_tower::SessionLayer;
}

/// Sessions in actix-web: [`SessionMiddleware`](actix::SessionMiddleware) goes around the routes,
/// [`Session`] is an extractor.
#[cfg(feature = "actix")]
pub mod actix {
    pub use session_actix::SessionMiddleware;
}

/// The README's examples and the guides', compiled.
#[cfg(all(doctest, feature = "actix", feature = "axum", feature = "sqlite"))]
mod guides {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/quick-start.md")]
    struct QuickStart;

    #[doc = include_str!("../../docs/security-model.md")]
    struct SecurityModel;
}
