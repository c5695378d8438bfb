//! The scanner against serde_json.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::samples::{broken_json, json};
use super::*;

/// serde_json, asked to skip a value, checks what the scanner checks, but not the nesting. Whether a
/// text is skipped or walked through must make no difference.
fn agrees_with_serde_json(text: &[u8]) {
    assert_eq!(walk(text), check(text), "{:?}", text.escape_ascii().to_string());
    let expected = serde_json::from_slice::<IgnoredAny>(text).is_ok();
    match check(text) {
        Ok(()) => assert!(expected, "{:?}", text.escape_ascii().to_string()),
        Err(Flaw::Malformed) => assert!(!expected, "{:?}", text.escape_ascii().to_string()),
        Err(flaw) => {
            assert_eq!(flaw, Flaw::TooDeep);
            assert!(serde_json::from_slice::<Value>(text).is_err());
        }
    }
}

fn walk(text: &[u8]) -> Result<(), Flaw> {
    let mut entries = Entries::of(text);
    while entries.advance()?.is_some() {}
    Ok(())
}

/// The entries of one level, each value decoded; of two with one key the last one counts.
fn level(text: &[u8]) -> Result<Value, Flaw> {
    let decode = |range: Range<usize>| serde_json::from_slice::<Value>(&text[range]).unwrap();
    let mut entries = Entries::of(text);
    let (mut members, mut elements) = (BTreeMap::new(), Vec::new());
    while let Some(entry) = entries.advance()? {
        match entry.key {
            Some(key) => drop(members.insert(key.unescape()?.into_owned(), decode(entry.value))),
            None => elements.push(decode(entry.value)),
        }
    }
    assert!(entries.advance()?.is_none());
    Ok(match Shape::of(text) {
        Shape::Map => Value::Object(members.into_iter().collect()),
        Shape::List => Value::Array(elements),
        Shape::Scalar => serde_json::from_slice(text).unwrap(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn well_formed_text_is_taken_and_split_as_serde_json_reads_it(text in json()) {
        prop_assert_eq!(check(text.as_bytes()), Ok(()));
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(level(text.as_bytes()), Ok(value));
    }

    #[test]
    fn broken_text_is_refused_where_serde_json_refuses_it(text in broken_json()) {
        agrees_with_serde_json(&text);
    }

    #[test]
    fn bytes_of_json_in_any_order_are_judged_as_serde_json_does(
        text in prop::collection::vec(prop::sample::select(br#"{}[]:,"\/u0 1-9.eE+tfn"#.as_slice()), 0..12),
    ) {
        agrees_with_serde_json(&text);
    }

    #[test]
    fn keys_compare_as_they_read(key in any::<String>(), other in any::<String>()) {
        let escaped: String = key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let plain = serde_json::to_string(&key).unwrap();
        for text in [format!("{{{plain}:0}}"), format!("{{\"{escaped}\":0}}")] {
            let entry = Entries::of(text.as_bytes()).advance().unwrap().unwrap();
            let raw = entry.key.unwrap();
            prop_assert_eq!(raw.is(&key), Ok(true));
            prop_assert_eq!(raw.is(&other), Ok(key == other));
            prop_assert_eq!(raw.unescape().unwrap(), key.as_str());
        }
    }
}

#[test]
fn numbers_literals_and_escapes_by_the_grammar() {
    for text in [
        "0",
        "-0",
        "10",
        "1.5",
        "1e5",
        "1E+5",
        "1e-05",
        "-0.0e0",
        "true",
        "false",
        "null",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t\uD83d""#,
        " [ ] ",
        "\t{\r\n}",
        r#"{"":{}}"#,
        "[[],{}]",
        "\"\u{7f}\"",
    ] {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        agrees_with_serde_json(text.as_bytes());
    }
    for text in [
        "",
        " ",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "tru",
        "nul",
        "True",
        "NaN",
        "\"",
        "\"\\",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u12""#,
        "\"\n\"",
        "\"\0\"",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{}}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "{,}",
        "{1:2}",
        "{\"a\":1]",
        "[1}",
        "1 1",
        "[]]",
        "\u{feff}1",
        "\u{b}1",
    ] {
        assert_eq!(check(text.as_bytes()), Err(Flaw::Malformed), "{text}");
        agrees_with_serde_json(text.as_bytes());
    }
}

#[test]
fn every_truncation_is_malformed() {
    let text = br#"{"a":[1.5e3,"b\u00e9\n",{"c":null}],"long key here":true , "d":"" }"#;
    for len in 0..text.len() {
        assert_eq!(check(&text[..len]), Err(Flaw::Malformed), "{len}");
        agrees_with_serde_json(&text[..len]);
    }
}

#[test]
fn nesting_ends_where_serde_json_ends_it() {
    let nested = |levels: usize| format!("{}0{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
    assert_eq!(check(nested(126).as_bytes()), Ok(()));
    for levels in [127, 128] {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(text.as_bytes()).is_ok(), levels == MAX_NESTING);
        assert_eq!(walk(text.as_bytes()).is_ok(), levels == MAX_NESTING);
        assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), levels == MAX_NESTING);
    }
    for text in ["[".repeat(1 << 20), nested(1 << 20)] {
        assert_eq!(check(text.as_bytes()), Err(Flaw::TooDeep));
    }
}

#[test]
fn a_string_stops_at_the_first_byte_that_needs_a_look() {
    let needs_a_look = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    for one in 0..=u8::MAX {
        for other in [0, 0x1f, 0x20, 0x21, b'"', 0x23, b'\\', 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
            for position in 0..7 {
                let mut word = *b"abcdefgh";
                word[position] = one;
                word[position + 1] = other;
                let expected = word.iter().position(|&byte| needs_a_look(byte)).unwrap_or(8);
                let stops = stops(u64::from_le_bytes(word));
                assert_eq!(stops.trailing_zeros() as usize / 8, expected, "{word:?}");
            }
        }
    }
}

#[test]
fn a_key_that_is_not_unicode_is_malformed() {
    for text in [b"{\"\\ud800\":1}".as_slice(), b"{\"\xff\":1}"] {
        let entry = Entries::of(text).advance().unwrap().unwrap();
        assert_eq!(entry.key.unwrap().unescape(), Err(Flaw::Malformed));
    }
}
