//! The recording as the library writes it, and as the rest reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::image::Disk;

/// What a process did to the files of its directory, in the order in which it happened.
#[derive(Clone, Debug)]
pub struct Recording {
    start: Disk,
    operations: Vec<Operation>,
}

impl Recording {
    /// Reads the library's log of a directory that was `start` at first.
    pub(super) fn parse(log: &[u8], start: Disk) -> io::Result<Self> {
        let mut rest = log;
        let mut operations = Vec::new();
        while !rest.is_empty() {
            let read = Entry::split(rest).and_then(|(entry, rest)| Some((entry.operation()?, rest)));
            let (operation, behind) = read.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            operations.push(operation);
            rest = behind;
        }
        Ok(Self { start, operations })
    }

    /// The directory before all of it.
    #[must_use]
    pub fn start(&self) -> &Disk {
        &self.start
    }

    /// All of it.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The same without the flushes of certain files and directories, by name, from a mark on: what a store would
    /// leave behind that forgets them, for tests that must find that out.
    #[must_use]
    pub fn without_flushes(&self, since: &str, of: impl Fn(&str) -> bool) -> Self {
        let mut open: BTreeMap<u32, &str> = BTreeMap::new();
        let mut has_begun = false;
        let mut operations = Vec::new();
        for operation in &self.operations {
            match operation {
                Operation::Mark(text) => has_begun |= text == since,
                Operation::Open { descriptor, name, .. } => drop(open.insert(*descriptor, name)),
                Operation::Sync { descriptor }
                    if has_begun && open.get(descriptor).is_some_and(|name| of(name)) =>
                {
                    continue;
                }
                _ => {}
            }
            operations.push(operation.clone());
        }
        Self { start: self.start.clone(), operations }
    }
}

/// An operation as the library writes it: a header of fixed length, a name and other bytes.
struct Entry<'a> {
    kind: u32,
    descriptor: u32,
    number: i64,
    name: &'a str,
    data: &'a [u8],
}

impl<'a> Entry<'a> {
    fn split(log: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (kind, rest) = log.split_first_chunk()?;
        let (descriptor, rest) = rest.split_first_chunk()?;
        let (name_length, rest) = rest.split_first_chunk()?;
        let (data_length, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_ne_bytes(*name_length) as usize)?;
        let (data, rest) = rest.split_at_checked(u32::from_ne_bytes(*data_length) as usize)?;
        let entry = Self {
            kind: u32::from_ne_bytes(*kind),
            descriptor: u32::from_ne_bytes(*descriptor),
            number: i64::from_ne_bytes(*number),
            name: str::from_utf8(name).ok()?,
            data,
        };
        Some((entry, rest))
    }

    /// By the numbers that `enum kind` gives them in recorder.c.
    fn operation(self) -> Option<Operation> {
        let Self { kind, descriptor, number, data, .. } = self;
        let name = self.name.to_owned();
        let text = || str::from_utf8(data).ok().map(str::to_owned);
        Some(match kind {
            1 => Operation::Open {
                descriptor,
                name,
                creates: number & CREATES != 0,
                truncates: number & TRUNCATES != 0,
            },
            2 => Operation::Close { descriptor },
            3 => Operation::Write { descriptor, offset: number.try_into().ok()?, data: data.into() },
            4 => Operation::Truncate { descriptor, length: number.try_into().ok()? },
            5 => Operation::Sync { descriptor },
            6 | 9 => Operation::Remove { name },
            7 => Operation::Rename { from: name, to: text()? },
            8 => Operation::MakeDirectory { name },
            10 => Operation::Map { descriptor },
            11 => Operation::Mark(text()?),
            _ => return None,
        })
    }
}

/// `O_CREAT` and `O_TRUNC` of Linux.
const CREATES: i64 = 0o100;
const TRUNCATES: i64 = 0o1000;

/// A change of files or names, or what tells how to understand others. Names are relative to the directory, which
/// is itself the empty name; descriptors are those of the process.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// A file or directory was opened: made if it was missing and `creates`, emptied if `truncates`.
    Open {
        /// Refers to it until it is closed.
        descriptor: u32,
        /// Which one.
        name: String,
        /// With `O_CREAT`.
        creates: bool,
        /// With `O_TRUNC`.
        truncates: bool,
    },
    /// A descriptor was closed.
    Close {
        /// Which one.
        descriptor: u32,
    },
    /// Bytes were written.
    Write {
        /// To which file.
        descriptor: u32,
        /// Where.
        offset: u64,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// A length was set.
    Truncate {
        /// Of which file.
        descriptor: u32,
        /// Which length.
        length: u64,
    },
    /// A file or directory was flushed, with success.
    Sync {
        /// Which one.
        descriptor: u32,
    },
    /// A name was removed, of a file or an empty directory.
    Remove {
        /// Which one.
        name: String,
    },
    /// A file or directory got another name, in place of what had it.
    Rename {
        /// The old name.
        from: String,
        /// The new one.
        to: String,
    },
    /// A directory was made.
    MakeDirectory {
        /// Its name.
        name: String,
    },
    /// A file was mapped for writing: what is in it from now on is not known.
    Map {
        /// Which one.
        descriptor: u32,
    },
    /// The process has said something: [`Control::mark`](super::Control::mark).
    Mark(String),
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { descriptor, name, creates, truncates } => {
                write!(f, "open {name:?} as {descriptor}")?;
                f.write_str(if *creates { ", making it" } else { "" })?;
                f.write_str(if *truncates { ", emptying it" } else { "" })
            }
            Self::Close { descriptor } => write!(f, "close {descriptor}"),
            Self::Write { descriptor, offset, data } => {
                write!(f, "write {} bytes at {offset} of {descriptor}", data.len())
            }
            Self::Truncate { descriptor, length } => write!(f, "cut {descriptor} to {length} bytes"),
            Self::Sync { descriptor } => write!(f, "flush {descriptor}"),
            Self::Remove { name } => write!(f, "remove {name:?}"),
            Self::Rename { from, to } => write!(f, "rename {from:?} to {to:?}"),
            Self::MakeDirectory { name } => write!(f, "make directory {name:?}"),
            Self::Map { descriptor } => write!(f, "map {descriptor}"),
            Self::Mark(text) => write!(f, "\"{text}\""),
        }
    }
}
