//! A place in JSON text, and how to get from one to the next.

use super::runs::{skip_digits, skip_plain};
use super::{Flaw, MAX_NESTING};

/// A place in the text. Every method leaves it behind what it has read, or anywhere if it fails.
///
/// What every entry passes through is inlined, and functions that are called take the place by value:
/// so it stays in a register, and a document of small values takes half the instructions.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
}

impl Cursor<'_> {
    /// Skips one value of at most `nesting` levels.
    #[inline(always)]
    pub(super) fn value(&mut self, nesting: usize) -> Result<(), Flaw> {
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

    /// Skips the colon behind a key, up to the value.
    #[inline(always)]
    pub(super) fn colon(&mut self) -> Result<(), Flaw> {
        self.whitespace();
        self.expect(b':')?;
        self.whitespace();
        Ok(())
    }

    /// Skips a string in its quotes; whether it holds an escape.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<bool, Flaw> {
        self.expect(b'"')?;
        self.at = skip_plain(self.text, self.at);
        if self.eat(b'"') {
            return Ok(false);
        }
        self.at = skip_escaped(self.text, self.at).ok_or(Flaw::Malformed)?;
        Ok(true)
    }

    #[inline(always)]
    pub(super) fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Flaw> {
        self.whitespace();
        if self.at == self.text.len() { Ok(()) } else { Err(Flaw::Malformed) }
    }

    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.eat(byte) { Ok(()) } else { Err(Flaw::Malformed) }
    }

    #[inline(always)]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        if eaten {
            self.at += 1;
        }
        eaten
    }

    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
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
                    cursor.string()?;
                    cursor.colon()?;
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
        cursor.at = skip_some_digits(text, cursor.at)?;
    }
    if cursor.eat(b'.') {
        cursor.at = skip_some_digits(text, cursor.at)?;
    }
    if cursor.eat(b'e') || cursor.eat(b'E') {
        let _ = cursor.eat(b'+') || cursor.eat(b'-');
        cursor.at = skip_some_digits(text, cursor.at)?;
    }
    Some(cursor.at)
}

#[inline(always)]
fn skip_some_digits(text: &[u8], start: usize) -> Option<usize> {
    let end = skip_digits(text, start);
    (end > start).then_some(end)
}

#[inline(always)]
fn skip_literal(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    text[at..].starts_with(literal).then_some(at + literal.len())
}
