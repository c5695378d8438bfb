//! An insert into the text of a document, without splitting it: all that most changing requests do.
//!
//! Only where the levels on the way are written as the core writes them, so that the text comes out as if they had
//! been split and put together again. Everything else, damage included, is left to [`Node`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use super::node::{Change, Node, write_key};
use super::scan::Entries;

/// A text after an insert.
pub(super) struct Spliced {
    pub(super) text: Bytes,
    pub(super) replaced: Option<Bytes>,
}

/// Where a member of a map is, or belongs.
enum Place {
    Member(Range<usize>),
    /// Where the member before it ends, and whether there is one.
    Gap(usize, bool),
}

/// Puts `value` behind `segments`; `None` if that takes more than this.
pub(super) fn splice(text: &Bytes, segments: &[Cow<'static, str>], value: &Bytes) -> Option<Spliced> {
    let mut level = 0..text.len();
    for (depth, segment) in segments.iter().enumerate() {
        match Place::of(segment, &text[level.clone()])? {
            Place::Member(member) => level = level.start + member.start..level.start + member.end,
            Place::Gap(at, is_first) => {
                let value = Node::behind(&segments[depth + 1..], Change::Insert(value.clone())).to_text();
                let is_last = text[level.start + at] == b'}';
                let mut member = Vec::with_capacity(segment.len() + value.len() + 4);
                if !is_first {
                    member.push(b',');
                }
                write_key(segment.as_bytes(), &mut member);
                member.push(b':');
                member.extend_from_slice(&value);
                if is_first && !is_last {
                    member.push(b',');
                }
                let at = level.start + at;
                return Some(Spliced { text: exchange(text, at..at, &member), replaced: None });
            }
        }
    }
    Some(Spliced { text: exchange(text, level.clone(), value), replaced: Some(text.slice(level)) })
}

impl Place {
    fn of(segment: &str, map: &[u8]) -> Option<Self> {
        let mut entries = Entries::of(map);
        if !entries.have_keys() {
            return None;
        }
        let (mut found, mut last) = (None, None);
        // Where the last member ends; the opening bracket's end before the first.
        let mut end = 1;
        while entries.advance().ok()? {
            let (key, value) = (entries.plain_key()?, entries.value());
            let start = if last.is_none() { end } else { end + 1 };
            let is_as_written = value.start == start + key.len() + 3 && key.is_ascii();
            if !is_as_written || last.is_some_and(|last| key <= last) {
                return None;
            }
            if found.is_none() {
                found = match key.cmp(segment.as_bytes()) {
                    Ordering::Less => None,
                    Ordering::Equal => Some(Self::Member(value.clone())),
                    Ordering::Greater => Some(Self::Gap(end, last.is_none())),
                };
            }
            (end, last) = (value.end, Some(key));
        }
        (end + 1 == map.len()).then(|| found.unwrap_or(Self::Gap(end, last.is_none())))
    }
}

fn exchange(text: &Bytes, old: Range<usize>, new: &[u8]) -> Bytes {
    [&text[..old.start], new, &text[old.end..]].concat().into()
}

#[cfg(test)]
mod tests;
