//! Sessions in a PostgreSQL database, shared by any number of machines.
//!
//! ```no_run
//! use session_sql::postgres::{PostgresBackend, PostgresConfig};
//!
//! # async fn example() -> session_core::Result<()> {
//! let config = PostgresConfig::from_url("postgres://shop@db.example.com/shop?sslmode=verify-full")?;
//! PostgresBackend::migrate(config.clone()).await?; // once, by a role that may create tables
//! let backend = PostgresBackend::connect(config).await?;
//! # let _ = backend; Ok(()) }
//! ```
//!
//! # Guarantees
//!
//! - **Durability**: an acknowledged write is as safe as the server's `synchronous_commit` makes any commit:
//!   with `on`, the server's default, it survives a crash and a power cut of the server. A failover to an
//!   asynchronous replica may lose the latest writes, deletions among them.
//! - **Atomicity**: each change is one statement and commits by itself; what a verb reads after an attempt is
//!   read by a later statement, never from an older snapshot. No verb holds a transaction open.
//! - **A dropped verb** happens once as a whole, or not at all if its turn had not come, and leaves its connection
//!   clean: all I/O runs in tasks of the driver's.
//! - **Any number of runtimes** may share a backend, and connecting needs one of Tokio's. What touches a
//!   connection runs on the runtime that `connect` was called on if that has several threads, else on one of the
//!   driver's own, in one thread: a runtime that is busy or ends, as each worker's of actix-web may, delays and
//!   fails its own callers only. When that with several threads ends, verbs under way fail as
//!   [`Unavailable`](session_core::ErrorKind::Unavailable), and the next ones have new connections on a runtime of
//!   the driver's own.
//! - **No second attempt**: the driver never repeats a statement whose outcome it does not know. One that the
//!   server has rolled back, and says so, may go again: see below.
//! - **Time**: whether a session has expired is decided by the caller's `now`, never by the server's clock
//!   or time zone.
//!
//! # Batches
//!
//! Create, load, update, touch and delete share statements. Calls of a verb queue while that verb's statement is under
//! way, or while a connection is waited for, and then go as one. Nobody waits for others to come: a call that finds
//! nothing under way goes at once, alone, and so does each where calls come one after the other.
//!
//! - **Of each verb at most two statements are under way**, whatever the size of the pool, so a backend has use for
//!   about ten connections; it works with one.
//! - **A batch** has at most 128 calls and 1 MiB of records (a larger record goes alone), in the order of their ids:
//!   two batches never wait for each other's rows. For loads it is the answers that count, by the largest that came
//!   lately. Of one session there is one writing call under way at a time for
//!   each verb, and the next waits for it; loads of one session share.
//! - **Each call has its own outcome.** What a batch has not changed is read by a second statement, so conflicts are
//!   never from before the attempt. If the server refuses a batch on account of one row (a constraint, a trigger,
//!   damage), it was rolled back as a whole, and each call goes again by itself. If it met a lock that somebody holds,
//!   those that nobody holds go again first, as one. A deadlock or a serialization failure is tried again three
//!   times as a batch, then for each call by itself. A server that is lost, stops or takes too long fails all calls of the batch that it has not answered.
//! - **Time in the queue counts**: a call that was not begun within [`acquire_timeout`](PostgresConfig::acquire_timeout)
//!   is `Overloaded` and has done nothing. [`statement_timeout`](PostgresConfig::statement_timeout) plus a second is
//!   for a batch with all that goes again.
//! - Connections of the driver's own are told to find rows by their index always. On those of a pool given to
//!   [`from_pool`](PostgresBackend::from_pool) the planner may scan a table of a few pages instead, and batches of
//!   several processes may then meet in a deadlock, which takes the server's `deadlock_timeout` to be found.
//!
//! # Limits
//!
//! - A verb takes at most [`acquire_timeout`](PostgresConfig::acquire_timeout) to be begun, and
//!   [`statement_timeout`](PostgresConfig::statement_timeout) plus a second then:
//!   by default 2 s and 3 s. Either is below the 5 s of a manager's `store_timeout`, so that it is the
//!   driver that gives up first; a verb that needs nearly all of both may go on after the manager has given up.
//! - While the server cannot be reached verbs wait for it until `acquire_timeout` is over, and are
//!   [`Unavailable`](session_core::ErrorKind::Unavailable) then; a restart that is shorter goes unnoticed by those
//!   that were waiting for a connection. A connection that was in use when the server went away is one
//!   failed verb, or one failed batch.
//! - A row that somebody else has locked keeps one of the verb's two statements until `lock_timeout` is over, twice if
//!   it is met in a batch, and the others of its batch once.
//! - A server in recovery or one whose transactions are read-only is `Unavailable` for every verb that writes.
//! - The isolation level must be `read committed`. Connections of the driver's own set it; those of a pool
//!   given to [`from_pool`](PostgresBackend::from_pool) have what the application set, and on a higher level
//!   writers of one session that meet are [`Contended`](session_core::ErrorKind::Contended).
//! - Behind a pooler that hands one server connection to several clients, such as PgBouncer in transaction
//!   mode, turn [`statement_cache`](PostgresConfig::statement_cache) off unless it knows prepared statements,
//!   and let it ignore the startup parameter `options`.
//! - Damaged rows: a verb that reads one is [`Corrupt`](session_core::ErrorKind::Corrupt) and leaves it as
//!   it is. A delete without revision and a purge remove it. A list leaves it out, with a warning.
//!
//! # Failover
//!
//! A URL may list several hosts: a primary and the replicas of which one takes its place. Sessions are kept on the
//! first that takes writes, and are read there too; [`target_session`](PostgresConfig::target_session) says otherwise.
//!
//! - **The new primary is found without help.** Verbs under way when the old one is lost fail as `Unavailable` or
//!   `Timeout`, and may have taken effect. Those that come later wait for a server that takes writes, each for its
//!   `acquire_timeout`.
//! - **With a synchronous replica no acknowledged write is lost**: `synchronous_standby_names` names the one that is
//!   promoted, and `synchronous_commit` is `on` or `remote_apply`. While no such replica is there, commits wait for
//!   one, and verbs that write are a `Timeout`.
//! - **With an asynchronous one those are lost that had not reached it**: what was under way, which is little over a
//!   network that is well, and all since the replica stopped to hear. Nothing else bounds it. A sign-out may be among
//!   them: a session that has ended is there again. Where that matters, empty the table after such a failover.
//! - **An old primary that comes back must take no writes**: that is for whoever promotes to see to. A driver that finds
//!   two primaries stays with the one it has, or takes the first to answer.
//! - An [`unlogged`](PostgresConfig::unlogged) table is not on replicas: after a failover it is empty.
//!
//! # The table
//!
//! PostgreSQL 12 or newer. [`schema_sql`] makes it and what goes with it: two indexes, a view and a function
//! for the view. Moving `expires_at` mostly leaves the indexes alone, so that a touch writes one row version
//! in the same page and nothing else: a quarter of each page is left free for new versions.
//! `principal` is `bytea`: text cannot hold U+0000, and is compared by the database's locale.
//!
//! Purges find the dead by an index on `filed_at`, which is never later than `expires_at` and may be earlier: to put a
//! session off leaves the index alone. A purge that meets one that was put off files it under its true expiry, at most
//! once in each of its periods of expiry. So a purge takes time by the number of those that are dead or were put off, in
//! statements that look at 500 rows, and never by the number of those that live. Whoever brings `expires_at` forward by
//! hand should bring `filed_at` with it: such a session is dead at once, but its row stays until `filed_at`.
//!
//! The table may be made in partitions by hash of `id`; the driver's statements are the same.
//!
//! A role that only serves sessions needs `USAGE` on the schema, and `SELECT, INSERT, UPDATE, DELETE` on
//! the table.
//!
//! # Reading the table from outside
//!
//! The view `<table>_json` shows ids as hexadecimal, times as `timestamptz`, the principal as text and
//! the session's values as `json` (NULL if they are in another codec):
//!
//! ```sql
//! SELECT id, principal, expires_at, data ->> 'views' FROM sessions_json;
//! ```

mod backend;
mod batches;
mod config;
mod dialect;
mod error;
mod schema;
mod table;
mod url;
mod verbs;

pub use backend::PostgresBackend;
pub use config::PostgresConfig;
pub use schema::{schema_sql, unlogged_schema_sql};

pub(crate) use error::failure;
