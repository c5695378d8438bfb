//! Takes files out of the system's memory, so that the next who reads them waits for the disk. Their names and what the
//! system knows about them stay: only who may do as root drops those.

use std::fs::{self, File};
use std::path::Path;

use bench_harness::Failure;

/// The contents of all files below `directory`.
pub(crate) fn evict(directory: &Path) -> Result<(), Failure> {
    // What is not on the disk yet would stay.
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(directory)?)?;
    evict_below(directory)
}

fn evict_below(directory: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(directory)? {
        let (kind, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        if kind?.is_dir() {
            evict_below(&path)?;
        } else {
            forget(&File::open(path)?)?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn forget(file: &File) -> Result<(), Failure> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File) -> Result<(), Failure> {
    Err("files stay in memory on this system".into())
}
