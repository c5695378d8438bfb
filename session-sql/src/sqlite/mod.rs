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
//! - **Atomicity**: each verb happens as a whole or not at all, also between processes, under a write lock
//!   that is held from before its first look. A verb whose future is dropped before its turn has
//!   come is not begun; later it still happens, once.
//! - **Group commit**: what has queued while the last commit was on its way goes into one transaction, with
//!   no added wait, and is answered after it. A verb that fails fails alone; a commit that fails is an error
//!   for each verb in it, which may have happened ([`Unavailable`](session_core::ErrorKind::Unavailable),
//!   [`Timeout`](session_core::ErrorKind::Timeout) or [`Internal`](session_core::ErrorKind::Internal)).
//! - **Sharing**: any number of backends and processes *on one machine* may use one file (a network file
//!   system cannot share the memory that WAL needs), and several tables may live in it. A table in
//!   memory belongs to one backend and its clones.
//! - **No waiting on readers**: the file is in WAL mode, so a load or list never waits behind a write.
//! - **The async runtime does not wait for locks, flushes or lists**, and any runtime will do: what waits runs in
//!   threads that the backend owns. They end when the last clone of the backend is dropped, after what is
//!   still waited for. A load reads on the calling thread, without waiting for locks, as long as that is quick, which
//!   it is while the operating system has the file in its memory: about 5 µs, where a thread's answer takes 20 µs
//!   and more. The first load that took longer than 250 µs sends the next ones to the threads, until 32 in a
//!   row were quick there. So a caller's thread waits for the disk at most once in 33 loads, for the few
//!   pages of one session (0.1 ms in all where it was measured, on a fast disk with nothing cached). At
//!   `ProcessCrash` the same goes for a write while no other is under way: it ends in the operating system's memory,
//!   after about 15 µs. [`SqliteExecution::OnThreads`] rules both out.
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
//!   same). An existing file keeps its mode. The `-wal` file grows to about 64 MiB under load, to twice that
//!   if somebody reads at all times or writes outrun the disk, and further only while one read goes on. A thread
//!   copies it to the database beside the writes, of which the last ones wait for the rest. All three files belong together when they
//!   are copied. Closing makes them one again.
//! - A full disk is [`Unavailable`](session_core::ErrorKind::Unavailable); what was stored stays, loads go on,
//!   and writes do once there is room. A file that can only be read is refused when connecting.
//! - Damaged rows: a verb that reads one is [`Corrupt`](session_core::ErrorKind::Corrupt) and leaves it as
//!   it is. A delete without revision removes it, and so does a purge if its expiry can still be compared. A list
//!   leaves it out, with a warning, so that one bad row keeps nobody else from being signed out.
//! - A symbolic link to the file is followed when connecting: the `-wal` and `-shm` files are beside the file itself, so
//!   it is one database by all of these names. A link to nothing is
//!   [`Config`](session_core::ErrorKind::Config). Do not give the file a second name by a hard link: whoever opens
//!   that has a log of its own, which damages the database.
//! - A disk that cannot be read is [`Corrupt`](session_core::ErrorKind::Corrupt) where SQLite takes it for a damaged
//!   file, and [`Unavailable`](session_core::ErrorKind::Unavailable) otherwise.
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
//!
//! A purge goes by `filed_at`, which is `expires_at` or earlier. To end sessions from outside, set both.

mod backend;
mod checkpoint;
mod config;
mod copier;
mod error;
mod inline_reads;
mod inline_writes;
mod lock_wait;
mod open;
mod queue;
mod readers;
mod row;
mod schema;
mod thread;
mod verbs;
mod warmth;
mod writer;

pub use backend::SqliteBackend;
pub use config::{SqliteConfig, SqliteExecution, SqliteLocation};
pub use schema::schema_sql;
