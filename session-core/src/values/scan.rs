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
    cursor: Cursor<'a>,
    shape: Shape,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Opened,
    Within,
    Closed,
}

pub(super) struct Entry<'a> {
    /// `None` in a list.
    pub(super) key: Option<RawKey<'a>>,
    /// Where the value stands in the text, without whitespace around it.
    pub(super) value: Range<usize>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { cursor: Cursor { text, at: 0 }, shape: Shape::of(text), state: State::Opened }
    }

    pub(super) fn advance(&mut self) -> Result<Option<Entry<'a>>, Flaw> {
        let close = match self.shape {
            Shape::Map => b'}',
            Shape::List => b']',
            Shape::Scalar => return check(self.cursor.text).map(|()| None),
        };
        let cursor = &mut self.cursor;
        cursor.whitespace();
        match self.state {
            State::Opened => {
                cursor.at += 1;
                cursor.whitespace();
            }
            State::Within => {}
            State::Closed => return Ok(None),
        }
        if cursor.eat(close) {
            self.state = State::Closed;
            return cursor.end().map(|()| None);
        }
        if matches!(self.state, State::Within) {
            cursor.expect(b',')?;
            cursor.whitespace();
        }
        self.state = State::Within;
        let key = if self.shape == Shape::Map { Some(cursor.key()?) } else { None };
        let start = cursor.at;
        cursor.value(MAX_NESTING - 1)?;
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
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Skips one value of at most `nesting` levels. It counts brackets instead of recursing, one bit
    /// for each that is open, so no text can exhaust the stack.
    fn value(&mut self, nesting: usize) -> Result<(), Flaw> {
        const { assert!(MAX_NESTING < u128::BITS as usize) }
        let mut maps = 0_u128;
        let mut depth = 0;
        loop {
            let opened = match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    false
                }
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == nesting {
                        return Err(Flaw::TooDeep);
                    }
                    depth += 1;
                    maps = maps << 1 | u128::from(bracket == b'{');
                    self.at += 1;
                    self.whitespace();
                    true
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    false
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(Flaw::Malformed),
            };
            let mut first = opened;
            loop {
                if depth == 0 {
                    return Ok(());
                }
                if !first {
                    self.whitespace();
                }
                let map = maps & 1 == 1;
                if self.eat(if map { b'}' } else { b']' }) {
                    maps >>= 1;
                    depth -= 1;
                    first = false;
                    continue;
                }
                if !first {
                    self.expect(b',')?;
                    self.whitespace();
                }
                if map {
                    self.key()?;
                }
                break;
            }
        }
    }

    /// Reads a key and its colon, up to the value.
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
    fn string(&mut self) -> Result<bool, Flaw> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            self.unescaped();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(Flaw::Malformed),
            }
        }
    }

    /// Skips bytes of a string up to one that needs a look, eight at a time.
    fn unescaped(&mut self) {
        while let Some(chunk) = self.text[self.at..].first_chunk() {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                self.at += stops.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Flaw> {
        let escape = self.peek().ok_or(Flaw::Malformed)?;
        self.at += 1;
        match escape {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let digits = self.text[self.at..].first_chunk::<4>().ok_or(Flaw::Malformed)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(Flaw::Malformed) }
            }
            _ => Err(Flaw::Malformed),
        }
    }

    fn number(&mut self) -> Result<(), Flaw> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Flaw::Malformed) } else { Ok(()) }
    }

    /// Skips `literal`; false, because it opens nothing.
    fn literal(&mut self, literal: &[u8]) -> Result<bool, Flaw> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(Flaw::Malformed);
        }
        self.at += literal.len();
        Ok(false)
    }

    fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), Flaw> {
        self.whitespace();
        if self.at == self.text.len() { Ok(()) } else { Err(Flaw::Malformed) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.eat(byte) { Ok(()) } else { Err(Flaw::Malformed) }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
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
