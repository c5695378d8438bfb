//! Sessions in a directory of files: without any server, for one machine, as safe as a database.
//!
//! ```
//! use session_core::{Record, Revision, SessionBackend, SessionId, Timestamp};
//! use session_file::FileBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_core::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("sessions");
//! let backend = FileBackend::open(path).await?; // the directory is made if it is missing
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
//! - **Atomicity**: a record is replaced as a whole, by moving a new file over the old one. Every verb that writes holds
//!   the lock of the session's shard, one of 256, from before its first look, also between processes. A process
//!   that is killed leaves no lock, and never half a record.
//! - **Durability**: with the default, [`ProcessCrash`](session_core::Durability::ProcessCrash), an acknowledged write
//!   survives the end of the process, `kill -9` included. A power cut may undo the latest writes, each session's
//!   by itself, and lose a session that was being written in the last seconds: it is then
//!   [`Corrupt`](session_core::ErrorKind::Corrupt) until a purge moves it away or it would have expired, and never
//!   something that was not stored. With [`PowerLoss`](session_core::Durability::PowerLoss) an acknowledged verb
//!   survives a power cut too, as far as the disk keeps what it has flushed: contents and names are flushed before the
//!   answer, also those that an answer only rests on. All who use the directory should promise it then: what
//!   was written with less is safe from its next update on. A load or a list flushes nothing: it may show a write that
//!   is not acknowledged yet, and that a power cut undoes. A parent directory that may not be read cannot be flushed:
//!   make the directory beforehand then.
//! - **Touches** write 28 bytes in one of two slots with a checksum each, apart from the record's own checksums: a torn one
//!   leaves the times of before.
//! - **Lists of a principal** are complete after any crash that the durability covers: an empty file, whose name is a
//!   digest of the principal and the id, is made before the record that it is about, and removed after it. A list reads each
//!   record that it names. A purge brings back markers that were lost, a shard at each round.
//! - **Purges** open what has expired, and little else: a write leaves the expiry in the file's access time, marked as
//!   such. That only saves looks: what a purge removes it has read, under the lock; a time that somebody else has
//!   set counts for nothing, and each purge looks at all files of one shard whatever their times say. The time of modification
//!   stays true, so backups find what has changed; a copy without times is the same store, and the next purge opens
//!   each file once.
//! - **Sharing**: any number of backends and processes on one machine may use one directory. A process that was forked
//!   opens a backend of its own: it has none of the threads.
//! - **The async runtime does not wait for locks, writes or lists**: they happen in threads that the backend owns. These
//!   end when the last clone of the backend is dropped, after what is still waited for. A verb whose future is
//!   dropped before its turn has come is not begun; later it still happens, once. A load takes no lock, and reads on
//!   the calling thread as long as that is quick, which it is while the operating system has the files in its memory.
//!   The first load that took longer than 250 µs sends the next ones to the threads, until 32 in a row were quick
//!   there: so a caller's thread waits for the disk at most once in 33 loads, for the file of one session.
//!   [`FileExecution::OnThreads`] rules that out.
//! - **Names**: files are named by lowercase hexadecimal digits of ids and digests, never by text from outside, and are
//!   taken relative to an open directory without following a symbolic link. New files have the mode 0600, new
//!   directories 0700. When a backend is opened, a directory of the store that others may write in, or that is another
//!   user's, is refused; those above it, and shards made by somebody else inside, are not looked at.
//! - **Time**: whether a session has expired is decided by the caller's `now`.
//!
//! # Limits
//!
//! - Unix only, and local file systems: locks and moves must mean the same to all who use the directory, which network
//!   file systems do not promise. The file system needs no special options; on one that notes every read
//!   (`strictatime`) a purge opens every file that was read since, and on one that keeps times to the second, or no time
//!   as late as the session's end, every file.
//! - A verb that waits longer than [`busy_timeout`](FileConfig::busy_timeout) for its turn or for a lock is a
//!   [`Timeout`](session_core::ErrorKind::Timeout), and has written nothing; one that finds the queue full is
//!   [`Overloaded`](session_core::ErrorKind::Overloaded) at once. A process that is stopped while it holds a lock, not
//!   killed, makes the verbs in that shard fail so, and those behind them wait.
//! - A session takes a file of one block at least (4 KiB on most file systems), and one with a principal an empty file
//!   besides; both count against the file system's number of files.
//! - A list of a principal reads the names of all markers in its shard, one of 256; a list of all reads those of a shard
//!   for each page.
//! - A full disk is [`Unavailable`](session_core::ErrorKind::Unavailable): what was stored stays, loads go on, and writes
//!   do once there is room.
//! - Damaged files: a verb that would have to read one is [`Corrupt`](session_core::ErrorKind::Corrupt). A list leaves it
//!   out, with a warning. A purge removes it at its end if its times can be read, and otherwise moves it to
//!   `quarantine`, with a warning; what is there is for people to look at and remove. A record of a later version is
//!   [`UnknownFormat`](session_core::ErrorKind::UnknownFormat) and stays. Files with other names than this library's are
//!   left alone.
//! - A symbolic link or anything else in the place of a shard or its lock is [`Config`](session_core::ErrorKind::Config)
//!   to the verbs that meet it; purges go on with the other shards.
//! - Whoever may write in the directory can put back a session's own past. Restore a backup into an empty directory, with no
//!   process at work: signed-out sessions of that time come back with it.
//! - Do not move or remove the directory under a running backend: it goes on with the one that it has opened, and is
//!   [`Unavailable`](session_core::ErrorKind::Unavailable) once that is gone. Leave its `lock` files alone as well:
//!   whoever waits for one that is removed takes the next, but whoever holds it no longer keeps others out. A cleaner
//!   of old files, as temporary directories have, would do both.
//! - A touch writes in place: a backup of hard links sees it as well.

#[cfg(not(unix))]
compile_error!("session-file needs Unix: names relative to an open directory, and its modes");

mod backend;
mod config;
mod directory;
mod error;
mod index;
mod listing;
mod names;
mod purge;
mod queue;
mod record_format;
mod shards;
mod store;
mod threads;
mod verbs;
mod warmth;

pub use backend::FileBackend;
pub use config::{FileConfig, FileExecution};
