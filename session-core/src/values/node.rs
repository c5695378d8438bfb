//! The tree behind a changed document: levels that a change went through are split, and everything
//! beside them is still the text that was stored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::lists::Lists;
use super::path::Path;
use super::scan::{Entries, Flaw, Shape};
use crate::{Error, Result};

/// One value. `Text` is exactly its JSON text, or anything at all if it was never looked at.
#[derive(Clone)]
pub(super) enum Node {
    Text(Bytes),
    Map(BTreeMap<String, Self>),
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
            Self::Text(text) => return lookup_text(text.clone(), segments),
            Self::Map(members) => members.get(segment.as_ref()),
            Self::List(elements) => index(segment).and_then(|index| elements.get(index)),
        };
        child.map_or(Ok(None), |child| child.lookup(rest))
    }

    /// Makes `change` behind the path's segments from `depth` on. If it fails, nothing has changed.
    pub(super) fn apply(
        &mut self,
        path: &Path,
        depth: usize,
        change: Change,
        lists: &mut Lists,
    ) -> Result<()> {
        let Some(segment) = path.segments().get(depth) else {
            return self.apply_here(path, change);
        };
        let change_level = |level: &mut Self| match level {
            Self::Map(members) => match members.get_mut(segment.as_ref()) {
                Some(member) => member.apply(path, depth + 1, change, lists),
                None => {
                    let made = Self::behind(&path.segments()[depth + 1..], change);
                    members.insert(segment.clone().into_owned(), made);
                    Ok(())
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
        self.edit(change_level, |()| true)
    }

    fn apply_here(&mut self, path: &Path, change: Change) -> Result<()> {
        match change {
            Change::Insert(text) => {
                *self = Self::Text(text);
                Ok(())
            }
            Change::Push(text) => {
                let push = |level: &mut Self| match level {
                    Self::List(elements) => {
                        elements.push(Self::Text(text));
                        Ok(())
                    }
                    Self::Map(_) | Self::Text(_) => {
                        Err(path.conflict("it leads to something else than a list"))
                    }
                };
                self.edit(push, |()| true)
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
            Self::Map(members) if last => Ok(members.remove(segment.as_ref())),
            Self::Map(members) => match members.get_mut(segment.as_ref()) {
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
        let mut entries = Entries::of(text);
        match Shape::of(text) {
            Shape::Map => {
                let mut members = BTreeMap::new();
                while entries.advance()? {
                    let key = entries.key()?.ok_or(Flaw::Malformed)?.into_owned();
                    if members.insert(key, Self::Text(text.slice(entries.value()))).is_some() {
                        return Err(Flaw::DuplicateKey.into());
                    }
                }
                Ok(Self::Map(members))
            }
            Shape::List => {
                let mut elements = Vec::new();
                while entries.advance()? {
                    elements.push(Self::Text(text.slice(entries.value())));
                }
                Ok(Self::List(elements))
            }
            Shape::Scalar => Ok(Self::Text(text.clone())),
        }
    }

    /// Maps for each of `segments`, and at their end what `change` makes out of nothing.
    fn behind(segments: &[Cow<'static, str>], change: Change) -> Self {
        let end = match change {
            Change::Insert(text) => Self::Text(text),
            Change::Push(text) => Self::List(vec![Self::Text(text)]),
        };
        segments
            .iter()
            .rev()
            .fold(end, |child, segment| Self::Map(BTreeMap::from([(segment.clone().into_owned(), child)])))
    }

    /// Whether both hold the same, whatever the order of members, the whitespace and the escapes.
    pub(super) fn same(&self, other: &Self) -> Result<bool> {
        if let (Self::Text(one), Self::Text(other)) = (self, other) {
            if one == other {
                return Ok(true);
            }
            if let (Some(ones), Some(others)) = (sorted_members(one)?, sorted_members(other)?) {
                return same_members(&ones, &others);
            }
        }
        match (&*self.level()?, &*other.level()?) {
            (Self::Map(ones), Self::Map(others)) => {
                if ones.len() != others.len() {
                    return Ok(false);
                }
                for ((key, one), (other_key, other)) in ones.iter().zip(others) {
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
        let mut text = Vec::new();
        self.write(&mut text);
        text.into()
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
fn lookup_text(mut text: Bytes, segments: &[Cow<'static, str>]) -> Result<Option<Bytes>> {
    for segment in segments {
        let mut found = None;
        let mut entries = Entries::of(&text);
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
            Some(range) => text = text.slice(range),
            None => return Ok(None),
        }
    }
    Ok(Some(text))
}

/// A key and the text of its value.
type Member<'a> = (&'a str, &'a [u8]);

/// The members of a map, if they stand in order and no key has an escape: as the core
/// writes them. Splitting it would take three times as long.
fn sorted_members(text: &Bytes) -> Result<Option<Vec<Member<'_>>>> {
    let mut members: Vec<Member<'_>> = Vec::new();
    let mut entries = Entries::of(text);
    while entries.advance()? {
        match entries.key()? {
            Some(Cow::Borrowed(key)) if members.last().is_none_or(|(last, _)| *last < key) => {
                members.push((key, &text[entries.value()]));
            }
            _ => return Ok(None),
        }
    }
    Ok((Shape::of(text) == Shape::Map).then_some(members))
}

fn same_members(ones: &[Member<'_>], others: &[Member<'_>]) -> Result<bool> {
    if ones.len() != others.len() {
        return Ok(false);
    }
    for ((key, one), (other_key, other)) in ones.iter().zip(others) {
        let node = |text| Node::Text(Bytes::copy_from_slice(text));
        if key != other_key || (one != other && !node(one).same(&node(other))?) {
            return Ok(false);
        }
    }
    Ok(true)
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

fn write_key(key: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    for byte in key.bytes() {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}
