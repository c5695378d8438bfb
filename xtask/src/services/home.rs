//! The directory of all instances of one workspace, and the lock on it.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::progress;
use crate::user;

/// Everyone may pass through, nobody may look around.
const MODE: u32 = 0o711;

/// Where the instances live; while it exists, no other command changes one of them.
pub(crate) struct Home {
    path: PathBuf,
    /// Held by the open file, so that it ends with the process, however that ends.
    _lock: File,
}

impl Home {
    pub(crate) fn lock(target: &Path) -> Result<Self, String> {
        let cannot = |path: &Path, error: io::Error| format!("cannot use {}: {error}", path.display());
        fs::create_dir_all(target).map_err(|error| cannot(target, error))?;
        let target = &target.canonicalize().map_err(|error| cannot(target, error))?;
        let lock = target.join("services.lock");
        let lock = open_locked(&lock).map_err(|error| cannot(&lock, error))?;
        let is_root = user::is_root();
        let path = place(target, is_root);
        create(&path, is_root.then_some(0)).map_err(|error| cannot(&path, error))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn directory_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Home {
    /// Fails while an instance lives there, as it should.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// In the target directory. But a server that refuses root runs as another user, who cannot reach
/// anything below `/root`.
fn place(target: &Path, is_root: bool) -> PathBuf {
    let for_all = |path: &Path| fs::metadata(path).is_ok_and(|path| path.mode() & 0o001 != 0);
    if !is_root || target.ancestors().all(for_all) {
        return target.join("services");
    }
    let name: String = target.to_string_lossy().replace(|character: char| !character.is_alphanumeric(), "-");
    PathBuf::from(format!("/tmp/session-kit-services{name}"))
}

/// What is there already must be the owner's alone: `/tmp` is everybody's.
fn create(path: &Path, owner: Option<u32>) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || owner.is_some_and(|owner| owner != found.uid()) || found.mode() & 0o022 != 0 {
        return Err(io::Error::other("others can write there, or it is not a directory of yours"));
    }
    fs::set_permissions(path, Permissions::from_mode(MODE))
}

fn open_locked(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => progress("waiting for another command that holds the services"),
    }
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_goes_with_its_last_instance() {
        let target = std::env::temp_dir().join(format!("xtask-home-{}", std::process::id()));
        let home = Home::lock(&target).unwrap();
        let instance = home.directory_of("redis");
        fs::create_dir(&instance).unwrap();
        assert!(open_locked(&target.join("services.lock.other")).is_ok());
        assert!(File::open(target.join("services.lock")).unwrap().try_lock().is_err());
        drop(home);
        assert!(instance.is_dir());

        fs::remove_dir(&instance).unwrap();
        drop(Home::lock(&target).unwrap());
        assert!(!instance.parent().unwrap().exists());
        fs::remove_dir_all(&target).unwrap();
    }

    #[test]
    fn root_leaves_a_place_that_others_cannot_reach() {
        let closed = std::env::temp_dir().join(format!("xtask-closed-{}", std::process::id()));
        let target = closed.join("target");
        fs::create_dir_all(&target).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(place(&target, false), target.join("services"));
        assert!(!place(&target, true).starts_with(&target));
        assert_ne!(place(&target, true), place(&closed, true));
        assert_eq!(place(Path::new("/usr"), true), Path::new("/usr/services"));
        fs::remove_dir_all(&closed).unwrap();
    }

    #[test]
    fn a_place_that_others_can_write_is_refused() {
        let path = std::env::temp_dir().join(format!("xtask-foreign-{}", std::process::id()));
        create(&path, None).unwrap();
        let own_id = fs::metadata(&path).unwrap().uid();
        create(&path, Some(own_id)).unwrap();
        assert!(create(&path, Some(own_id + 1)).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        assert!(create(&path, Some(own_id)).is_err());
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/", &path).unwrap();
        assert!(create(&path, Some(own_id)).is_err());
        fs::remove_file(&path).unwrap();
    }
}
