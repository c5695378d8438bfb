//! Finds the way through JSON text (RFC 8259) without decoding it.
//!
//! What is skipped is checked for structure: literals, numbers, escapes, brackets. What it means is
//! left to the decoder: UTF-8, surrogates, the range of a number.

mod compact;
mod cursor;
mod runs;
mod stops;

use std::borrow::Cow;
use std::ops::Range;

use compact::Compact;
use cursor::Cursor;
use stops::Stops;

/// How deep text may be nested: as deep as serde_json decodes it.
pub(super) const MAX_NESTING: usize = 127;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not one JSON value.
    Malformed,
    /// Its values are nested deeper than they may be.
    TooDeep,
    /// A map in it has a key twice.
    DuplicateKey,
}

/// What a text holds, by its first byte: the rest is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Map,
    List,
    Scalar,
}

impl Shape {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut cursor = Cursor { text, at: 0 };
        cursor.whitespace();
        match cursor.peek() {
            Some(b'{') => Self::Map,
            Some(b'[') => Self::List,
            _ => Self::Scalar,
        }
    }
}

/// Checks that `text` is one JSON value, whitespace around it allowed.
pub(super) fn check(text: &[u8]) -> Result<(), Flaw> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.whitespace();
    cursor.value(MAX_NESTING)?;
    cursor.end()
}

/// Walks the entries of one map or list, in the order of the text.
///
/// A scalar has no entries. Nothing is known to be well-formed before [`advance`](Self::advance) has
/// returned `false`.
pub(super) struct Entries<'a> {
    text: &'a [u8],
    shape: Shape,
    next: Next,
    entry: Entry,
    /// Behind the entry.
    stops: Stops<'a>,
}

/// What [`Entries`] come to next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The opening bracket, and an entry or the end.
    First,
    /// A comma and an entry of a list, or the end.
    Element,
    /// A comma and an entry of a map, or the end.
    Member,
    /// Nothing.
    Nothing,
}

/// Where an entry stands in the text.
#[derive(Clone, Copy)]
struct Entry {
    /// Where the key begins and ends, in its quotes; the same in a list.
    key: (usize, usize),
    key_is_escaped: bool,
    /// Where the value begins and ends, without whitespace around it.
    value: (usize, usize),
}

impl<'a> Entries<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        let entry = Entry { key: (0, 0), key_is_escaped: false, value: (0, 0) };
        Self { text, shape: Shape::of(text), next: Next::First, entry, stops: Stops::of(text) }
    }

    /// Steps to the next entry; whether there is one.
    #[inline(always)]
    pub(super) fn advance(&mut self) -> Result<bool, Flaw> {
        if self.next == Next::Member
            && let Some(compact) = Compact::next(self.text, &mut self.stops)?
        {
            self.entry = compact.entry(self.text);
            return Ok(true);
        }
        self.advance_carefully()
    }

    #[inline(always)]
    fn advance_carefully(&mut self) -> Result<bool, Flaw> {
        let Self { text, shape, next, .. } = *self;
        let at = text.len() - self.stops.rest.len();
        let Some(entry) = any_entry(text, at, shape, next)? else {
            self.next = Next::Nothing;
            return Ok(false);
        };
        self.stops.skip(entry.value.1 - at);
        self.entry = entry;
        self.next = if shape == Shape::Map { Next::Member } else { Next::Element };
        Ok(true)
    }

    /// Steps to the next entry of a map whose key is `segment`; whether there is one. A list has none.
    #[inline(always)]
    pub(super) fn advance_to(&mut self, segment: &str) -> Result<bool, Flaw> {
        loop {
            // A copy, so that it stays in registers while entries are passed by.
            let mut stops = self.stops;
            while self.next == Next::Member
                && let Some(compact) = Compact::next(self.text, &mut stops)?
            {
                if same(compact.key, segment.as_bytes()) {
                    self.stops = stops;
                    self.entry = compact.entry(self.text);
                    return Ok(true);
                }
            }
            self.stops = stops;
            if !self.advance_carefully()? {
                return Ok(false);
            }
            if self.key_is(segment)? {
                return Ok(true);
            }
        }
    }

    /// Whether these are the entries of a map.
    pub(super) fn have_keys(&self) -> bool {
        self.shape == Shape::Map
    }

    /// Whether the key of this entry is `segment`.
    #[inline(always)]
    fn key_is(&self, segment: &str) -> Result<bool, Flaw> {
        if self.entry.key_is_escaped {
            return Ok(self.key()?.is_some_and(|key| key == segment));
        }
        let (start, end) = self.entry.key;
        Ok(match &self.text[start..end] {
            [b'"', key @ .., b'"'] => same(key, segment.as_bytes()),
            _ => false,
        })
    }

    /// The bytes of the key, where no escape stands for a part of it; `None` where one does, and in a list.
    pub(super) fn plain_key(&self) -> Option<&'a [u8]> {
        let (start, end) = self.entry.key;
        (start != end && !self.entry.key_is_escaped).then(|| &self.text[start + 1..end - 1])
    }

    /// The key itself; `None` in a list. Fails where it is not Unicode: bytes that are not UTF-8, half a
    /// surrogate pair.
    pub(super) fn key(&self) -> Result<Option<Cow<'a, str>>, Flaw> {
        let (start, end) = self.entry.key;
        if start == end {
            return Ok(None);
        }
        let key = if self.entry.key_is_escaped {
            serde_json::from_slice(&self.text[start..end]).ok().map(Cow::Owned)
        } else {
            std::str::from_utf8(&self.text[start + 1..end - 1]).ok().map(Cow::Borrowed)
        };
        key.ok_or(Flaw::Malformed).map(Some)
    }

    /// Where this entry's value stands in the text, without whitespace around it.
    pub(super) fn value(&self) -> Range<usize> {
        self.entry.value.0..self.entry.value.1
    }
}

/// Whether both are the same. Most keys of one length differ in their first bytes, which costs less than a
/// call to find out.
#[inline(always)]
fn same(key: &[u8], segment: &[u8]) -> bool {
    key.len() == segment.len() && key.first_chunk::<8>() == segment.first_chunk() && key == segment
}

/// The end of the value at `at`, of an entry.
#[inline(never)]
fn skip_value(text: &[u8], at: usize) -> Result<usize, Flaw> {
    let mut cursor = Cursor { text, at };
    cursor.value(MAX_NESTING - 1)?;
    Ok(cursor.at)
}

/// The entry behind `at`, however it is written; `None` at the end.
#[inline(never)]
fn any_entry(text: &[u8], at: usize, shape: Shape, next: Next) -> Result<Option<Entry>, Flaw> {
    let close = match shape {
        _ if next == Next::Nothing => return Ok(None),
        Shape::Map => b'}',
        Shape::List => b']',
        // It has not been looked at yet.
        Shape::Scalar => return check(text).map(|()| None),
    };
    let mut cursor = Cursor { text, at };
    cursor.whitespace();
    if next == Next::First {
        // The bracket that makes the shape.
        cursor.at += 1;
        cursor.whitespace();
    }
    if cursor.eat(close) {
        return cursor.end().map(|()| None);
    }
    if next != Next::First {
        cursor.expect(b',')?;
        cursor.whitespace();
    }
    let key_start = cursor.at;
    let key_is_escaped = shape == Shape::Map && cursor.string()?;
    let key = (key_start, cursor.at);
    if shape == Shape::Map {
        cursor.colon()?;
    }
    let start = cursor.at;
    cursor.value(MAX_NESTING - 1)?;
    Ok(Some(Entry { key, key_is_escaped, value: (start, cursor.at) }))
}

#[cfg(test)]
mod tests;
