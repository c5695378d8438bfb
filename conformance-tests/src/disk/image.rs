//! A disk with what is not safely on it yet, and what a power cut may make of the two.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::control::CONTROL;
use super::losses::{Fate, UNKNOWN};
use super::recording::Operation;

/// The files of one directory as a power cut may find them: what was flushed, and what happened since.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: Vec<Arc<File>>,
    /// The names that a power cut leaves for sure.
    flushed: BTreeMap<String, Node>,
    /// The names that the process sees.
    current: BTreeMap<String, Node>,
    pending: Vec<Effect>,
    open: BTreeMap<u32, (String, Node)>,
}

#[derive(Clone, Debug, Default)]
struct File {
    flushed: Vec<u8>,
    is_mapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// By its place in `files`.
    File(usize),
    Directory,
}

/// A change that a power cut may undo.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Write { file: usize, offset: usize, data: Arc<[u8]> },
    Resize { file: usize, length: usize },
    Name(Naming),
}

#[derive(Clone, Debug)]
pub(super) enum Naming {
    Made { name: String, is_directory: bool, file: usize },
    Removed { name: String },
    Renamed { from: String, to: String },
}

/// What a power cut has left: files by name, relative to the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image(BTreeMap<String, Option<Vec<u8>>>);

impl Disk {
    /// The files in `directory`, all of them flushed.
    ///
    /// # Errors
    ///
    /// Those of the files.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        disk.read_into(directory, "")?;
        disk.current = disk.flushed.clone();
        Ok(disk)
    }

    fn read_into(&mut self, directory: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
            let name = format!("{prefix}{}", entry.file_name().into_string().map_err(invalid)?);
            if name == CONTROL {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.read_into(&entry.path(), &format!("{name}/"))?;
                self.flushed.insert(name, Node::Directory);
            } else {
                let flushed = fs::read(entry.path())?;
                self.files.push(Arc::new(File { flushed, is_mapped: false }));
                self.flushed.insert(name, Node::File(self.files.len() - 1));
            }
        }
        Ok(())
    }

    /// Does what the process did.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) if it cannot have done that after all before.
    pub fn apply(&mut self, operation: &Operation) -> io::Result<()> {
        match operation {
            Operation::Mark(_) => {}
            Operation::Open { descriptor, name, creates, truncates } => {
                let node = self.opened(name, *creates)?;
                if *truncates {
                    self.pending.push(Effect::Resize { file: file(node)?, length: 0 });
                }
                self.open.insert(*descriptor, (name.clone(), node));
            }
            Operation::Close { descriptor } => drop(self.open.remove(descriptor)),
            Operation::Write { descriptor, offset, data } => {
                let file = file(self.at(*descriptor)?.1)?;
                self.pending.push(Effect::Write { file, offset: *offset as usize, data: data.clone() });
            }
            Operation::Truncate { descriptor, length } => {
                let file = file(self.at(*descriptor)?.1)?;
                self.pending.push(Effect::Resize { file, length: *length as usize });
            }
            Operation::Map { descriptor } => {
                let file = file(self.at(*descriptor)?.1)?;
                Arc::make_mut(&mut self.files[file]).is_mapped = true;
            }
            Operation::Sync { descriptor } => {
                let (name, node) = self.at(*descriptor)?.clone();
                self.flush(&name, node);
            }
            Operation::MakeDirectory { name } => {
                self.current.insert(name.clone(), Node::Directory);
                self.name(Naming::Made { name: name.clone(), is_directory: true, file: 0 });
            }
            Operation::Remove { name } => {
                self.current.remove(name).ok_or_else(impossible)?;
                self.name(Naming::Removed { name: name.clone() });
            }
            Operation::Rename { from, to } => {
                let node = self.current.remove(from).ok_or_else(impossible)?;
                file(node)?;
                self.current.insert(to.clone(), node);
                self.name(Naming::Renamed { from: from.clone(), to: to.clone() });
            }
        }
        Ok(())
    }

    fn opened(&mut self, name: &str, creates: bool) -> io::Result<Node> {
        match self.current.get(name) {
            _ if name.is_empty() => Ok(Node::Directory),
            Some(node) => Ok(*node),
            None if creates => {
                self.files.push(Arc::default());
                let file = self.files.len() - 1;
                self.current.insert(name.to_owned(), Node::File(file));
                self.name(Naming::Made { name: name.to_owned(), is_directory: false, file });
                Ok(Node::File(file))
            }
            None => Err(impossible()),
        }
    }

    fn name(&mut self, naming: Naming) {
        self.pending.push(Effect::Name(naming));
    }

    fn at(&self, descriptor: u32) -> io::Result<&(String, Node)> {
        self.open.get(&descriptor).ok_or_else(impossible)
    }

    /// A file's bytes and length, or the names in a directory, are safe from now on. A file's name is not: that
    /// belongs to its directory.
    fn flush(&mut self, name: &str, node: Node) {
        let is_flushed = |effect: &Effect| match (effect, node) {
            (Effect::Write { file, .. } | Effect::Resize { file, .. }, Node::File(flushed)) => {
                *file == flushed
            }
            (Effect::Name(naming), Node::Directory) => parent(naming.name()) == name,
            _ => false,
        };
        let (flushed, pending) = std::mem::take(&mut self.pending).into_iter().partition(is_flushed);
        self.pending = pending;
        let flushed: Vec<Effect> = flushed;
        for effect in flushed {
            match effect {
                Effect::Name(naming) => naming.apply(&mut self.flushed),
                Effect::Write { file, offset, data } => {
                    write(&mut Arc::make_mut(&mut self.files[file]).flushed, offset, &data);
                }
                Effect::Resize { file, length } => {
                    Arc::make_mut(&mut self.files[file]).flushed.resize(length, 0);
                }
            }
        }
    }

    /// What is not safe yet, oldest first.
    pub(super) fn pending(&self) -> &[Effect] {
        &self.pending
    }

    /// What is left if each pending change meets the fate at its place.
    pub(super) fn image(&self, fates: &[Fate]) -> Image {
        let mut names = self.flushed.clone();
        let mut files: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for (effect, fate) in self.pending.iter().zip(fates) {
            match effect {
                Effect::Name(naming) if *fate == Fate::Kept => naming.apply(&mut names),
                Effect::Name(_) => {}
                Effect::Write { file, offset, data } => {
                    let bytes = files.entry(*file).or_insert_with(|| self.files[*file].flushed.clone());
                    fate.write(bytes, *offset, data);
                }
                Effect::Resize { file, length } if *fate == Fate::Kept => {
                    let bytes = files.entry(*file).or_insert_with(|| self.files[*file].flushed.clone());
                    bytes.resize(*length, 0);
                }
                Effect::Resize { .. } => {}
            }
        }
        let is_there = |name: &str| {
            let mut ancestor = parent(name);
            while !ancestor.is_empty() && names.get(ancestor) == Some(&Node::Directory) {
                ancestor = parent(ancestor);
            }
            ancestor.is_empty()
        };
        let content = |node: &Node| match node {
            Node::Directory => None,
            Node::File(file) => {
                let bytes = files.get(file).unwrap_or(&self.files[*file].flushed);
                Some(if self.files[*file].is_mapped { [UNKNOWN].repeat(bytes.len()) } else { bytes.clone() })
            }
        };
        let there = names.iter().filter(|(name, _)| is_there(name));
        Image(there.map(|(name, node)| (name.clone(), content(node))).collect())
    }

    /// A name of a file, for people.
    pub(super) fn file_name(&self, file: usize) -> &str {
        let mut names = self.current.iter().chain(&self.flushed);
        let named = names.find(|(_, node)| **node == Node::File(file));
        named.map_or("a file that was removed", |(name, _)| name)
    }

    /// Makes sure that the process sees what is `found`.
    pub(super) fn compare(&self, found: &Self) -> io::Result<()> {
        let expected = self.image(&vec![Fate::Kept; self.pending.len()]).0;
        let found = found.image(&[]).0;
        let is_mapped = |name: &String| match self.current.get(name) {
            Some(Node::File(file)) => self.files[*file].is_mapped,
            _ => false,
        };
        let differs = |name: &&String| !is_mapped(name) && expected.get(*name) != found.get(*name);
        let different: Vec<_> = expected.keys().chain(found.keys()).filter(differs).collect();
        if different.is_empty() {
            return Ok(());
        }
        let problem = format!("these files were changed by ways that were not recorded: {different:?}");
        Err(io::Error::new(io::ErrorKind::InvalidData, problem))
    }
}

impl Image {
    /// Makes the files in `directory`, which is empty.
    ///
    /// # Errors
    ///
    /// Those of the files.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        // Directories are before what is in them, as their names are shorter.
        for (name, content) in &self.0 {
            match content {
                Some(bytes) => fs::write(directory.join(name), bytes)?,
                None => fs::create_dir(directory.join(name))?,
            }
        }
        Ok(())
    }
}

impl Naming {
    /// The name that tells whose flush makes it safe.
    fn name(&self) -> &str {
        match self {
            Self::Made { name, .. } | Self::Removed { name } | Self::Renamed { to: name, .. } => name,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Made { name, is_directory: true, .. } => drop(names.insert(name.clone(), Node::Directory)),
            Self::Made { name, file, .. } => drop(names.insert(name.clone(), Node::File(*file))),
            Self::Removed { name } => drop(names.remove(name)),
            Self::Renamed { from, to } => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

pub(super) fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn file(node: Node) -> io::Result<usize> {
    if let Node::File(file) = node { Ok(file) } else { Err(impossible()) }
}

fn impossible() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a recording that misses something")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(operations: &[Operation]) -> Disk {
        let mut disk = Disk::default();
        operations.iter().for_each(|operation| disk.apply(operation).unwrap());
        disk
    }

    fn left(disk: &Disk, fate: Fate) -> Vec<(String, Option<Vec<u8>>)> {
        disk.image(&vec![fate; disk.pending.len()]).0.into_iter().collect()
    }

    fn open(descriptor: u32, name: &str) -> Operation {
        Operation::Open { descriptor, name: name.to_owned(), creates: !name.is_empty(), truncates: false }
    }

    fn write(descriptor: u32, data: &[u8]) -> Operation {
        Operation::Write { descriptor, offset: 0, data: data.into() }
    }

    fn sync(descriptor: u32) -> Operation {
        Operation::Sync { descriptor }
    }

    fn file(name: &str, data: &[u8]) -> (String, Option<Vec<u8>>) {
        (name.to_owned(), Some(data.to_vec()))
    }

    #[test]
    fn a_new_file_needs_two_flushes() {
        let written = [open(3, "a"), write(3, b"x"), open(4, "")];
        assert_eq!(left(&disk(&written), Fate::Kept), [file("a", b"x")]);
        assert_eq!(left(&disk(&written), Fate::Lost), []);
        assert_eq!(left(&disk(&[&written[..], &[sync(3)]].concat()), Fate::Lost), []);
        assert_eq!(left(&disk(&[&written[..], &[sync(4)]].concat()), Fate::Lost), [file("a", b"")]);
        assert_eq!(left(&disk(&[&written[..], &[sync(3), sync(4)]].concat()), Fate::Lost), [file("a", b"x")]);
    }

    #[test]
    fn a_name_is_moved_or_removed_when_its_directory_is_flushed() {
        let rename = Operation::Rename { from: "new".to_owned(), to: "a".to_owned() };
        let flushed =
            [open(3, "a"), sync(3), open(4, ""), sync(4), open(5, "new"), write(5, b"x"), sync(5), sync(4)];
        let renamed = disk(&[&flushed[..], std::slice::from_ref(&rename)].concat());
        assert_eq!(left(&renamed, Fate::Lost), [file("a", b""), file("new", b"x")]);
        assert_eq!(left(&renamed, Fate::Kept), [file("a", b"x")]);
        let removed =
            disk(&[&flushed[..], &[rename, sync(4), Operation::Remove { name: "a".to_owned() }]].concat());
        assert_eq!(left(&removed, Fate::Lost), [file("a", b"x")]);
        assert_eq!(left(&removed, Fate::Kept), []);
    }

    #[test]
    fn a_directory_is_flushed_by_itself_and_lost_with_all_that_is_in_it() {
        let made = Operation::MakeDirectory { name: "d".to_owned() };
        let inside = [made, open(3, "d/a"), sync(3), open(4, "d"), sync(4), open(5, "")];
        assert_eq!(left(&disk(&inside), Fate::Lost), []);
        let whole = [("d".to_owned(), None), file("d/a", b"")];
        assert_eq!(left(&disk(&[&inside[..], &[sync(5)]].concat()), Fate::Lost), whole);
    }

    #[test]
    fn later_writes_can_reach_the_disk_before_earlier_ones() {
        let disk = disk(&[open(3, "a"), write(3, b"xx"), write(3, b"y")]);
        let left = |fates: &[Fate]| disk.image(fates).0["a"].clone().unwrap();
        assert_eq!(left(&[Fate::Kept, Fate::Lost, Fate::Kept]), b"y");
        assert_eq!(left(&[Fate::Kept, Fate::Kept, Fate::Lost]), b"xx");
        assert_eq!(left(&[Fate::Kept, Fate::Kept, Fate::Kept]), b"yx");
    }

    #[test]
    fn what_the_recorder_has_not_seen_is_found() {
        let seen = disk(&[open(3, "a"), write(3, b"x")]);
        seen.compare(&disk(&[open(9, "a"), write(9, b"x"), sync(9), open(4, ""), sync(4)])).unwrap();
        seen.compare(&disk(&[open(9, "a"), sync(9), open(4, ""), sync(4)])).unwrap_err();
        seen.compare(&Disk::default()).unwrap_err();
        assert!(Disk::default().apply(&sync(3)).is_err());
    }
}
