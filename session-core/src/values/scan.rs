//! Finds the way through JSON text (RFC 8259) without decoding it.
//!
//! What is skipped is checked for structure: literals, numbers, escapes, brackets. What it means is
//! left to the decoder: UTF-8, surrogates, the range of a number.

mod cursor;
mod runs;

use std::borrow::Cow;
use std::ops::Range;

use cursor::Cursor;

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
        Self { text, shape: Shape::of(text), next: Next::First, entry }
    }

    /// Steps to the next entry; whether there is one.
    #[inline(always)]
    pub(super) fn advance(&mut self) -> Result<bool, Flaw> {
        let Self { text, shape, next, entry: Entry { value: (_, at), .. } } = *self;
        if next == Next::Member
            && let Some(Ahead { key_end, value_end }) = look_ahead(text, at)
        {
            let start = at + key_end + 2;
            let end = match value_end {
                Some(end) => at + end,
                None => skip_value(text, start)?,
            };
            let key = (at + 1, at + key_end + 1);
            self.entry = Entry { key, key_is_escaped: false, value: (start, end) };
            return Ok(true);
        }
        let Some(entry) = any_entry(text, at, shape, next)? else {
            self.next = Next::Nothing;
            return Ok(false);
        };
        self.entry = entry;
        self.next = if shape == Shape::Map { Next::Member } else { Next::Element };
        Ok(true)
    }

    /// Whether these are the entries of a map.
    pub(super) fn have_keys(&self) -> bool {
        self.shape == Shape::Map
    }

    /// Whether the key of this entry is `segment`.
    #[inline(always)]
    pub(super) fn key_is(&self, segment: &str) -> Result<bool, Flaw> {
        if self.entry.key_is_escaped {
            return Ok(self.key()?.is_some_and(|key| key == segment));
        }
        let (start, end) = self.entry.key;
        if end - start != segment.len() + 2 {
            return Ok(false);
        }
        let (key, segment) = (&self.text[start + 1..end - 1], segment.as_bytes());
        // Most keys of one length differ in their first bytes, which costs less than a call to find out.
        Ok(key.first_chunk::<8>() == segment.first_chunk() && key == segment)
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

/// What stands in the next 64 bytes.
struct Ahead {
    /// Where the closing quote of the key is.
    key_end: usize,
    /// Where the value ends, if it is a text and ends there.
    value_end: Option<usize>,
}

/// Looks at the entry of a map at `at`, behind another one: comma, key and colon without whitespace and
/// without an escape, as most are. `None` says nothing about the text.
#[inline(always)]
fn look_ahead(text: &[u8], at: usize) -> Option<Ahead> {
    let line: &[u8; 64] = text.get(at..)?.first_chunk()?;
    if !line.starts_with(b",\"") {
        return None;
    }
    // Without that at the opening quote.
    let stops = runs::stops(line) & !0b11;
    let key_end = stops.trailing_zeros() as usize;
    let without_lowest = |bits: u64| bits & bits.wrapping_sub(1);
    let text_end = without_lowest(without_lowest(stops)).trailing_zeros() as usize;
    match line.get(key_end..)? {
        [b'"', b':', b'"', ..] if line.get(text_end) == Some(&b'"') => {
            Some(Ahead { key_end, value_end: Some(text_end + 1) })
        }
        [b'"', b':', first, ..] if *first > b' ' => Some(Ahead { key_end, value_end: None }),
        _ => None,
    }
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
