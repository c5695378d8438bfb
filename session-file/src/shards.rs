//! 256 directories, made when they are first needed, each with a lock that every writer of the machine takes.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use session_core::{Error, ErrorKind, Result};

use crate::directory::Directory;
use crate::error::{failed, failed_directory, failed_lock, is_absent};
use crate::threads::time_is_up;

/// A directory of 256 shards.
pub(crate) struct Shards {
    directory: Directory,
    /// For messages.
    name: &'static str,
    flushes: bool,
    shards: Vec<Shard>,
}

#[derive(Default)]
struct Shard {
    /// Threads of this process wait here, and one at a time for other processes.
    turn: Mutex<()>,
    /// Whether this process has brought the shard's own name to the disk. Another one that has made it may not have.
    is_flushed: AtomicBool,
}

/// A shard whose lock is held. No other writer, of any process, changes it meanwhile.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub(crate) directory: Directory,
    // Dropped before the turn.
    lock: Lock,
    turn: MutexGuard<'a, ()>,
}

/// What [`Held::release`] leaves to be closed.
#[derive(Debug)]
pub(crate) struct Released {
    _directory: Directory,
    _lock: Arc<File>,
}

/// Unlocks when it is dropped. To close the file is not enough: a process that was forked meanwhile has it, too.
#[derive(Debug)]
struct Lock(Arc<File>);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Held<'_> {
    /// Ends the lock, and gives back what takes time to close and keeps nobody out.
    pub(crate) fn release(self) -> Released {
        let Self { directory, lock, turn } = self;
        let released = Released { _directory: directory, _lock: Arc::clone(&lock.0) };
        drop(lock);
        drop(turn);
        released
    }
}

impl Shards {
    pub(crate) const COUNT: usize = 256;

    pub(crate) fn new(directory: Directory, name: &'static str, flushes: bool) -> Self {
        let shards = (0..Self::COUNT).map(|_| Shard::default()).collect();
        Self { directory, name, flushes, shards }
    }

    /// The shard, if it has been made.
    pub(crate) fn open(&self, shard: u8) -> Result<Option<Directory>> {
        let name = format!("{shard:02x}");
        match self.directory.open_directory(&name) {
            Err(error) if is_absent(&error) => {
                if self.directory.metadata().map_err(failed)?.nlink() == 0 {
                    let detail = format!("`{}` has been removed; open the store again", self.name);
                    return Err(Error::describe(ErrorKind::Unavailable, detail));
                }
                // Should it have been there, one that is made now has another name to flush.
                self.shards[usize::from(shard)].is_flushed.store(false, Ordering::Relaxed);
                Ok(None)
            }
            result => result.map(Some).map_err(|error| failed_directory(&self.path(shard), error)),
        }
    }

    /// The shard, made if need be, its own name safe from a power cut where that is promised.
    pub(crate) fn make(&self, shard: u8) -> Result<Directory> {
        let opened = match self.open(shard)? {
            Some(directory) => directory,
            None => {
                self.directory.make_directory(&format!("{shard:02x}")).map_err(failed)?;
                let name = format!("{shard:02x}");
                let opened = self.directory.open_directory(&name);
                opened.map_err(|error| failed_directory(&self.path(shard), error))?
            }
        };
        self.flush_name(shard)?;
        Ok(opened)
    }

    /// Makes the shard's own name safe where that is promised, once.
    fn flush_name(&self, shard: u8) -> Result<()> {
        let is_flushed = &self.shards[usize::from(shard)].is_flushed;
        if self.flushes && !is_flushed.load(Ordering::Relaxed) {
            self.directory.sync().map_err(failed)?;
            is_flushed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Locks the shard, if it has been made.
    ///
    /// # Errors
    ///
    /// [`Timeout`](session_core::ErrorKind::Timeout) if somebody else holds the lock until `deadline`.
    pub(crate) fn lock(&self, shard: u8, deadline: Instant) -> Result<Option<Held<'_>>> {
        let turn = self.turn(shard, deadline)?;
        let Some(directory) = self.open(shard)? else { return Ok(None) };
        self.flush_name(shard)?;
        self.hold(shard, directory, turn, deadline).map(Some)
    }

    /// Makes the shard if need be, and locks it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub(crate) fn make_and_lock(&self, shard: u8, deadline: Instant) -> Result<Held<'_>> {
        let turn = self.turn(shard, deadline)?;
        self.hold(shard, self.make(shard)?, turn, deadline)
    }

    fn turn(&self, shard: u8, deadline: Instant) -> Result<MutexGuard<'_, ()>> {
        // It guards nothing in memory.
        let turn = self.shards[usize::from(shard)].turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has waited so long may be gone, and takes for granted that nothing was written.
        if Instant::now() < deadline { Ok(turn) } else { Err(time_is_up()) }
    }

    /// Asks again and again: waiting for a lock has no time limit, and its holder may be stopped.
    fn hold<'a>(
        &self,
        shard: u8,
        directory: Directory,
        turn: MutexGuard<'a, ()>,
        deadline: Instant,
    ) -> Result<Held<'a>> {
        let open = || {
            let opened = directory.open_or_create(LOCK);
            opened.map_err(|error| failed_lock(&format!("{}/{LOCK}", self.path(shard)), error))
        };
        let mut lock = open()?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match lock.try_lock() {
                // Somebody has removed it, perhaps with the whole shard: others lock what is in its place.
                Ok(()) if lock.metadata().map_err(failed)?.nlink() == 0 => {
                    if Instant::now() >= deadline {
                        return Err(time_is_up());
                    }
                    lock = open()?;
                }
                Ok(()) => return Ok(Held { directory, lock: Lock(Arc::new(lock)), turn }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(time_is_up()),
                Err(TryLockError::WouldBlock) => {
                    sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn path(&self, shard: u8) -> String {
        format!("{}/{shard:02x}", self.name)
    }
}

/// The name of a shard's lock file, which is never removed.
const LOCK: &str = "lock";

const SHORTEST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn shards() -> (tempfile::TempDir, Shards) {
        let directory = tempfile::tempdir().unwrap();
        let opened = Directory::open(directory.path()).unwrap();
        (directory, Shards::new(opened, "sessions", false))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// A process that was forked meanwhile has every open file as well, for as long as it lives.
    #[test]
    fn a_lock_ends_with_its_holder_though_somebody_has_inherited_it() {
        let (_directory, shards) = shards();
        let held = shards.make_and_lock(7, soon()).unwrap();
        let _inherited = held.lock.0.try_clone().unwrap();
        drop(held);
        assert!(shards.lock(7, soon()).unwrap().is_some());
    }

    #[test]
    fn what_is_left_to_be_closed_keeps_nobody_out() {
        let (directory, shards) = shards();
        let other = Shards::new(Directory::open(directory.path()).unwrap(), "sessions", false);
        let _released = shards.make_and_lock(7, soon()).unwrap().release();
        assert!(other.lock(7, soon()).unwrap().is_some());
        assert!(shards.lock(7, soon()).unwrap().is_some());
    }

    /// Those who came later have locked the one in its place.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_lock_that_was_removed_while_it_was_waited_for_is_none() {
        let (directory, shards) = shards();
        let other = || Shards::new(Directory::open(directory.path()).unwrap(), "sessions", false);
        let (waiting, later) = (&other(), other());
        let path = directory.path().canonicalize().unwrap().join("07/lock");
        let opened = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap();
            files
                .filter(|file| std::fs::read_link(file.as_ref().unwrap().path()).is_ok_and(|to| to == path))
                .count()
        };
        let held = shards.make_and_lock(7, soon()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || drop(waiting.lock(7, soon()).unwrap().unwrap()));
            while opened() < 2 {
                sleep(SHORTEST_PAUSE);
            }
            std::fs::remove_file(&path).unwrap();
            let in_its_place = later.lock(7, soon()).unwrap();
            drop(held);
            while opened() < 2 && !waiting.is_finished() {
                sleep(SHORTEST_PAUSE);
            }
            assert!(!waiting.is_finished());
            drop(in_its_place);
        });
    }

    /// Its caller may have gone, sure that nothing was written.
    #[test]
    fn a_turn_that_comes_too_late_is_a_timeout_though_the_lock_is_free() {
        let (_directory, shards) = &shards();
        drop(shards.make_and_lock(7, soon()).unwrap());
        let held = shards.lock(7, soon()).unwrap();
        let late = std::thread::scope(|scope| {
            let deadline = Instant::now() + Duration::from_millis(1);
            let waiting = scope.spawn(move || shards.lock(7, deadline).map(|held| held.is_some()));
            while Instant::now() < deadline {
                sleep(SHORTEST_PAUSE);
            }
            drop(held);
            waiting.join().unwrap()
        });
        assert_eq!(late.unwrap_err().kind(), session_core::ErrorKind::Timeout);
    }
}
