//! Where strings end: found 64 bytes at a time and remembered, because several entries share them.

use super::runs;

/// What is left of a text, and the stops in it: the places that a string cannot pass by, which are
/// quotes, backslashes and control characters.
///
/// Moving on keeps what is known of the text ahead, so that every byte is looked at once.
#[derive(Clone, Copy)]
pub(super) struct Stops<'a> {
    /// From the place on where this stands.
    pub(super) rest: &'a [u8],
    /// Which of the next 64 bytes are stops, as far as that is known; others count as none.
    bits: u64,
    /// The end of the text, which was not looked at.
    unknown: &'a [u8],
}

impl<'a> Stops<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { rest: text, bits: 0, unknown: text }
    }

    /// Moves on by as many bytes; `None` if there are not so many.
    #[inline(always)]
    pub(super) fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        self.bits = if bytes < 64 { self.bits >> bytes } else { 0 };
        Some(())
    }

    /// Moves on to the first stop from here on, if there is one.
    #[inline(always)]
    pub(super) fn skip_plain(&mut self) -> Option<()> {
        while self.bits == 0 {
            if self.unknown.len() < self.rest.len() {
                self.rest = self.unknown;
            }
            (self.bits, self.unknown) = match self.rest.split_first_chunk() {
                Some((stretch, unknown)) => (runs::stops(stretch), unknown),
                None if self.rest.is_empty() => return None,
                None => (stops_at_end(self.rest), &[][..]),
            };
        }
        let distance = self.bits.trailing_zeros() as usize;
        if distance >= self.rest.len() {
            return None;
        }
        self.skip(distance)
    }
}

/// The stops in less than 64 bytes.
#[inline(never)]
fn stops_at_end(rest: &[u8]) -> u64 {
    let mut stretch = [b' '; 64];
    stretch[..rest.len()].copy_from_slice(rest);
    runs::stops(&stretch)
}
