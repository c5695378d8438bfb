//! Every call to the file system, and nothing else: names are taken relative to an open directory, and a symbolic link
//! is never followed. The tests listen here, between these calls and the C library.

use std::fs::{File, FileTimes};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use session_core::Timestamp;

use crate::error::is_absent;

const DIRECTORY_FLAGS: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK` matters if somebody has put a pipe there.
const FILE_FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;

/// Marks an access time as an [expiry](set_expiry_hint) by what is below its milliseconds.
const HINT_TAG: u32 = 424_242;
const NANOS_PER_MILLI: u32 = 1_000_000;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory(File);

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::from(rustix::fs::openat(CWD, path, DIRECTORY_FLAGS, Mode::empty()))
    }

    /// Makes a directory for its owner only. Whether it was not there.
    pub(crate) fn make(path: &Path) -> io::Result<bool> {
        is_new(rustix::fs::mkdirat(CWD, path, PRIVATE_DIRECTORY))
    }

    pub(crate) fn open_directory(&self, name: &str) -> io::Result<Self> {
        Self::from(rustix::fs::openat(&self.0, name, DIRECTORY_FLAGS, Mode::empty()))
    }

    /// As [`make`](Self::make), in here.
    pub(crate) fn make_directory(&self, name: &str) -> io::Result<bool> {
        is_new(rustix::fs::mkdirat(&self.0, name, PRIVATE_DIRECTORY))
    }

    fn from(opened: rustix::io::Result<OwnedFd>) -> io::Result<Self> {
        Ok(Self(File::from(opened?)))
    }

    pub(crate) fn open_to_read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDONLY, Mode::empty())
    }

    pub(crate) fn open_to_patch(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDWR, Mode::empty())
    }

    /// A file for its owner only, made if it is missing.
    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE, PRIVATE_FILE)
    }

    /// A file for its owner only, or an error if the name is taken.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, PRIVATE_FILE)
    }

    fn open_file(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        Ok(File::from(rustix::fs::openat(&self.0, name, flags | FILE_FLAGS, mode)?))
    }

    /// Moves a file, over another if there is one.
    pub(crate) fn rename(&self, from: &str, to_directory: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &to_directory.0, to)?)
    }

    /// Removes a file. Whether it was there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()).map_err(io::Error::from) {
            Err(error) if is_absent(&error) => Ok(false),
            result => result.map(|()| true),
        }
    }

    pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from) {
            Err(error) if is_absent(&error) => Ok(false),
            result => result.map(|_| true),
        }
    }

    /// What [`set_expiry_hint`] has left, unless somebody else has set the time since.
    pub(crate) fn expiry_hint(&self, name: &str) -> Option<Timestamp> {
        let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        hint(found.st_atime as i64, found.st_atime_nsec as u32)
    }

    /// The names in here that are UTF-8, as all names of this store are.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let again = rustix::fs::openat(&self.0, ".", DIRECTORY_FLAGS, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(again)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Brings the names in here to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Whose it is and what others may do, as [`std::os::unix::fs::MetadataExt`] has it.
    pub(crate) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.0.metadata()
    }

    /// Fails where this process cannot make files.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        Ok(rustix::fs::accessat(&self.0, ".", access, AtFlags::EACCESS)?)
    }
}

fn is_new(made: rustix::io::Result<()>) -> io::Result<bool> {
    match made {
        Err(rustix::io::Errno::EXIST) => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// Notes in the file's access time when its session ends, so that a purge need not open it. It is only a hint:
/// whatever goes wrong here costs a purge a look. The time of modification stays true, for backups.
pub(crate) fn set_expiry_hint(file: &File, expires_at: Timestamp) {
    let time = SystemTime::from(expires_at) + Duration::from_nanos(u64::from(HINT_TAG));
    let _ = file.set_times(FileTimes::new().set_accessed(time));
}

fn hint(seconds: i64, nanos: u32) -> Option<Timestamp> {
    if nanos % NANOS_PER_MILLI != HINT_TAG {
        return None;
    }
    Timestamp::from_millis(seconds.checked_mul(1000)?.checked_add(i64::from(nanos / NANOS_PER_MILLI))?)
}
