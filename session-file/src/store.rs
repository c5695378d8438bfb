//! The directory as a whole: its parts, how it is opened, and how a record is read and replaced in it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use session_core::{Durability, Error, ErrorKind, Record, Result, SessionId};

use crate::config::FileConfig;
use crate::directory::{Directory, set_expiry_hint};
use crate::error::{failed, failed_directory, failed_record, is_absent};
use crate::index::Index;
use crate::names::{self, PrincipalDigest};
use crate::purge::Place;
use crate::record_format::{Head, encode};
use crate::shards::{Held, Shards};

/// The files of all sessions.
///
/// | | |
/// |---|---|
/// | `sessions/ab/<id>` | a record |
/// | `sessions/ab/<id>.new` | one that is being written |
/// | `sessions/ab/lock` | is locked by whoever writes in the shard |
/// | `principals/cd/<digest>.<id>` | a marker of the [index](Index) |
/// | `quarantine/<id>` | a record that could not be read |
pub(crate) struct Store {
    pub(crate) sessions: Shards,
    pub(crate) index: Index,
    pub(crate) quarantine: Directory,
    /// Whether what is acknowledged has been brought to the disk.
    pub(crate) flushes: bool,
    pub(crate) purge_place: Mutex<Place>,
}

/// Without its 512 shards, which whoever shows a manager does not want to see.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("flushes", &self.flushes).finish_non_exhaustive()
    }
}

/// A record's file, and how it begins.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) head: Head,
    pub(crate) file: File,
    start: Bytes,
}

/// What is read at once: most records as a whole.
const START: usize = 4096;

impl Store {
    /// Opens the directory, made if need be, and checks that it is this user's alone to write.
    pub(crate) fn open(config: &FileConfig) -> Result<Self> {
        let flushes = match config.durability {
            Durability::ProcessCrash => false,
            Durability::PowerLoss => true,
            other => {
                let detail = format!("this driver cannot promise durability {other:?}");
                return Err(Error::describe(ErrorKind::Config, detail));
            }
        };
        // Without a slash at its end, which would follow a symbolic link.
        let path: PathBuf = config.path.components().collect();
        let root = open_root(&path, config.create_if_missing)?;
        if flushes {
            flush_parent(&path)?;
        }
        let part = |name: &str| {
            root.make_directory(name).map_err(|error| unusable(&path, failed(error)))?;
            let opened = root.open_directory(name);
            let part = opened.map_err(|error| unusable(&path, failed_directory(name, error)))?;
            check_owner(&part, &path.join(name)).map(|()| part)
        };
        let (sessions, principals, quarantine) =
            (part("sessions")?, part("principals")?, part("quarantine")?);
        if flushes {
            root.sync().map_err(failed)?;
        }
        Ok(Self {
            sessions: Shards::new(sessions, "sessions", flushes),
            index: Index::new(principals, flushes),
            quarantine,
            flushes,
            purge_place: Mutex::new(Place::random()),
        })
    }

    /// The record's file in its shard, dead or alive. Its times may be half-written unless the shard is locked.
    pub(crate) fn find(shard: &Directory, id: SessionId) -> Result<Option<Found>> {
        Self::found(shard.open_to_read(&names::record(id)), id)
    }

    /// The same, to write the times.
    pub(crate) fn find_to_patch(shard: &Held<'_>, id: SessionId) -> Result<Option<Found>> {
        Self::found(shard.directory.open_to_patch(&names::record(id)), id)
    }

    fn found(opened: std::io::Result<File>, id: SessionId) -> Result<Option<Found>> {
        let mut file = match opened {
            Err(error) if is_absent(&error) => return Ok(None),
            result => result.map_err(failed_record)?,
        };
        let (head, start) = read_start(id, &mut file)?;
        Ok(Some(Found { head, file, start }))
    }

    /// Puts `record` in the place of `old`, or where there is nothing. Gives back its file, to be closed.
    pub(crate) fn replace(
        &self,
        shard: &Held<'_>,
        id: SessionId,
        record: &Record,
        old: Option<&Found>,
    ) -> Result<File> {
        let bytes = encode(id, record)?;
        let principal = record.principal.as_ref().map(PrincipalDigest::of);
        let old_principal = old.and_then(Found::principal);
        if let Some(principal) = principal {
            self.index.add(principal, id, old_principal == Some(principal))?;
        }
        let (name, temporary) = (names::record(id), names::temporary(id));
        let written = self
            .write(&shard.directory, &temporary, &bytes, record)
            .and_then(|file| shard.directory.rename(&temporary, &shard.directory, &name).map(|()| file));
        let file = written.map_err(|error| {
            // Gives back what it took of a disk that may be full. If it stays, a purge removes it.
            let _ = shard.directory.remove(&temporary);
            failed(error)
        })?;
        self.settle(&shard.directory)?;
        if let Some(old_principal) = old_principal
            && principal != Some(old_principal)
        {
            self.index.remove(old_principal, id);
        }
        Ok(file)
    }

    fn write(&self, shard: &Directory, name: &str, bytes: &[u8], record: &Record) -> std::io::Result<File> {
        let mut file = match shard.create(name) {
            // Whoever wrote it has died: the lock is ours.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                shard.remove(name)?;
                shard.create(name)?
            }
            result => result?,
        };
        file.write_all(bytes)?;
        set_expiry_hint(&file, record.expires_at);
        if self.flushes {
            file.sync_all()?;
        }
        Ok(file)
    }

    /// Makes the names in a shard safe where that is promised: also those that an answer only rests on, as whoever
    /// wrote them may not have come so far.
    pub(crate) fn settle(&self, shard: &Directory) -> Result<()> {
        if self.flushes { shard.sync().map_err(failed) } else { Ok(()) }
    }
}

impl Found {
    pub(crate) fn principal(&self) -> Option<PrincipalDigest> {
        self.head.principal(&self.start).map(PrincipalDigest::of_bytes)
    }

    /// The whole record, with the times that were found.
    pub(crate) fn record(self) -> Result<Record> {
        let length = self.head.file_length();
        if self.start.len() < START || length <= START {
            return self.head.record(&self.start);
        }
        if self.file.metadata().map_err(failed)?.len() != length as u64 {
            return self.head.record(&self.start);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(&self.start);
        self.file.take((length - START) as u64).read_to_end(&mut bytes).map_err(failed_record)?;
        self.head.record(&bytes.into())
    }
}

/// What a record's file begins with: all of it, or as much as is read at once.
fn read_start(id: SessionId, file: &mut impl Read) -> Result<(Head, Bytes)> {
    let mut start = [0; START];
    let mut length = 0;
    loop {
        let is_at_end = match file.read(&mut start[length..]) {
            Ok(count) => {
                length += count;
                count == 0 || length == START
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed_record(error)),
        };
        // A file that goes on after what its head promises would have filled more of the buffer.
        match Head::decode(id, &start[..length]) {
            Ok(head) if is_at_end || head.file_length() == length => {
                return Ok((head, Bytes::copy_from_slice(&start[..length])));
            }
            Err(error) if is_at_end => return Err(error),
            _ => {}
        }
    }
}

fn open_root(path: &Path, create: bool) -> Result<Directory> {
    if path.as_os_str().is_empty() {
        return Err(Error::describe(ErrorKind::Config, "the path of the sessions' directory is empty"));
    }
    if create && let Err(error) = Directory::make(path) {
        return Err(unusable(path, no_place(error)));
    }
    let root = Directory::open(path).map_err(|error| unusable(path, no_place(error)))?;
    check_owner(&root, path)?;
    root.check_writable().map_err(|error| unusable(path, failed(error)))?;
    Ok(root)
}

/// A path that leads nowhere is a mistake; what the disk or permissions forbid now may be possible later.
fn no_place(error: std::io::Error) -> Error {
    let is_no_path =
        matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidFilename);
    if is_absent(&error) || is_no_path {
        return Error::new(ErrorKind::Config, error);
    }
    match failed_directory("it", error) {
        error if error.kind() == ErrorKind::Config => {
            error.with_detail("not a directory; a symbolic link is not followed")
        }
        error => error,
    }
}

fn unusable(path: &Path, error: Error) -> Error {
    let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    error.with_detail(format!("cannot use the directory {}{why}", path.display()))
}

/// Whoever else may write in it could put any session there.
fn check_owner(directory: &Directory, path: &Path) -> Result<()> {
    let found = directory.metadata().map_err(failed)?;
    let refuse = |why: &str| {
        let detail = format!("the directory {} {why}", path.display());
        Err(Error::describe(ErrorKind::Config, detail))
    };
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("belongs to another user");
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return refuse("can be written by other users; its mode should be 0700");
    }
    Ok(())
}

const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Makes the root's own name safe. A parent that may not be read cannot be flushed.
fn flush_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    match File::open(parent).and_then(|parent| parent.sync_all()) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use session_core::{Revision, Timestamp};

    use super::*;

    const ID: SessionId = SessionId::from_bytes([7; 16]);

    /// A file that is read in pieces, with an interruption before each.
    struct Pieces<'a> {
        rest: &'a [u8],
        size: usize,
        is_interrupted: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let size = self.size.min(buffer.len());
            self.rest.read(&mut buffer[..size])
        }
    }

    fn read(bytes: &[u8], size: usize) -> Result<Record> {
        let (head, start) = read_start(ID, &mut Pieces { rest: bytes, size, is_interrupted: false })?;
        head.record(&start)
    }

    #[test]
    fn a_record_may_come_in_pieces() {
        let [now, end] = [1_000, 2_000].map(|millis| Timestamp::from_millis(millis).unwrap());
        let record = Record::new(Revision::first(1), now, end, end).with_data(vec![b'x'; 300]);
        let bytes = encode(ID, &record).unwrap();
        let longer = [&bytes[..], b"x"].concat();
        for size in 1..=longer.len() {
            assert_eq!(read(&bytes, size).unwrap(), record, "{size}");
            assert_eq!(
                read(&bytes[..bytes.len() - 1], size).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{size}"
            );
        }
        assert_eq!(read(&longer, longer.len()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
