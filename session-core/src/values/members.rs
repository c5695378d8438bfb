//! The members of one map of a changed document.

use std::borrow::Cow;

use bytes::Bytes;

use super::node::Node;
use super::scan::{Entries, Flaw};
use crate::Result;

/// Members of a map, sorted by key, each key once.
///
/// A key is UTF-8 and without escapes: a part of the text that it was read from, or a text of its own.
#[derive(Clone, Default)]
pub(super) struct Members {
    sorted: Vec<(Bytes, Node)>,
}

impl Members {
    /// Those that the text of a map has. The core writes them sorted, others in any order.
    pub(super) fn split(text: &Bytes) -> Result<Self> {
        let mut members = Vec::<(Bytes, Node)>::new();
        let mut are_sorted = true;
        let mut entries = Entries::of(text);
        while entries.advance()? {
            let key = match entries.key()?.ok_or(Flaw::Malformed)? {
                Cow::Borrowed(key) => text.slice_ref(key.as_bytes()),
                Cow::Owned(key) => key.into(),
            };
            are_sorted &= members.last().is_none_or(|(last, _)| *last < key);
            members.push((key, Node::Text(text.slice(entries.value()))));
        }
        if are_sorted { Ok(Self { sorted: members }) } else { Self::sort(members) }
    }

    /// These, in any order.
    pub(super) fn sort(mut members: Vec<(Bytes, Node)>) -> Result<Self> {
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Flaw::DuplicateKey.into());
        }
        Ok(Self { sorted: members })
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.position(key).ok().map(|position| &self.sorted[position].1)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.position(key).ok().map(|position| &mut self.sorted[position].1)
    }

    /// Puts the value in the place of what the key has.
    pub(super) fn insert(&mut self, key: &str, value: Node) {
        match self.position(key) {
            Ok(position) => self.sorted[position].1 = value,
            Err(position) => {
                self.sorted.insert(position, (Bytes::copy_from_slice(key.as_bytes()), value));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Node> {
        self.position(key).ok().map(|position| self.sorted.remove(position).1)
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Node)> {
        self.sorted.iter().map(|(key, value)| (key, value))
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(other, _)| (**other).cmp(key.as_bytes()))
    }
}
