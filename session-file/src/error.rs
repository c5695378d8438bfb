//! From the operating system's errors to the kinds of the contract.

use std::io;

use session_core::{Error, ErrorKind};

/// What a failed call comes to. The store may have been changed unless the caller knows better.
pub(crate) fn failed(error: io::Error) -> Error {
    let kind = match error.kind() {
        // A mistake of this crate: nothing that waiting helps.
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error)
}

/// For an entry that must be a directory of this store: one that is something else has been put there.
pub(crate) fn failed_directory(name: &str, error: io::Error) -> Error {
    if is_other_entry(&error) {
        let detail = format!("`{name}` is not a directory; a symbolic link is not followed");
        return Error::new(ErrorKind::Config, error).with_detail(detail);
    }
    failed(error)
}

/// For an entry that must be a shard's lock.
pub(crate) fn failed_lock(name: &str, error: io::Error) -> Error {
    if is_other_entry(&error) {
        let detail = format!("`{name}` is not a file; a symbolic link is not followed");
        return Error::new(ErrorKind::Config, error).with_detail(detail);
    }
    failed(error)
}

/// For an entry that must be a record's file.
pub(crate) fn failed_record(error: io::Error) -> Error {
    if is_other_entry(&error) {
        let detail = "something else than a file has the record's name; a symbolic link is not followed";
        return Error::new(ErrorKind::Corrupt, error).with_detail(detail);
    }
    failed(error)
}

/// Whether the name belongs to something else than what was opened: by way of `O_NOFOLLOW` and `O_DIRECTORY`, and
/// as sockets cannot be opened.
fn is_other_entry(error: &io::Error) -> bool {
    let is = |errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    is(rustix::io::Errno::LOOP)
        || is(rustix::io::Errno::NXIO)
        || matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// Whether there is nothing of that name.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_disk_says_is_unavailable_and_what_stands_in_the_way_is_named() {
        for errno in
            [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::DQUOT, Errno::MFILE, Errno::PERM]
        {
            for error in [
                failed(errno.into()),
                failed_directory("sessions/ab", errno.into()),
                failed_lock("sessions/ab/lock", errno.into()),
                failed_record(errno.into()),
            ] {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{errno:?}");
                assert!(error.is_retryable());
            }
        }
        for errno in [Errno::LOOP, Errno::NOTDIR] {
            let error = failed_directory("sessions/ab", errno.into());
            assert_eq!(error.kind(), ErrorKind::Config, "{errno:?}");
            assert!(error.to_string().contains("sessions/ab"));
        }
        for errno in [Errno::LOOP, Errno::ISDIR, Errno::NXIO] {
            assert_eq!(failed_lock("sessions/ab/lock", errno.into()).kind(), ErrorKind::Config, "{errno:?}");
            assert_eq!(failed_record(errno.into()).kind(), ErrorKind::Corrupt, "{errno:?}");
        }
    }
}
