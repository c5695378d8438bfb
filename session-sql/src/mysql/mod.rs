//! Sessions in a MariaDB or MySQL database, shared by any number of machines.
//!
//! ```no_run
//! use session_sql::mysql::{MysqlBackend, MysqlConfig};
//!
//! # async fn example() -> session_core::Result<()> {
//! let config = MysqlConfig::from_url("mysql://shop@db.example.com/shop?ssl-mode=VERIFY_IDENTITY")?;
//! MysqlBackend::migrate(config.clone()).await?; // once, by an account that may create tables
//! let backend = MysqlBackend::connect(config).await?;
//! # let _ = backend; Ok(()) }
//! ```
//!
//! # Guarantees
//!
//! - **Durability**: an acknowledged write is as safe as the server's `innodb_flush_log_at_trx_commit` makes any
//!   commit: with 1, the server's default, it survives a crash and a power cut of the server; with 2 a crash of the
//!   server alone. A failover to an asynchronous replica may lose the latest writes, deletions among them.
//! - **Atomicity**: each change is one statement that commits by itself, or part of a short transaction with changes of
//!   other sessions; what a verb reads after an attempt is read by a later statement, never from an older snapshot. A
//!   purge is a transaction, of at most 500 rows.
//! - **A dropped verb** happens once as a whole, or not at all if its turn had not come, and leaves its connection
//!   clean: all I/O runs in tasks of the driver's.
//! - **Any number of runtimes** may share a backend, and connecting needs one of Tokio's. What touches a
//!   connection runs on the runtime that `connect` was called on if that has several threads, else on one of the
//!   driver's own, in one thread: a runtime that is busy or ends, as each worker's of actix-web may, delays and
//!   fails its own callers only. When that with several threads ends, verbs under way fail as
//!   [`Unavailable`](session_core::ErrorKind::Unavailable), and the next ones have new connections on a runtime of
//!   the driver's own.
//! - **No second attempt**: the driver never repeats a statement whose outcome it does not know. What the server has
//!   rolled back, and says so, may go again: see below.
//! - **Time**: whether a session has expired is decided by the caller's `now`, never by the server's clock
//!   or time zone.
//!
//! # Batches
//!
//! Create, load, update, touch and delete share statements. Calls of a verb queue while that verb's statement is under
//! way, or while a connection is waited for, and then go as one. Nobody waits for others to come: a call that finds
//! nothing under way goes at once, alone, and so does each where calls come one after the other.
//!
//! - **Of each verb at most two batches are under way**, whatever the size of the pool, so a backend has use for
//!   about ten connections; it works with one.
//! - **A batch** has at most 128 calls and 1 MiB of records, or an eighth of the server's `max_allowed_packet` if that
//!   is less (a larger record goes alone), in the order of their ids: two batches never wait for each other's rows. For
//!   loads it is the answers that count, by the largest that came lately. Of one session there is one writing call
//!   under way at a time for each verb, and the next waits for it; loads of one session share.
//! - **Updates** of a batch are a transaction of one statement, in three round trips, and of one more where some do not
//!   match. **Touches and deletes** are a transaction that locks their rows, changes those that match, and commits, in
//!   four. Creates are one of a statement or a few.
//! - **Each call has its own outcome**, and conflicts are never from before the attempt. If the server refuses a batch
//!   on account of one row (a constraint, a trigger, damage), it is rolled back as a whole, and each call goes again by
//!   itself. If it met a lock that somebody holds, those that nobody holds go again first, as one. A deadlock is tried
//!   again three times as a batch, and up to fifteen times for a call by itself. A server that is lost, stops or takes
//!   too long fails all calls of the batch that it has not answered.
//! - **Time in the queue counts**: a call that was not begun within [`acquire_timeout`](MysqlConfig::acquire_timeout)
//!   is `Overloaded` and has done nothing. [`statement_timeout`](MysqlConfig::statement_timeout) plus a second is
//!   for a batch with all that goes again.
//!
//! # Limits
//!
//! - A verb takes at most [`acquire_timeout`](MysqlConfig::acquire_timeout) to be begun, and
//!   [`statement_timeout`](MysqlConfig::statement_timeout) plus a second then:
//!   by default 2 s and 3 s. Either is below the 5 s of a manager's `store_timeout`, so that it is the
//!   driver that gives up first; a verb that needs nearly all of both may go on after the manager has given up.
//! - While the server cannot be reached verbs wait for it until `acquire_timeout` is over, and are
//!   [`Unavailable`](session_core::ErrorKind::Unavailable) then; a restart that is shorter goes unnoticed by those
//!   that were waiting for a connection. A connection that was in use when the server went away is one
//!   failed verb, or one failed batch.
//! - A row that somebody else has locked keeps one of the verb's two batches until `lock_timeout` is over, twice if it
//!   is met in a batch, and the others of its batch once.
//! - `ANALYZE TABLE` and `OPTIMIZE TABLE` wait for the statements under way, and what comes after them waits as well:
//!   batches for at most `lock_timeout`, which is a reason not to raise it far.
//! - A server that is read-only is `Unavailable` for every verb that writes. One whose `binlog_format` is `STATEMENT`
//!   is [`Config`](session_core::ErrorKind::Config): InnoDB cannot log so what the driver's connections do.
//! - A record with its bookkeeping must fit into the server's `max_allowed_packet` (16 MiB by default), else it is
//!   [`TooLarge`](session_core::ErrorKind::TooLarge) and what is stored stays.
//! - Connections of the driver's own set what it rests on, whatever the server or the account has as default:
//!   `autocommit`, isolation level, `sql_mode`, timeouts. Those of a pool given to
//!   [`from_pool`](MysqlBackend::from_pool) have what the application set: each must commit by itself, which
//!   `from_pool` checks on one of them.
//! - Reads and writes go to one server. In a Galera cluster a node may answer with what it has not seen yet, unless
//!   `wsrep_sync_wait` is 7: send all sessions to one node, or set that.
//! - Accounts of MySQL with `caching_sha2_password` need TLS, or the server's socket: the driver does without
//!   encrypted passwords on connections that are not encrypted.
//! - Damaged rows: a verb that reads one is [`Corrupt`](session_core::ErrorKind::Corrupt) and leaves it as
//!   it is. A delete without revision and a purge remove it. A list leaves it out, with a warning.
//!
//! # Failover
//!
//! A URL may list several hosts: a primary and the replicas of which one takes its place. Sessions are kept on the
//! first that takes writes, and are read there too; [`target_session`](MysqlConfig::target_session) says otherwise. A
//! replica is told by `read_only`, which it must have, whatever the account may do in spite of it.
//!
//! - **The new primary is found without help.** Verbs under way when the old one is lost fail as `Unavailable` or
//!   `Timeout`, and may have taken effect. Those that come later wait for a server that takes writes, each for its
//!   `acquire_timeout`. An old primary that becomes read-only while connections are open is noticed by the first write;
//!   until then it answers loads.
//! - **Replication is asynchronous** unless told otherwise, and those acknowledged writes are lost that had not reached
//!   the replica: what was under way, which is little over a network that is well, and all since the replica stopped to
//!   hear. Nothing else bounds it. A sign-out may be among them: a session that has ended is there again. Where that
//!   matters, empty the table after such a failover.
//! - **Semi-synchronous replication** loses no acknowledged write if the server waits for the replica before it
//!   commits (`rpl_semi_sync_master_wait_point=AFTER_SYNC`) and does not give up waiting: after
//!   `rpl_semi_sync_master_timeout`, 10 s by default, it goes on alone.
//! - **An old primary that comes back must take no writes**: that is for whoever promotes to see to. A driver that finds
//!   two primaries stays with the one it has, or takes the first to answer.
//!
//! # The table
//!
//! MariaDB 10.6 or MySQL 8.0, or newer; the tests run on MariaDB. [`schema_sql`] makes it and what goes with it: two
//! indexes and a view. It is one of InnoDB, and all of its columns are numbers or bytes, so that no character set and
//! no collation counts.
//!
//! Purges find the dead by an index on `filed_at`, which is never later than `expires_at` and may be earlier: to put a
//! session off leaves the index alone. A purge that meets one that was put off files it under its true expiry, at most
//! once in each of its periods of expiry. So a purge takes time by the number of those that are dead or were put off, in
//! transactions that look at 500 rows, and never by the number of those that live. Whoever brings `expires_at` forward by
//! hand should bring `filed_at` with it: such a session is dead at once, but its row stays until `filed_at`.
//!
//! An account that only serves sessions needs `SELECT, INSERT, UPDATE, DELETE` on the table.
//!
//! # Reading the table from outside
//!
//! The view `<table>_json` shows ids as hexadecimal, times as `datetime` in UTC, the principal as text and the
//! session's values as JSON text (NULL if they are in another codec, or nested deeper than the server reads):
//!
//! ```sql
//! SELECT id, principal, expires_at, JSON_VALUE(data, '$.views') FROM sessions_json;
//! ```

mod backend;
mod batches;
mod config;
mod dialect;
mod error;
mod packet;
mod schema;
mod settings;
mod table;
mod url;
mod verbs;

pub use backend::MysqlBackend;
pub use config::MysqlConfig;
pub use schema::schema_sql;

pub(crate) use error::failure;
