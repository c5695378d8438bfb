//! JSON text for property tests, with the liberties that other writers take: whitespace, escapes,
//! members in any order.

use proptest::prelude::*;
use proptest::sample::Index;

/// One well-formed value; a map in it may have a key twice.
pub(super) fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(String::from),
        r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?",
        string(),
    ];
    let value = scalar.prop_recursive(5, 40, 6, |value| {
        let element =
            (space(), value, space()).prop_map(|(before, value, after)| before + &value + &after).boxed();
        let member = (space(), string(), space(), element.clone())
            .prop_map(|(before, key, after, value)| format!("{before}{key}{after}:{value}"));
        let list = (space(), prop::collection::vec(element, 0..6)).prop_map(|x| bracketed('[', x, ']'));
        let map = (space(), prop::collection::vec(member, 0..6)).prop_map(|x| bracketed('{', x, '}'));
        prop_oneof![list, map]
    });
    (space(), value, space()).prop_map(|(before, value, after)| before + &value + &after)
}

/// The text of a value with a byte changed, put in or taken out in a few places.
pub(super) fn broken_json() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]:,\"\\ 0".as_slice())];
    let damage = prop::collection::vec((any::<Index>(), 0..4, byte), 1..4);
    (json(), damage).prop_map(|(text, damage)| {
        let mut text = text.into_bytes();
        for (place, kind, byte) in damage {
            let place = place.index(text.len() + 1);
            match text.get_mut(place) {
                Some(old) if kind == 0 => *old = byte,
                Some(old) if kind == 1 => *old ^= 1 << (byte & 7),
                Some(_) if kind == 2 => drop(text.remove(place)),
                _ => text.insert(place, byte),
            }
        }
        text
    })
}

fn bracketed(open: char, (space, entries): (String, Vec<String>), close: char) -> String {
    let inside = if entries.is_empty() { space } else { entries.join(",") };
    format!("{open}{inside}{close}")
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -!#-\\[\\]-~]{1,20}",
        r#"\\["\\/bfnrt]"#,
        r"\\u[0-9a-cA-C][0-9a-fA-F]{3}",
        Just(String::from(r"\ud83d\ude00")),
        "[\u{80}-\u{d7ff}\u{10000}-\u{10ffff}]{1,3}",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}
