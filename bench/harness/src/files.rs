//! What a store keeps in its directory: how much of the disk it takes, and how often a checkpoint let its write-ahead
//! log start anew.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Failure;

/// The directory of one store, with at most one SQLite database in it.
pub(crate) struct Files(PathBuf);

/// What a store takes of the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Of the disk: in whole blocks, and with what directories take themselves.
    pub(crate) bytes: u64,
    /// Files and directories.
    pub(crate) entries: u64,
}

impl Files {
    pub(crate) fn of(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// All but what SQLite keeps beside a database while that is open.
    pub(crate) fn taken(&self) -> Result<Taken, Failure> {
        let mut taken = Taken::default();
        add(&self.0, &mut taken)?;
        Ok(taken)
    }

    /// A number that grows by one each time the log is started anew: the first salt in its header
    /// (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>). `None` without a log.
    pub(crate) fn log_generation(&self) -> Result<Option<u32>, Failure> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("-wal") {
                let mut header = [0; 20];
                return match File::open(path)?.read_exact(&mut header) {
                    Ok(()) => Ok(Some(u32::from_be_bytes([header[16], header[17], header[18], header[19]]))),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                    Err(error) => Err(error.into()),
                };
            }
        }
        Ok(None)
    }
}

fn add(directory: &Path, taken: &mut Taken) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["-wal", "-shm", "-journal"].iter().any(|end| name.to_string_lossy().ends_with(end)) {
            continue;
        }
        let found = entry.metadata()?;
        taken.bytes += found.blocks() * BYTES_PER_BLOCK;
        taken.entries += 1;
        if found.is_dir() {
            add(&entry.path(), taken)?;
        }
    }
    Ok(())
}

/// Of [`MetadataExt::blocks`], whatever the file system's own are.
const BYTES_PER_BLOCK: u64 = 512;

/// How often the log was started anew between two of its generations.
pub(crate) fn restarts(before: Option<u32>, after: Option<u32>) -> u32 {
    before.zip(after).map_or(0, |(before, after)| after.wrapping_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removed when dropped.
    struct Scratch(Files);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.0);
        }
    }

    /// A directory with these files in it.
    fn directory(name: &str, files: &[(&str, &[u8])]) -> Scratch {
        let path = std::env::temp_dir().join(format!("bench-harness-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (name, content) in files {
            fs::write(path.join(name), content).unwrap();
        }
        Scratch(Files(path))
    }

    #[test]
    fn a_database_is_counted_without_what_lies_beside_it() {
        let files = directory("size", &[("a.db", &[1; 9000]), ("a.db-wal", &[1; 50]), ("a.db-shm", &[1; 7])]);
        let taken = files.0.taken().unwrap();
        let blocks = fs::metadata(files.0.0.join("a.db")).unwrap().blocks();
        assert_eq!(taken, Taken { bytes: blocks * 512, entries: 1 });
        assert!(taken.bytes >= 9000, "{taken:?}");
    }

    #[test]
    fn directories_are_counted_with_what_is_in_them() {
        let files = directory("tree", &[("a", &[1; 9000])]);
        let flat = files.0.taken().unwrap();
        let below = files.0.0.join("b");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("c"), [1; 9000]).unwrap();
        let taken = files.0.taken().unwrap();
        let own = fs::metadata(&below).unwrap().blocks() * 512;
        assert_eq!(taken, Taken { bytes: 2 * flat.bytes + own, entries: 3 });
    }

    #[test]
    fn the_generation_of_a_log_is_its_first_salt() {
        let mut header = [0xff; 32];
        header[16..20].copy_from_slice(&[0, 0, 1, 2]);
        let generation = |name, log: &[u8]| {
            directory(name, &[("a.db", &[0; 100]), ("a.db-wal", log)]).0.log_generation().unwrap()
        };
        assert_eq!(generation("whole", &header), Some(258));
        assert_eq!(generation("empty", &[]), None);
        assert_eq!(directory("none", &[("a.db", &[0; 100])]).0.log_generation().unwrap(), None);
    }

    #[test]
    fn restarts_are_counted_where_there_is_a_log() {
        assert_eq!(restarts(Some(7), Some(10)), 3);
        assert_eq!(restarts(Some(u32::MAX), Some(1)), 2);
        assert_eq!(restarts(None, Some(10)), 0);
        assert_eq!(restarts(Some(10), None), 0);
    }
}
