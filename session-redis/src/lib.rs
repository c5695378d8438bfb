//! Sessions in Redis or Valkey.
//!
//! ```no_run
//! use session_core::{Record, Revision, SessionBackend, SessionId, Timestamp};
//! use session_redis::{RedisBackend, RedisConfig};
//!
//! # async fn example() -> session_core::Result<()> {
//! let backend = RedisBackend::connect(RedisConfig::from_url("redis://127.0.0.1")?).await?;
//!
//! let id = SessionId::from_bytes([7; 16]);
//! let now = Timestamp::MIN;
//! let record = Record::new(Revision::first(1), now, Timestamp::MAX, Timestamp::MAX);
//! let _ = backend.create(id, record.clone(), now).await?;
//! assert_eq!(backend.load(id, now).await?, Some(record));
//! # Ok(())
//! # }
//! ```
//!
//! # One server, Sentinel, Cluster
//!
//! [`RedisConfig::from_url`] says how each is named, and the [`from_client`](RedisBackend::from_client)s take the
//! application's own clients. All three behave the same; what differs:
//!
//! - **Sentinel** (feature `sentinel`): the sentinels are asked for the master whenever a connection is needed. The
//!   address that most of them name is taken, and only if a master answers there. After a failover the first verb
//!   that finds its connection ended, or is told that it writes to a replica, fails as
//!   [`Unavailable`](session_core::ErrorKind::Unavailable); the next one goes to the new master. A master that lacks
//!   replicas to write or to confirm makes the driver ask again, once a second at most.
//! - **Cluster** (feature `cluster`): a session is one key, and so is a principal's index, each on whichever node
//!   serves it; no hash tags are needed, and a prefix with braces would put all sessions on one node. `MOVED` and
//!   `ASK` are followed. While a slot has no master, verbs fail as `Unavailable`; every failure makes the driver ask
//!   which node serves what, and what most of them say counts. Certificates must be valid for the addresses, or
//!   names, that nodes announce.
//! - Reads go to masters only, in every topology.
//!
//! # Guarantees
//!
//! - **Atomicity**: a session is one string, and each verb that changes it one Lua script about that one key. A verb
//!   whose future is dropped happens once or never; the connection reads its reply and drops it.
//! - **No command is sent twice** by the driver or its client, unless a server has said that it did not run
//!   it: it did not know the script, or another node serves the key. After a lost reply the verb fails as [`Unavailable`](session_core::ErrorKind::Unavailable)
//!   or [`Timeout`](session_core::ErrorKind::Timeout), and the next one finds a new connection.
//! - **Sharing**: any number of backends, processes and machines.
//! - **Any number of runtimes** of Tokio's, with time enabled, may share a backend. The connection lives on the
//!   runtime that `connect` was called on if that has several threads, else on one of the driver's own, in one
//!   thread: a runtime that is busy or ends, as each worker's of actix-web may, delays and fails its own callers
//!   only. When that with several threads ends, commands under way fail as
//!   [`Unavailable`](session_core::ErrorKind::Unavailable), and the next verb connects on a runtime of the driver's
//!   own.
//! - **Time**: whether a session has expired is decided by the caller's `now`. The server's own expiry only removes
//!   what has been dead for [`expiry_slack`](RedisConfig::expiry_slack); it is told how long from now, so its clock
//!   need not be right. It must not leap, nor that of a replica be ahead, by more than the slack: Redis keeps the
//!   instant, and its replicas take that over.
//! - **Principals**: a session stands in its principal's index before it is stored, until its deadline has passed or
//!   it is deleted. A list reads every record that the index names.
//!
//! # Limits
//!
//! - **Durability** is the server's: with its default snapshots a crash loses the last minutes, deletions
//!   included; with `appendonly yes` and `appendfsync everysec` the last second.
//! - Time: a command takes at most [`response_timeout`](RedisConfig::response_timeout), 4 s by default, below the
//!   5 s of a manager's `store_timeout`, so that it is the driver that gives up first. A verb of several commands, or one that
//!   has to connect as well, may go on after the manager has given up.
//! - **A failover may undo what was acknowledged**, deletions and revocations included, because replication is
//!   asynchronous. Of a master that dies it is what the promoted replica had not received: at most the last
//!   second, while replicas keep up; without a limit if they do not. A master that is cut off, but lives, takes
//!   writes that will be lost, and shows what was deleted elsewhere, for as long as somebody reaches it: in a cluster
//!   for one and a half times `cluster-node-timeout`, under Sentinel until the cut is healed unless the server has
//!   `min-replicas-to-write 1` and `min-replicas-max-lag`, and a write tells the driver. With
//!   [`wait_replicas`](RedisConfig::wait_replicas) a write counts as done only once so many replicas have it; fewer are [`Indeterminate`](session_core::ErrorKind::Indeterminate), never a silent success.
//!   That narrows it to the failure of master and confirmed replicas at once, and to the promotion of a replica that had
//!   not confirmed: let the count be that of all replicas of a master.
//! - A single server that has become a replica is left at the first write, so let failover tools close its connections.
//! - Redis 6.2 or later, or Valkey. A server with a `maxmemory` and a `maxmemory-policy` other than
//!   `noeviction` is refused unless [`OnEviction::Allow`] is set, and so is one that does not say; it is asked
//!   on connecting, not again. Of a cluster every node that can be reached is asked, replicas included; under Sentinel
//!   the master.
//! - The list of *all* sessions walks through every key of the database once (a thousand steps for a million
//!   keys), other applications' keys included; where there are many of them, pages come out empty. In a cluster it
//!   walks through one master after the other, and begins again if slots have moved or a master was replaced since
//!   its first page; a session whose slot is moving just then may be missing. The list of a principal walks through its
//!   index, misses none, and its cursors stay good whatever moves or fails.
//! - In a cluster, the node with a principal's index may lose entries, in a failover or a crash, of sessions whose
//!   records are on other nodes and stay: no list of the principal has these, so that revoking all of its sessions
//!   leaves them, until an update gives them a later deadline. With [`wait_replicas`](RedisConfig::wait_replicas) no
//!   record is written before replicas have its entry.
//! - An id that is created again while a delete of it is under way may be missing from its principal's list. The
//!   core never creates an id twice.
//! - An update that moves a session to another principal leaves an entry in the index of the former until the
//!   session's deadline; lists skip it.
//! - A record over 512 MiB is [`TooLarge`](session_core::ErrorKind::TooLarge); a server with a smaller
//!   `proto-max-bulk-len` closes the connection over one that exceeds it.
//! - What another program stores under the prefix, a key of another type included, is
//!   [`Corrupt`](session_core::ErrorKind::Corrupt) or [`UnknownFormat`](session_core::ErrorKind::UnknownFormat)
//!   and never overwritten; so is a record of a later version of this library. A delete without
//!   revision removes it, unless it is a key of another type; its entry in the principal's index goes with its
//!   time.
//!
//! # Rights
//!
//! A user with these rights is enough, `session:` being the [prefix](RedisConfig::prefix):
//!
//! ```text
//! ACL SETUSER app on >password resetkeys ~session:* resetchannels -@all +get +set +getrange +setrange +exists +del
//!     +pexpire +pttl +zadd +zrem +zremrangebyscore +zrange +scan +eval +evalsha +info +select
//! ```
//!
//! `+info` is for looking at the eviction policy, `+select` for a database other than 0. A cluster takes
//! `+cluster|slots` and `+asking` as well, [`wait_replicas`](RedisConfig::wait_replicas) `+wait`. That the user may
//! not tell its client's name (`CLIENT SETINFO`) does no harm. `SCAN` is not bound to key patterns: it shows the user
//! the names of all keys, whose ids and digests are no secrets.
//!
//! # Keys
//!
//! | key | type | what |
//! |---|---|---|
//! | prefix, the id's 16 bytes | string | the record: a header of 37 bytes, the principal, the core's bookkeeping, the session's values |
//! | prefix, `principal:`, 16 bytes of the SHA-256 digest of the name | sorted set | ids by the end of their sessions |
//!
//! With the default codec the values are one plain JSON document at the end of the string.

#[cfg(feature = "cluster")]
mod agreement;
mod backend;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
mod connect;
mod connection;
mod error;
mod home;
mod keys;
mod listing;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
mod peers;
mod record_format;
mod replicas;
mod script;
#[cfg(feature = "sentinel")]
mod sentinel;
mod server;
mod servers;
#[cfg(feature = "cluster")]
mod slots;
mod source;
mod topology;

pub use backend::RedisBackend;
pub use config::{OnEviction, RedisConfig, RedisTls, RedisTopology};
