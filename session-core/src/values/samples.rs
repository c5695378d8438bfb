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

/// A map with little whitespace, as most writers put it, whose entries are as long as a few steps of the scanner.
pub(super) fn compact_map() -> impl Strategy<Value = String> {
    let text = || prop_oneof![9 => "\"[ !#-\\[\\]-~\u{e9}]{0,80}\"", 1 => string()];
    let other = vec!["true", "null", "{}", "[[],{}]", r#"{"a":1}"#];
    let value = prop_oneof![
        6 => text(),
        2 => r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?",
        1 => prop::sample::select(other).prop_map(String::from),
    ];
    let gap = || prop_oneof![19 => Just(""), 1 => Just(" ")];
    let member = (gap(), text(), gap(), gap(), value)
        .prop_map(|(before, key, between, behind, value)| format!("{before}{key}{between}:{behind}{value}"));
    prop::collection::vec(member, 0..12).prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// The text of a value with a byte changed, put in or taken out in a few places.
pub(super) fn broken_json() -> impl Strategy<Value = Vec<u8>> {
    damaged(json())
}

/// The same of a map with little whitespace.
pub(super) fn broken_compact_map() -> impl Strategy<Value = Vec<u8>> {
    damaged(compact_map())
}

fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]:,\"\\ 0\n".as_slice())];
    let damage = prop::collection::vec((any::<Index>(), 0..4, byte), 1..4);
    (text, damage).prop_map(|(text, damage)| {
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
