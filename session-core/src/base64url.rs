//! Reads tokens and ids as text: base64url (RFC 4648, section 5) without padding. Every request brings 65
//! characters of it, for which a decoder of texts of any length takes three times as many instructions.

/// What is no digit.
const NONE: u8 = 0x80;

/// The value of each character.
const DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut value = 0;
    while value < alphabet.len() {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// The bytes that `text` stands for. `None` unless there are exactly so many, and the text is the only one that
/// stands for them: spare bits at the end are zero.
pub(crate) fn decode<const LEN: usize>(text: &[u8]) -> Option<[u8; LEN]> {
    if text.len() != (4 * LEN).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; LEN];
    let (triples, last) = bytes.as_chunks_mut::<3>();
    let (quadruples, rest) = text.as_chunks::<4>();
    let mut seen = 0;
    let mut bits = |characters: &[u8]| {
        characters.iter().fold(0_u32, |bits, character| {
            let digit = DIGITS[usize::from(*character)];
            seen |= digit;
            bits << 6 | u32::from(digit)
        })
    };
    for (triple, quadruple) in triples.iter_mut().zip(quadruples) {
        triple.copy_from_slice(&bits(quadruple).to_be_bytes()[1..]);
    }
    // As if zeros followed.
    let end = (bits(rest) << (6 * (4 - rest.len()))).to_be_bytes();
    let (end, spare) = end[1..].split_at(last.len());
    last.copy_from_slice(end);
    (seen & NONE == 0 && spare.iter().all(|byte| *byte == 0)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn by_the_crate<const LEN: usize>(text: &[u8]) -> Option<[u8; LEN]> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
    }

    fn agree(text: &[u8]) {
        assert_eq!(decode::<0>(text), by_the_crate(text), "{text:?}");
        assert_eq!(decode::<15>(text), by_the_crate(text), "{text:?}");
        assert_eq!(decode::<16>(text), by_the_crate(text), "{text:?}");
        assert_eq!(decode::<32>(text), by_the_crate(text), "{text:?}");
    }

    #[test]
    fn every_byte_at_every_place_is_read_as_the_crate_reads_it() {
        agree(b"");
        for len in [20, 21, 22, 23, 42, 43, 44] {
            for at in 0..len {
                for byte in 0..=255 {
                    let mut text = vec![b'A'; len];
                    text[at] = byte;
                    agree(&text);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_the_crate_writes_is_read(bytes: [u8; 16], more: [u8; 32]) {
            prop_assert_eq!(decode(URL_SAFE_NO_PAD.encode(bytes).as_bytes()), Some(bytes));
            prop_assert_eq!(decode(URL_SAFE_NO_PAD.encode(more).as_bytes()), Some(more));
        }

        #[test]
        fn other_texts_are_refused(text in "[A-Za-z0-9+/=_ é-]{18,46}") {
            agree(text.as_bytes());
        }
    }
}
