//! The recorded process's own side: marks in the recording, and faults on order.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::BitOr;
use std::path::Path;

/// The recording library's ear, a file in the recorded directory. It belongs to no store.
pub(super) const CONTROL: &str = "recorder-control";

/// How a recorded process talks to the library in it.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens it in `directory`, which is the one that is recorded.
    ///
    /// # Errors
    ///
    /// Those of the file; and [`Unsupported`](io::ErrorKind::Unsupported) if no library is listening.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut control =
            Self(options.write(true).create(true).truncate(false).open(directory.join(CONTROL))?);
        control.arm(Fault::nth(Calls::NAMES, 1, FaultKind::Io))?;
        match control.disarm() {
            Ok(false) => Ok(control),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "this process is not recorded")),
        }
    }

    /// Marks this place of the recording with `text`.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn mark(&mut self, text: &str) -> io::Result<()> {
        self.order(text)
    }

    /// Makes a call fail from now on; a fault that was armed before is forgotten.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn arm(&mut self, fault: Fault) -> io::Result<()> {
        let Fault { calls, nth, kind, lasts } = fault;
        self.order(&format!("arm {} {nth} {} {}", calls.0, kind.number(), u8::from(lasts)))
    }

    /// Lets everything succeed again. Whether a call has met the fault.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn disarm(&mut self) -> io::Result<bool> {
        match self.order("disarm") {
            Err(error) if error.raw_os_error() == Some(NOT_MET) => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn order(&mut self, text: &str) -> io::Result<()> {
        // In one call, which is one order.
        let written = self.0.write(text.as_bytes())?;
        if written == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// `ENODATA`.
const NOT_MET: i32 = 61;

/// Kinds of calls on the recorded files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls(u32);

impl Calls {
    /// Opening, and so creating.
    pub const OPEN: Self = Self(1);
    /// Reading.
    pub const READ: Self = Self(2);
    /// Writing.
    pub const WRITE: Self = Self(4);
    /// Flushing, files and directories.
    pub const SYNC: Self = Self(8);
    /// Setting a length.
    pub const TRUNCATE: Self = Self(16);
    /// Removing, renaming, making directories.
    pub const NAMES: Self = Self(32);
}

impl BitOr for Calls {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    calls: Calls,
    nth: u32,
    kind: FaultKind,
    lasts: bool,
}

impl Fault {
    /// The `nth` of `calls` from now on, counted from 1, and no other.
    #[must_use]
    pub fn nth(calls: Calls, nth: u32, kind: FaultKind) -> Self {
        Self { calls, nth, kind, lasts: false }
    }

    /// The `nth` of `calls` from now on and all after it.
    #[must_use]
    pub fn from_nth(calls: Calls, nth: u32, kind: FaultKind) -> Self {
        Self { lasts: true, ..Self::nth(calls, nth, kind) }
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// `EIO`: the disk.
    Io,
    /// `ENOSPC`: no room.
    NoSpace,
    /// `EACCES`: no permission.
    NoPermission,
    /// `EROFS`: a file system that can only be read.
    ReadOnly,
    /// A write writes the first half and says so.
    HalfWritten,
}

impl FaultKind {
    fn number(self) -> i32 {
        match self {
            Self::Io => 5,
            Self::NoSpace => 28,
            Self::NoPermission => 13,
            Self::ReadOnly => 30,
            Self::HalfWritten => 0,
        }
    }
}
