//! The entries of a map as most writers put them: comma, key and colon without whitespace and without an
//! escape. The way through them is short, and everything else is left to the careful way.

use super::stops::Stops;
use super::{Entry, Flaw, skip_value};

/// Such an entry.
pub(super) struct Compact<'a> {
    pub(super) key: &'a [u8],
    /// How much text is left where the value begins and behind it.
    left: (usize, usize),
}

impl<'a> Compact<'a> {
    /// The entry behind another one, with `stops` moved behind it. If it is written in another way, `None`,
    /// and `stops` stay where they are.
    #[inline(always)]
    pub(super) fn next(text: &'a [u8], stops: &mut Stops<'a>) -> Result<Option<Self>, Flaw> {
        let left = stops.rest.len();
        if let Some((key, first)) = skip_key(stops) {
            let value = stops.rest;
            let skipped = match first {
                b'"' => skip_text(stops),
                b'!'.. => stops.skip(skip_value(value, 0)?),
                _ => None,
            };
            if skipped.is_some() {
                return Ok(Some(Self { key, left: (value.len(), stops.rest.len()) }));
            }
        }
        // Made from the length alone, which takes one register less on the usual way.
        *stops = Stops::of(&text[text.len() - left..]);
        Ok(None)
    }

    #[inline(always)]
    pub(super) fn entry(&self, text: &[u8]) -> Entry {
        let value = (text.len() - self.left.0, text.len() - self.left.1);
        Entry { key: (value.0 - 3 - self.key.len(), value.0 - 1), key_is_escaped: false, value }
    }
}

/// Moves on to the value; the key, and the first byte of the value.
#[inline(always)]
fn skip_key<'a>(stops: &mut Stops<'a>) -> Option<(&'a [u8], u8)> {
    if !stops.rest.starts_with(b",\"") {
        return None;
    }
    stops.skip(2)?;
    let key = stops.rest;
    stops.skip_plain()?;
    let key = key.get(..key.len() - stops.rest.len())?;
    let [quote, colon, first] = *stops.rest.first_chunk()?;
    if [quote, colon] != *b"\":" {
        return None;
    }
    stops.skip(2)?;
    Some((key, first))
}

/// Moves on behind the text whose quote is here.
#[inline(always)]
fn skip_text(stops: &mut Stops<'_>) -> Option<()> {
    stops.skip(1)?;
    stops.skip_plain()?;
    if *stops.rest.first()? == b'"' { stops.skip(1) } else { None }
}
