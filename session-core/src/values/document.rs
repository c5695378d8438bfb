//! All values of one session: see [`Document`].

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::encoding::inspect;
use super::lists::Lists;
use super::members::Members;
use super::node::{Change, Node};
use super::path::{FLASH, MAX_DEPTH, Path};
use super::scan::{Entries, Flaw, Shape};
use super::splice::splice;
use crate::{Error, ErrorKind, Result};

/// The values of a session: one JSON map.
///
/// Nothing is looked at before it is asked for, so a damaged document fails
/// ([`Corrupt`](ErrorKind::Corrupt)) in the operations that come across the damage. An operation that
/// fails leaves the document as it was, and to clone one that was not changed copies nothing.
#[derive(Clone)]
pub(crate) struct Document {
    root: Node,
    /// How often the text was spliced since it was read.
    splices: u8,
}

/// To split a text and put it together again takes about as long as so many splices.
const MOST_SPLICES: u8 = 4;

/// What came of an insert.
#[derive(Debug)]
pub(crate) struct Inserted {
    pub(crate) lists: Lists,
    /// Whether it replaced a scalar by another: then the document is surely not what it was.
    pub(crate) replaced_another: bool,
}

impl Document {
    pub(crate) const fn empty() -> Self {
        Self::from_json(Bytes::from_static(b"{}"))
    }

    /// The document with this text. No text at all is a document without values.
    pub(crate) const fn from_json(text: Bytes) -> Self {
        Self { root: Node::Text(text), splices: 0 }
    }

    /// The document with these members.
    #[cfg(feature = "bincode")]
    pub(super) fn from_members(members: impl IntoIterator<Item = (Bytes, Bytes)>) -> Result<Self> {
        let members = members.into_iter().map(|(key, text)| (key, Node::Text(text)));
        Ok(Self { root: Node::Map(Members::sort(members.collect())?), splices: 0 })
    }

    /// The keys at the top and the texts of their values, sorted by key.
    #[cfg(feature = "bincode")]
    pub(super) fn members(&self) -> Result<Vec<(Bytes, Bytes)>> {
        match &*self.root()?.level()? {
            Node::Map(members) => {
                Ok(members.iter().map(|(key, value)| (key.clone(), value.to_text())).collect())
            }
            Node::Text(_) | Node::List(_) => Err(Flaw::Malformed.into()),
        }
    }

    /// The document's text: the very bytes that it was made from if nothing has changed since, else
    /// the same bytes for the same sequence of changes.
    pub(crate) fn to_json(&self) -> Bytes {
        self.root.to_text()
    }

    /// The JSON text of the value at `path`; `None` where there is none, be it that the path leads
    /// through a scalar or past the end of a list.
    pub(crate) fn lookup(&self, path: &Path) -> Result<Option<Bytes>> {
        not_root(path)?;
        self.root()?.lookup(path.segments())
    }

    /// The JSON texts of the elements of the list at `path`; none where there is no list.
    pub(crate) fn elements(&self, path: &Path) -> Result<Vec<Bytes>> {
        let mut elements = Vec::new();
        if let Some(text) = self.lookup(path)?.filter(|text| Shape::of(text) == Shape::List) {
            let mut entries = Entries::of(&text);
            while entries.advance()? {
                elements.push(text.slice(entries.value()));
            }
        }
        Ok(elements)
    }

    /// Whether a document that began empty has no values.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&*self.to_json(), b"" | b"{}")
    }

    /// The names of the members of the map at `path`, sorted, and at the root without `_flash`. A
    /// scalar, a list or nothing at all has none.
    pub(crate) fn keys(&self, path: &Path) -> Result<Vec<String>> {
        let Some(text) = self.root()?.lookup(path.segments())? else {
            return Ok(Vec::new());
        };
        let mut keys = Vec::new();
        let mut entries = Entries::of(&text);
        while entries.advance()? {
            if let Some(key) = entries.key()? {
                keys.push(key.into_owned());
            }
        }
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Flaw::DuplicateKey.into());
        }
        if path.segments().is_empty() {
            keys.retain(|key| key != FLASH);
        }
        Ok(keys)
    }

    /// Puts the value with this JSON text at `path`, in the place of what is there. Makes the maps on
    /// the way.
    ///
    /// [`PathConflict`](ErrorKind::PathConflict): a scalar is in the way, null included, or a segment
    /// is not an index within the list it meets. [`TooLarge`](ErrorKind::TooLarge): path and value
    /// together are nested too deep.
    pub(crate) fn insert(&mut self, path: &Path, text: Bytes) -> Result<Inserted> {
        not_root(path)?;
        fits(&text, path, path.segments().len())?;
        if let Some(inserted) = self.splice(path, &text) {
            return Ok(inserted);
        }
        let new = text.clone();
        let (replaced, lists) = self.apply(path, Change::Insert(text))?;
        let replaced_another = replaced.is_some_and(|old| old.is_another_scalar(&new));
        Ok(Inserted { lists, replaced_another })
    }

    /// Appends the value with this JSON text to the list at `path`, which is made if nothing is there.
    ///
    /// Fails as [`insert`](Self::insert) does, and with [`PathConflict`](ErrorKind::PathConflict) where
    /// something else than a list is.
    pub(crate) fn push(&mut self, path: &Path, text: Bytes) -> Result<Lists> {
        not_root(path)?;
        fits(&text, path, path.segments().len() + 1)?;
        self.apply(path, Change::Push(text)).map(|(_, lists)| lists)
    }

    /// Takes the value at `path` away and returns its text. The elements behind one of a list move up.
    pub(crate) fn remove(&mut self, path: &Path) -> Result<(Option<Bytes>, Lists)> {
        not_root(path)?;
        let mut lists = Lists::default();
        if self.has_no_text() {
            return Ok((None, lists));
        }
        self.root()?;
        let removed = self.root.remove(path, 0, &mut lists)?;
        Ok((removed.map(|node| node.to_text()), lists))
    }

    /// Takes everything away, flash messages included.
    pub(crate) fn clear(&mut self) {
        *self = Self::empty();
    }

    /// Whether both documents hold the same values: the order of members, whitespace and escapes do not
    /// matter. Numbers are the same when their text is: a type may read `1` and refuse `1.0`.
    pub(crate) fn same_values(&self, other: &Self) -> Result<bool> {
        self.root()?.same(&*other.root()?)
    }

    /// Whether both documents hold the same value at `path`, as [`same_values`](Self::same_values) sees it, or
    /// none. The root is a path, too, and holds all that can be read by one: no flash messages.
    pub(crate) fn same_at(&self, other: &Self, path: &Path) -> Result<bool> {
        if path.segments().is_empty() {
            return self.without_flash()?.same_values(&other.without_flash()?);
        }
        match (self.lookup(path)?, other.lookup(path)?) {
            (Some(one), Some(other)) => Node::Text(one).same(&Node::Text(other)),
            (one, other) => Ok(one.is_none() && other.is_none()),
        }
    }

    fn without_flash(&self) -> Result<Self> {
        let mut document = self.clone();
        document.remove(&Path::flash())?;
        Ok(document)
    }

    #[cfg(test)]
    pub(super) fn splice_no_more(&mut self) {
        self.splices = MOST_SPLICES;
    }

    fn splice(&mut self, path: &Path, text: &Bytes) -> Option<Inserted> {
        let Node::Text(own) = &self.root else { return None };
        if self.splices == MOST_SPLICES {
            return None;
        }
        let spliced = splice(own, path.segments(), text)?;
        self.root = Node::Text(spliced.text);
        self.splices += 1;
        let replaced_another = spliced.replaced.is_some_and(|old| Node::Text(old).is_another_scalar(text));
        Some(Inserted { lists: Lists::default(), replaced_another })
    }

    fn apply(&mut self, path: &Path, change: Change) -> Result<(Option<Node>, Lists)> {
        let mut lists = Lists::default();
        if self.has_no_text() {
            let mut root = Node::Map(Members::default());
            root.apply(path, 0, change, &mut lists)?;
            self.root = root;
            return Ok((None, lists));
        }
        self.root()?;
        let replaced = self.root.apply(path, 0, change, &mut lists)?;
        Ok((replaced, lists))
    }

    fn root(&self) -> Result<Cow<'_, Node>> {
        match &self.root {
            _ if self.has_no_text() => Ok(Cow::Owned(Self::empty().root)),
            Node::Text(text) if Shape::of(text) != Shape::Map => Err(Flaw::Malformed.into()),
            root => Ok(Cow::Borrowed(root)),
        }
    }

    fn has_no_text(&self) -> bool {
        matches!(&self.root, Node::Text(text) if text.is_empty())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

fn not_root(path: &Path) -> Result<()> {
    if path.segments().is_empty() { Err(path.conflict("it is not a value")) } else { Ok(()) }
}

/// Checks a value that is to stand at `depth`.
fn fits(text: &[u8], path: &Path, depth: usize) -> Result<()> {
    match MAX_DEPTH.checked_sub(depth).ok_or(Flaw::TooDeep).and_then(|nesting| inspect(text, nesting)) {
        Err(Flaw::TooDeep) => Err(too_deep(path)),
        checked => Ok(checked?),
    }
}

pub(super) fn too_deep(path: &Path) -> Error {
    let detail = format!("{path}: path and value together are over {MAX_DEPTH} levels deep");
    Error::describe(ErrorKind::TooLarge, detail)
}

#[cfg(test)]
mod tests;
