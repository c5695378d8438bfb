//! How far a run of bytes goes that need no look one by one: judged many at a time, by vector instructions
//! where there are any.

use wide::u8x16;

/// The first place from `at` on that a string cannot pass by: a quote, a backslash, a control
/// character, the end of the text.
#[inline(always)]
pub(super) fn skip_plain(text: &[u8], at: usize) -> usize {
    skip(text, at, block_stops, |byte| byte < b' ' || byte == b'"' || byte == b'\\')
}

/// The first place from `at` on where there is no digit.
#[inline(always)]
pub(super) fn skip_digits(text: &[u8], at: usize) -> usize {
    // Digits come out as 1 to 10, everything else as zero.
    let others = |block| u8x16::splat(10).saturating_sub(u8x16::new(block) - u8x16::splat(b'0'));
    skip(text, at, |block| others(block).simd_eq(u8x16::ZERO).to_bitmask(), |byte| !byte.is_ascii_digit())
}

#[inline(always)]
fn skip(text: &[u8], at: usize, ends: impl Fn([u8; 16]) -> u32, is_end: impl Fn(u8) -> bool) -> usize {
    let mut rest = &text[at..];
    while let Some((block, behind)) = rest.split_first_chunk() {
        let ends = ends(*block);
        if ends != 0 {
            return text.len() - rest.len() + ends.trailing_zeros() as usize;
        }
        rest = behind;
    }
    let end = rest.iter().position(|&byte| is_end(byte)).unwrap_or(rest.len());
    text.len() - rest.len() + end
}

/// The places in 64 bytes that a string cannot pass by, as bits.
#[inline(always)]
pub(super) fn stops(line: &[u8; 64]) -> u64 {
    let (blocks, _) = line.as_chunks::<16>();
    blocks.iter().rev().fold(0, |bits, block| bits << 16 | u64::from(block_stops(*block)))
}

#[inline(always)]
fn block_stops(block: [u8; 16]) -> u32 {
    let block = u8x16::new(block);
    // Flipping this bit moves the quote (0x22) next to the control characters (below 0x20).
    let no_quote_or_control = (block ^ u8x16::splat(2)).saturating_sub(u8x16::splat(b' '));
    let no_backslash = block ^ u8x16::splat(b'\\');
    no_quote_or_control.min(no_backslash).simd_eq(u8x16::ZERO).to_bitmask()
}
