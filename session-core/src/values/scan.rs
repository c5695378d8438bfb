//! Finds the way through JSON text (RFC 8259) without decoding it.
//!
//! What is skipped is checked for structure: literals, numbers, escapes, brackets. What it means is
//! left to the decoder: UTF-8, surrogates, the range of a number.

use std::borrow::Cow;
use std::ops::Range;

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
/// returned `None`.
pub(super) struct Entries<'a> {
    text: &'a [u8],
    at: usize,
    /// The bracket that ends the entries; `None` when there are no more.
    close: Option<u8>,
    first: bool,
}

pub(super) struct Entry<'a> {
    /// `None` in a list.
    pub(super) key: Option<RawKey<'a>>,
    /// Where the value stands in the text, without whitespace around it.
    pub(super) value: Range<usize>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        let mut cursor = Cursor { text, at: 0 };
        cursor.whitespace();
        match cursor.peek() {
            Some(b'{') => Self { text, at: cursor.at + 1, close: Some(b'}'), first: true },
            Some(b'[') => Self { text, at: cursor.at + 1, close: Some(b']'), first: true },
            _ => Self { text, at: 0, close: None, first: true },
        }
    }

    #[inline]
    pub(super) fn advance(&mut self) -> Result<Option<Entry<'a>>, Flaw> {
        let Some(close) = self.close else {
            // A scalar has not been looked at yet.
            return if self.first { check(self.text).map(|()| None) } else { Ok(None) };
        };
        // A copy, so that the compiler may keep the position in a register.
        let mut cursor = Cursor { text: self.text, at: self.at };
        cursor.whitespace();
        match cursor.peek() {
            Some(b',') if !self.first => {
                cursor.at += 1;
                cursor.whitespace();
            }
            Some(byte) if byte == close => {
                cursor.at += 1;
                cursor.end()?;
                (self.close, self.first) = (None, false);
                return Ok(None);
            }
            _ if self.first => self.first = false,
            _ => return Err(Flaw::Malformed),
        }
        let key = if close == b'}' { Some(cursor.key()?) } else { None };
        let start = cursor.at;
        cursor.value(MAX_NESTING - 1)?;
        self.at = cursor.at;
        Ok(Some(Entry { key, value: start..cursor.at }))
    }
}

/// A key as the text has it: in quotes, escapes and all.
#[derive(Clone, Copy)]
pub(super) struct RawKey<'a> {
    quoted: &'a [u8],
    escaped: bool,
}

impl<'a> RawKey<'a> {
    pub(super) fn is(&self, segment: &str) -> Result<bool, Flaw> {
        if self.escaped { Ok(self.unescape()? == segment) } else { Ok(self.plain() == segment.as_bytes()) }
    }

    /// The key itself. Fails where it is not Unicode: bytes that are not UTF-8, half a surrogate pair.
    pub(super) fn unescape(&self) -> Result<Cow<'a, str>, Flaw> {
        if self.escaped {
            serde_json::from_slice(self.quoted).map(Cow::Owned).map_err(|_| Flaw::Malformed)
        } else {
            std::str::from_utf8(self.plain()).map(Cow::Borrowed).map_err(|_| Flaw::Malformed)
        }
    }

    fn plain(&self) -> &'a [u8] {
        &self.quoted[1..self.quoted.len() - 1]
    }
}

/// A place in the text. Every method leaves it behind what it has read, or anywhere if it fails.
///
/// What every entry passes through is inlined, and functions that are called take the place by value:
/// so it stays in a register, and a document of small values takes half the instructions.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Skips one value of at most `nesting` levels.
    #[inline(always)]
    fn value(&mut self, nesting: usize) -> Result<(), Flaw> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{' | b'[') => {
                self.at = skip_nested(self.text, self.at, nesting)?;
                Ok(())
            }
            _ => self.scalar(),
        }
    }

    /// Skips a scalar that is not a string.
    #[inline(always)]
    fn scalar(&mut self) -> Result<(), Flaw> {
        let skipped = match self.peek() {
            Some(b'-' | b'0'..=b'9') => skip_number(self.text, self.at),
            Some(b't') => skip_literal(self.text, self.at, b"true"),
            Some(b'f') => skip_literal(self.text, self.at, b"false"),
            Some(b'n') => skip_literal(self.text, self.at, b"null"),
            _ => None,
        };
        self.at = skipped.ok_or(Flaw::Malformed)?;
        Ok(())
    }

    /// Reads a key and its colon, up to the value.
    #[inline(always)]
    fn key(&mut self) -> Result<RawKey<'a>, Flaw> {
        let start = self.at;
        let escaped = self.string()?;
        let quoted = &self.text[start..self.at];
        self.whitespace();
        self.expect(b':')?;
        self.whitespace();
        Ok(RawKey { quoted, escaped })
    }

    /// Skips a string in its quotes; whether it holds an escape.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, Flaw> {
        self.expect(b'"')?;
        self.at = skip_plain(self.text, self.at);
        if self.eat(b'"') {
            return Ok(false);
        }
        self.at = skip_escaped(self.text, self.at).ok_or(Flaw::Malformed)?;
        Ok(true)
    }

    #[inline(always)]
    fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), Flaw> {
        self.whitespace();
        if self.at == self.text.len() { Ok(()) } else { Err(Flaw::Malformed) }
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.eat(byte) { Ok(()) } else { Err(Flaw::Malformed) }
    }

    #[inline(always)]
    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        if eaten {
            self.at += 1;
        }
        eaten
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

/// The end of the map or list at `at`, of at most `nesting` levels.
///
/// Open brackets are bits of a number, not calls, so no text can exhaust the stack.
fn skip_nested(text: &[u8], at: usize, nesting: usize) -> Result<usize, Flaw> {
    const { assert!(MAX_NESTING < u128::BITS as usize) }
    let mut cursor = Cursor { text, at };
    let mut maps = 0_u128;
    let mut depth = 0;
    loop {
        let mut opened = false;
        match cursor.peek() {
            Some(b'"') => drop(cursor.string()?),
            Some(bracket @ (b'{' | b'[')) => {
                if depth == nesting {
                    return Err(Flaw::TooDeep);
                }
                depth += 1;
                maps = maps << 1 | u128::from(bracket == b'{');
                cursor.at += 1;
                opened = true;
            }
            _ => cursor.scalar()?,
        }
        loop {
            cursor.whitespace();
            let map = maps & 1 == 1;
            if !cursor.eat(if map { b'}' } else { b']' }) {
                if !opened {
                    cursor.expect(b',')?;
                    cursor.whitespace();
                }
                if map {
                    cursor.key()?;
                }
                break;
            }
            maps >>= 1;
            depth -= 1;
            opened = false;
            if depth == 0 {
                return Ok(cursor.at);
            }
        }
    }
}

/// The first place from `at` on that a string cannot pass by: a quote, a backslash, a control
/// character, the end of the text. Looks at sixteen bytes at a time.
#[inline(always)]
fn skip_plain(text: &[u8], at: usize) -> usize {
    let mut rest = &text[at..];
    while let Some((chunk, behind)) = rest.split_first_chunk::<16>() {
        let chunk = u128::from_le_bytes(*chunk);
        let (low, high) = (stops(chunk as u64), stops((chunk >> 64) as u64));
        if low | high != 0 {
            let stop = if low != 0 { low.trailing_zeros() } else { 64 + high.trailing_zeros() };
            return text.len() - rest.len() + stop as usize / 8;
        }
        rest = behind;
    }
    let stop = rest.iter().position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\');
    text.len() - rest.len() + stop.unwrap_or(rest.len())
}

/// The end of a string, from its first escape on; `None` if there is none.
#[inline(never)]
fn skip_escaped(text: &[u8], at: usize) -> Option<usize> {
    let mut cursor = Cursor { text, at };
    while !cursor.eat(b'"') {
        let escape = text.get(cursor.at..cursor.at + 2)?.strip_prefix(b"\\")?;
        cursor.at += 2;
        match escape {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'] => {}
            [b'u'] if text.get(cursor.at..cursor.at + 4)?.iter().all(u8::is_ascii_hexdigit) => cursor.at += 4,
            _ => return None,
        }
        cursor.at = skip_plain(text, cursor.at);
    }
    Some(cursor.at)
}

fn skip_number(text: &[u8], at: usize) -> Option<usize> {
    let mut cursor = Cursor { text, at };
    cursor.eat(b'-');
    if !cursor.eat(b'0') {
        cursor.at = skip_digits(text, cursor.at)?;
    }
    if cursor.eat(b'.') {
        cursor.at = skip_digits(text, cursor.at)?;
    }
    if cursor.eat(b'e') || cursor.eat(b'E') {
        let _ = cursor.eat(b'+') || cursor.eat(b'-');
        cursor.at = skip_digits(text, cursor.at)?;
    }
    Some(cursor.at)
}

#[inline(always)]
fn skip_digits(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > start).then_some(at)
}

#[inline(always)]
fn skip_literal(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    text[at..].starts_with(literal).then_some(at + literal.len())
}

/// Marks the high bit of each byte that is a quote, a backslash or a control character.
///
/// A subtraction borrows from the bytes above the one it is about, so marks above the lowest may be
/// wrong; the lowest is right.
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    // Flipping this bit moves the quote (0x22) next to the control characters (below 0x20).
    let quote_or_control = (word ^ (ONES << 1)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests;
