//! Sessions in a SQLite database: an ordinary file beside the application, or memory.
//!
//! ```
//! use session_core::{Record, Revision, SessionBackend, SessionId, Timestamp};
//! use session_sql::sqlite::SqliteBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_core::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("sessions.db");
//! let backend = SqliteBackend::open(path).await?; // the file and the table are made if they are missing
//!
//! let id = SessionId::from_bytes([7; 16]);
//! let now = Timestamp::MIN;
//! let record = Record::new(Revision::first(1), now, Timestamp::MAX, Timestamp::MAX);
//! assert_eq!(backend.load(id, now).await?, None);
//! let _ = backend.create(id, record.clone(), now).await?;
//! assert_eq!(backend.load(id, now).await?, Some(record));
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **Durability**: with the default, [`ProcessCrash`](session_core::Durability::ProcessCrash), an
//!   acknowledged write survives the end of the process, `kill -9` included; a power cut may undo the latest
//!   writes, but never damages the file. With [`PowerLoss`](session_core::Durability::PowerLoss) it
//!   survives a power cut too, as far as the disk keeps what it has flushed.
//! - **Atomicity**: each verb is one transaction that holds the write lock from its beginning, so it happens
//!   as a whole or not at all, also between processes. A verb whose future is dropped still happens once,
//!   unless it had not been polled or its time is up before its turn comes.
//! - **Sharing**: any number of backends and processes *on one machine* may use one file (a network file
//!   system cannot share the memory that WAL needs), and several tables may live in it. A table in
//!   memory belongs to one backend and its clones.
//! - **No waiting on readers**: the file is in WAL mode, so a load or list never waits behind a write.
//! - **The async runtime is never blocked**, and any runtime will do: connections live in threads that
//!   the backend owns. They end when the last clone of the backend is dropped, after what was queued.
//! - **Time**: whether a session has expired is decided by the caller's `now`, never by SQLite's.
//!
//! # Limits
//!
//! - One write at a time, per file. A verb that waits longer than
//!   [`busy_timeout`](SqliteConfig::busy_timeout) for its turn is a
//!   [`Timeout`](session_core::ErrorKind::Timeout); one that finds the queue full is
//!   [`Overloaded`](session_core::ErrorKind::Overloaded) at once.
//! - A record over SQLite's limit (1 GB) is [`TooLarge`](session_core::ErrorKind::TooLarge).
//! - New files can be read by their owner only (mode 0600; SQLite gives its `-wal` and `-shm` files the
//!   same). An existing file keeps its mode. The `-wal` file grows to about 64 MiB under load; all three
//!   files belong together when they are copied.
//! - Damaged rows: a verb that reads one is [`Corrupt`](session_core::ErrorKind::Corrupt) and leaves it as
//!   it is. A delete without revision removes it, and so does a purge if its expiry can still be compared. A list
//!   leaves it out, with a warning, so that one bad row keeps nobody else from being signed out.
//! - Do not replace or remove the file under a running backend: SQLite goes on with the old one.
//!
//! # Reading the table from outside
//!
//! `schema_sql` also makes a view, `<table>_json`, that shows ids as hexadecimal, times as text and the
//! session's values as a JSON document (NULL if they are in another codec):
//!
//! ```sql
//! SELECT id, principal, expires_at, data ->> '$.views' FROM sessions_json;
//! ```

mod backend;
mod checkpoint;
mod config;
mod error;
mod inline;
mod lock_wait;
mod open;
mod queue;
mod readers;
mod row;
mod schema;
mod thread;
mod verbs;
mod writer;

pub use backend::SqliteBackend;
pub use config::{SqliteConfig, SqliteLocation, SqliteReads};
pub use schema::schema_sql;
