//! Golden bytes of the values in format 1, and what damage to them can do.

use std::ops::Range;

use bytes::Bytes;

use super::path::ToPath;
use super::{Codec, Document, Path};
use crate::golden::{assert_written, read};
use crate::{ErrorKind, Result};

/// The keys of the golden session and the texts of their values.
const VALUES: [(&str, &str); 10] = [
    ("account", r#"{"current_user_id":42,"name":"Alice"}"#),
    ("bools", "[true,false,null]"),
    ("empty", "\"\""),
    ("float", "0.1"),
    ("i64", "-9223372036854775808"),
    ("list", r#"[1,"two",{"three":[3]}]"#),
    ("n", "7"),
    ("text", "\"caf\u{e9} \u{1f980} \\\"quoted\\\" \\u0000 \\n\""),
    ("u64", "18446744073709551615"),
    ("zero", "-0.0"),
];

fn codecs() -> Vec<(Codec, &'static str)> {
    vec![
        (Codec::Json, "values.json"),
        #[cfg(feature = "bincode")]
        (Codec::Bincode, "values.bincode"),
    ]
}

fn path(key: &str) -> Path {
    [key].to_path().unwrap()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn document() -> Document {
    let mut document = Document::empty();
    for (key, value) in VALUES {
        document.insert(&path(key), text(value)).unwrap();
    }
    document.push(&Path::flash(), text("\"hello\"")).unwrap();
    document
}

fn look(codec: Codec, stored: &[u8], key: &str) -> Result<Option<Bytes>> {
    codec.read(Bytes::copy_from_slice(stored))?.lookup(&path(key))
}

#[test]
fn format_1_is_written() {
    for (codec, name) in codecs() {
        assert_written(name, &codec.write(&document()).unwrap());
    }
}

#[test]
fn format_1_is_read() {
    for (codec, name) in codecs() {
        let stored = read(name);
        for (key, value) in VALUES {
            assert_eq!(look(codec, &stored, key).unwrap(), Some(text(value)), "{key} in {name}");
        }
        let read = codec.read(stored.into()).unwrap();
        assert!(read.same_values(&document()).unwrap(), "{name}");
        assert_eq!(read.keys(&[""; 0].to_path().unwrap()).unwrap(), VALUES.map(|(key, _)| key), "{name}");
        assert_eq!(read.elements(&Path::flash()).unwrap(), [text("\"hello\"")], "{name}");
    }
}

/// Where a key and its value stand, with the quotes or lengths that go with them.
fn entry(stored: &[u8], key: &str, value: &str) -> Range<usize> {
    let find = |from: usize, what: &[u8]| {
        from + stored[from..].windows(what.len()).position(|window| window == what).unwrap()
    };
    let key_at = (0..stored.len() - key.len())
        .find(|at| {
            stored[*at..].starts_with(key.as_bytes())
                && matches!(stored[at - 1], b'"' | 0..=9)
                && stored[at + key.len()..].iter().take(3).any(|byte| matches!(byte, b':' | 0..=60))
        })
        .unwrap();
    key_at - 1..find(key_at + key.len(), value.as_bytes()) + value.len()
}

#[test]
fn a_flipped_bit_changes_no_value_but_the_one_that_it_hits() {
    for (codec, name) in codecs() {
        let stored = read(name);
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            for (key, value) in VALUES {
                let found = match look(codec, &damaged, key) {
                    Ok(found) => found,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}, bit {bit} of {name}");
                        continue;
                    }
                };
                let is_hit = entry(&stored, key, value).contains(&(bit / 8));
                let is_same = found == Some(text(value));
                assert!(is_same || is_hit, "{key}, bit {bit} of {name}: {found:?}");
            }
        }
    }
}

#[test]
fn values_that_are_cut_off_are_corrupt_or_what_they_were() {
    for (codec, name) in codecs() {
        let stored = read(name);
        // No byte at all is a session without values.
        for length in 1..stored.len() {
            for (key, value) in VALUES {
                match look(codec, &stored[..length], key) {
                    Ok(found) => assert_eq!(found, Some(text(value)), "{key}, {length} bytes of {name}"),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}, {length} bytes of {name}")
                    }
                }
            }
        }
    }
}
