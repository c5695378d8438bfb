//! Sessions in memory: the reference driver of session-kit. Read it first when you write your own.
//!
//! # What it guarantees
//!
//! - Every verb of the contract, [`list`](session_core::SessionBackend::list) and
//!   [`purge_expired`](session_core::SessionBackend::purge_expired) included. Each is atomic per session: it
//!   holds the one lock that guards the session, its expiry and its place in the principal's list.
//! - No verb waits for anything but that lock, so none can be dropped half-way.
//! - A purge looks at what has expired, and once at each session whose expiry was put off since the last look: its
//!   time is proportional to those, not to what lives. It has a shard, one of 256, for a few dozen records at a time;
//!   a call may stop there and say that there is more. A list of a principal looks at its sessions.
//! - A load shares the payload and copies none of it. A write copies it, into one allocation of exactly its size.
//!
//! # What it does not
//!
//! - Sessions end with the process and are seen by no other one.
//! - Expired records stay until they are purged or replaced: run the janitor, or set a
//!   [capacity](MemoryConfig::with_capacity).
//! - A payload may be as large as memory allows; the core's limits come before. A session without a
//!   principal takes about 180 bytes beside it, its place in the order of expiry included.
//! - Ids are to be random, as the core's are: those with the same first byte share a lock.
//! - A list of all sessions goes through the ids of a shard for each page.
//! - With a capacity, a create beyond it looks at every shard.
//!
//! ```
//! use session_core::{CreateOutcome, Record, Revision, SessionBackend, SessionId, Timestamp};
//! use session_memory::MemoryBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_core::Result<()> {
//! let sessions = MemoryBackend::new();
//! let id = SessionId::from_bytes([7; 16]);
//! let (now, later) = (Timestamp::MIN, Timestamp::MAX);
//! let record = Record::new(Revision::first(1), now, later, later).with_data("{}");
//! assert_eq!(sessions.create(id, record.clone(), now).await?, CreateOutcome::Created);
//! assert_eq!(sessions.load(id, now).await?, Some(record));
//! # Ok(())
//! # }
//! ```

mod backend;
mod config;
mod records;
mod shard;

pub use backend::MemoryBackend;
pub use config::MemoryConfig;
