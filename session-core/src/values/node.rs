//! The tree behind a changed document: levels that a change went through are split, and everything
//! beside them is still the text that was stored.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::lists::Lists;
use super::members::Members;
use super::path::Path;
use super::scan::{Entries, Flaw, Shape};
use crate::{Error, Result};

/// One value. `Text` is exactly its JSON text, or anything at all if it was never looked at.
#[derive(Clone)]
pub(super) enum Node {
    Text(Bytes),
    Map(Members),
    List(Vec<Self>),
}

/// What to do at the end of a path.
pub(super) enum Change {
    Insert(Bytes),
    Push(Bytes),
}

impl Node {
    /// The value behind `segments`, as text.
    pub(super) fn lookup(&self, segments: &[Cow<'static, str>]) -> Result<Option<Bytes>> {
        let Some((segment, rest)) = segments.split_first() else {
            return Ok(Some(self.to_text()));
        };
        let child = match self {
            Self::Text(text) => return Ok(find(text, segments)?.map(|value| text.slice(value))),
            Self::Map(members) => members.get(segment),
            Self::List(elements) => index(segment).and_then(|index| elements.get(index)),
        };
        child.map_or(Ok(None), |child| child.lookup(rest))
    }

    /// Makes `change` behind the path's segments from `depth` on, and returns what it replaces. If it fails,
    /// nothing has changed.
    pub(super) fn apply(
        &mut self,
        path: &Path,
        depth: usize,
        change: Change,
        lists: &mut Lists,
    ) -> Result<Option<Self>> {
        let Some(segment) = path.segments().get(depth) else {
            return self.apply_here(path, change);
        };
        let change_level = |level: &mut Self| match level {
            Self::Map(members) => match members.get_mut(segment) {
                Some(member) => member.apply(path, depth + 1, change, lists),
                None => {
                    let made = Self::behind(&path.segments()[depth + 1..], change);
                    members.insert(segment, made);
                    Ok(None)
                }
            },
            Self::List(elements) => {
                lists.mark(depth);
                match index(segment).and_then(|index| elements.get_mut(index)) {
                    Some(element) => element.apply(path, depth + 1, change, lists),
                    None => Err(conflict_at(path, depth, "is not an index of the list there")),
                }
            }
            Self::Text(_) => Err(conflict_at(path, depth, "leads into a value without members")),
        };
        self.edit(change_level, |_| true)
    }

    fn apply_here(&mut self, path: &Path, change: Change) -> Result<Option<Self>> {
        match change {
            Change::Insert(text) => Ok(Some(std::mem::replace(self, Self::Text(text)))),
            Change::Push(text) => {
                let push = |level: &mut Self| match level {
                    Self::List(elements) => {
                        elements.push(Self::Text(text));
                        Ok(None)
                    }
                    Self::Map(_) | Self::Text(_) => {
                        Err(path.conflict("it leads to something else than a list"))
                    }
                };
                self.edit(push, |_| true)
            }
        }
    }

    /// Takes the value behind the path's segments from `depth` on, of which there is at least one.
    pub(super) fn remove(&mut self, path: &Path, depth: usize, lists: &mut Lists) -> Result<Option<Self>> {
        let Some(segment) = path.segments().get(depth) else {
            return Ok(None);
        };
        let last = depth + 1 == path.segments().len();
        let remove_from_level = |level: &mut Self| match level {
            Self::Map(members) if last => Ok(members.remove(segment)),
            Self::Map(members) => match members.get_mut(segment) {
                Some(member) => member.remove(path, depth + 1, lists),
                None => Ok(None),
            },
            Self::List(elements) => {
                lists.mark(depth);
                match index(segment).filter(|&index| index < elements.len()) {
                    Some(index) if last => Ok(Some(elements.remove(index))),
                    Some(index) => elements[index].remove(path, depth + 1, lists),
                    None => Ok(None),
                }
            }
            Self::Text(_) => Ok(None),
        };
        self.edit(remove_from_level, Option::is_some)
    }

    /// Runs `change` on this level, split. The split stays only if `change` changed something.
    fn edit<R>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<R>,
        changed: impl FnOnce(&R) -> bool,
    ) -> Result<R> {
        let Self::Text(text) = self else {
            return change(self);
        };
        let mut split = Self::split(text)?;
        let done = change(&mut split)?;
        if changed(&done) {
            *self = split;
        }
        Ok(done)
    }

    /// This level of `text`; a scalar stays text.
    pub(super) fn split(text: &Bytes) -> Result<Self> {
        match Shape::of(text) {
            Shape::Map => Members::split(text).map(Self::Map),
            Shape::List => {
                let mut elements = Vec::new();
                let mut entries = Entries::of(text);
                while entries.advance()? {
                    elements.push(Self::Text(text.slice(entries.value())));
                }
                Ok(Self::List(elements))
            }
            Shape::Scalar => Ok(Self::Text(text.clone())),
        }
    }

    /// Maps for each of `segments`, and at their end what `change` makes out of nothing.
    pub(super) fn behind(segments: &[Cow<'static, str>], change: Change) -> Self {
        let end = match change {
            Change::Insert(text) => Self::Text(text),
            Change::Push(text) => Self::List(vec![Self::Text(text)]),
        };
        segments.iter().rev().fold(end, |child, segment| {
            let mut members = Members::default();
            members.insert(segment, child);
            Self::Map(members)
        })
    }

    /// Whether both hold the same, whatever the order of members, the whitespace and the escapes.
    pub(super) fn same(&self, other: &Self) -> Result<bool> {
        if let (Self::Text(one), Self::Text(other)) = (self, other) {
            if one == other {
                return Ok(true);
            }
            if let Some(same) = same_in_order(one, other)? {
                return Ok(same);
            }
        }
        match (&*self.level()?, &*other.level()?) {
            (Self::Map(ones), Self::Map(others)) => {
                if ones.len() != others.len() {
                    return Ok(false);
                }
                for ((key, one), (other_key, other)) in ones.iter().zip(others.iter()) {
                    if key != other_key || !one.same(other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Self::List(ones), Self::List(others)) => {
                if ones.len() != others.len() {
                    return Ok(false);
                }
                for (one, other) in ones.iter().zip(others) {
                    if !one.same(other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Self::Text(one), Self::Text(other)) => Ok(one == other || same_strings(one, other)),
            _ => Ok(false),
        }
    }

    /// Whether both this and the text are scalars, and not the same.
    pub(super) fn is_another_scalar(&self, text: &Bytes) -> bool {
        let is_plain = |text: &Bytes| Shape::of(text) == Shape::Scalar && !text.contains(&b'\\');
        matches!(self, Self::Text(own) if own != text && is_plain(own) && is_plain(text))
    }

    pub(super) fn level(&self) -> Result<Cow<'_, Self>> {
        match self {
            Self::Text(text) => Self::split(text).map(Cow::Owned),
            Self::Map(_) | Self::List(_) => Ok(Cow::Borrowed(self)),
        }
    }

    /// The same bytes for the same tree.
    pub(super) fn to_text(&self) -> Bytes {
        if let Self::Text(text) = self {
            return text.clone();
        }
        let mut text = Vec::with_capacity(self.size());
        self.write(&mut text);
        text.into()
    }

    /// How long the text will be, but for escapes in keys.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Map(members) => {
                2 + members.iter().map(|(key, value)| key.len() + 4 + value.size()).sum::<usize>()
            }
            Self::List(elements) => 2 + elements.iter().map(|value| 1 + value.size()).sum::<usize>(),
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Self::Text(value) => text.extend_from_slice(value),
            Self::Map(members) => {
                text.push(b'{');
                for (position, (key, value)) in members.iter().enumerate() {
                    if position > 0 {
                        text.push(b',');
                    }
                    write_key(key, text);
                    text.push(b':');
                    value.write(text);
                }
                text.push(b'}');
            }
            Self::List(elements) => {
                text.push(b'[');
                for (position, value) in elements.iter().enumerate() {
                    if position > 0 {
                        text.push(b',');
                    }
                    value.write(text);
                }
                text.push(b']');
            }
        }
    }
}

/// Follows `segments` from level to level of the text, without splitting any.
///
/// Each level on the way is read to its end: a key that comes twice, or text that breaks off, is
/// noticed even behind the entry that was looked for.
fn find(text: &[u8], segments: &[Cow<'static, str>]) -> Result<Option<Range<usize>>> {
    let mut level = 0..text.len();
    for segment in segments {
        let mut found = None;
        let mut entries = Entries::of(&text[level.clone()]);
        if entries.have_keys() {
            while entries.advance_to(segment)? {
                if found.replace(entries.value()).is_some() {
                    return Err(Flaw::DuplicateKey.into());
                }
            }
        } else {
            let wanted = index(segment);
            let mut position = 0;
            while entries.advance()? {
                if wanted == Some(position) {
                    found = Some(entries.value());
                }
                position += 1;
            }
        }
        match found {
            Some(value) => level = level.start + value.start..level.start + value.end,
            None => return Ok(None),
        }
    }
    Ok(Some(level))
}

/// Compares two maps member by member, while both have the same keys in the same order; `None` where that does not
/// tell. Nearly always it does, because the core writes both, and to split them would take several times as long.
fn same_in_order(one: &Bytes, other: &Bytes) -> Result<Option<bool>> {
    let (mut ones, mut others) = (Entries::of(one), Entries::of(other));
    let mut last: &[u8] = b"";
    loop {
        let (key, other_key) = match (ones.advance()?, others.advance()?) {
            (true, true) => (ones.plain_key(), others.plain_key()),
            // Neither a list nor a scalar has a key, so both are maps, and perhaps without members.
            (false, false) if ones.have_keys() && others.have_keys() => return Ok(Some(true)),
            _ => return Ok(None),
        };
        // Ascending, or one may come twice.
        let Some(key) = key.filter(|key| Some(*key) == other_key && *key > last) else { return Ok(None) };
        last = key;
        let (value, other_value) = (ones.value(), others.value());
        if one[value.clone()] != other[other_value.clone()]
            && !Node::Text(one.slice(value)).same(&Node::Text(other.slice(other_value)))?
        {
            return Ok(Some(false));
        }
    }
}

/// Whether both are the text of one string, with an escape in one where there is none in the other.
fn same_strings(one: &[u8], other: &[u8]) -> bool {
    let string = |text| serde_json::from_slice::<String>(text).ok();
    [one, other].iter().any(|text| text.contains(&b'\\'))
        && string(one).is_some_and(|one| string(other).is_some_and(|other| one == other))
}

fn conflict_at(path: &Path, depth: usize, reason: &str) -> Error {
    path.conflict(format_args!("segment {} {reason}", depth + 1))
}

/// The index that a segment is where a list is: digits without a leading zero.
fn index(segment: &str) -> Option<usize> {
    let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
    // Too many digits for a `usize` are past the end of any list, as `None` is.
    if digits && (segment == "0" || !segment.starts_with('0')) { segment.parse().ok() } else { None }
}

pub(super) fn write_key(key: &[u8], text: &mut Vec<u8>) {
    let is_plain = |byte: u8| byte > 0x1f && byte != b'"' && byte != b'\\';
    text.push(b'"');
    if key.iter().all(|byte| is_plain(*byte)) {
        text.extend_from_slice(key);
    } else {
        for &byte in key {
            match byte {
                _ if is_plain(byte) => text.push(byte),
                b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
                _ => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
        }
    }
    text.push(b'"');
}
