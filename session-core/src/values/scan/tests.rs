//! The scanner against serde_json.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::samples::{broken_compact_map, broken_json, compact_map, json};
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
    while entries.advance()? {}
    Ok(())
}

/// The entries of one level, each value decoded; of two with one key the last one counts.
fn level(text: &[u8]) -> Result<Value, Flaw> {
    let decode = |range: Range<usize>| {
        assert_eq!(text[range.clone()].trim_ascii().len(), range.len(), "whitespace is no part of a value");
        serde_json::from_slice::<Value>(&text[range]).unwrap()
    };
    let mut entries = Entries::of(text);
    let (mut members, mut elements) = (BTreeMap::new(), Vec::new());
    while entries.advance()? {
        match entries.key()? {
            Some(key) => drop(members.insert(key.into_owned(), decode(entries.value()))),
            None => elements.push(decode(entries.value())),
        }
    }
    assert!(!entries.advance()?);
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
    fn a_compact_map_is_split_as_serde_json_reads_it(text in compact_map()) {
        prop_assert_eq!(walk(text.as_bytes()), Ok(()));
        prop_assert_eq!(check(text.as_bytes()), Ok(()));
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            prop_assert_eq!(level(text.as_bytes()), Ok(value));
        }
    }

    #[test]
    fn a_broken_compact_map_is_refused_where_serde_json_refuses_it(text in broken_compact_map()) {
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
            let mut entries = Entries::of(text.as_bytes());
            prop_assert!(entries.advance().unwrap());
            prop_assert_eq!(entries.key_is(&key), Ok(true));
            prop_assert_eq!(Entries::of(text.as_bytes()).advance_to(&key), Ok(true));
            prop_assert_eq!(entries.key_is(&other), Ok(key == other));
            prop_assert_eq!(entries.key().unwrap().unwrap(), key.as_str());
        }
    }
}

proptest! {
    #[test]
    fn an_entry_is_found_where_walking_finds_it(text in compact_map(), broken in broken_compact_map()) {
        for text in [text.as_bytes(), &broken] {
            let keys = keys(text);
            for key in keys.iter().flatten().map(String::as_str).chain(["absent"]) {
                prop_assert_eq!(found(text, key), walked_to(text, key), "{:?}", key);
            }
        }
    }

    #[test]
    fn stops_are_met_in_order_wherever_one_skips_to(
        places in prop::collection::btree_set(0_usize..320, 0..40),
        steps in prop::collection::vec((any::<bool>(), prop_oneof![0_usize..4, 0_usize..150]), 1..40),
        len in 0_usize..320,
    ) {
        let stop = |place: usize| [b'"', b'\\', b'\n', 0][place % 4];
        let text: Vec<u8> = (0..len).map(|at| if places.contains(&at) { stop(at) } else { b'x' }).collect();
        let mut stops = Stops::of(&text);
        for (plain, bytes) in steps {
            let at = len - stops.rest.len();
            if !plain {
                let moved = stops.skip(bytes).map(|()| len - stops.rest.len());
                prop_assert_eq!(moved, Some(at + bytes).filter(|end| *end <= len));
            } else if stops.skip_plain().is_some() {
                prop_assert_eq!(Some(len - stops.rest.len()), places.range(at..).next().copied());
            } else {
                prop_assert!(places.range(at..).all(|place| *place >= len));
                break;
            }
        }
    }
}

/// All keys at the top, as far as the text can be read.
fn keys(text: &[u8]) -> Vec<Option<String>> {
    let (mut entries, mut keys) = (Entries::of(text), Vec::new());
    while let Ok(true) = entries.advance() {
        keys.push(entries.key().ok().flatten().map(Cow::into_owned));
    }
    keys
}

/// The places of all values behind `key`.
fn found(text: &[u8], key: &str) -> Result<Vec<Range<usize>>, Flaw> {
    let (mut entries, mut found) = (Entries::of(text), Vec::new());
    while entries.advance_to(key)? {
        found.push(entries.value());
    }
    Ok(found)
}

/// The same by looking at every key.
fn walked_to(text: &[u8], key: &str) -> Result<Vec<Range<usize>>, Flaw> {
    let (mut entries, mut found) = (Entries::of(text), Vec::new());
    while entries.advance()? {
        if entries.key_is(key)? {
            found.push(entries.value());
        }
    }
    Ok(found)
}

/// Whatever stands in an entry, it stands at every distance from where a stretch of 64 bytes begins, and so
/// does where the text breaks off.
#[test]
fn quotes_escapes_and_ends_at_every_offset_are_judged_as_serde_json_does() {
    for offset in 0..=64 {
        let pad = "p".repeat(offset);
        for entry in [
            r#""key":"text""#,
            r#""key":"te\"xt""#,
            r#""k\"ey":"text""#,
            r#""key":"\\""#,
            r#""key":"""#,
            r#""":"""#,
            r#""key":12345"#,
            r#""key" :"text""#,
            r#""key": "text""#,
            r#""key":"te"xt""#,
            r#""key"x"text""#,
            r#""key":,"text""#,
            r#""key":12345x"#,
            "\"key\":\"te\nxt\"",
            "\"k\ney\":\"text\"",
            "\"key\":\"te\u{e9}xt\"",
        ] {
            let tail = format!(r#""tail":"{}","last":1}}"#, "t".repeat(70));
            let text = format!(r#"{{"a":1,"b":"{pad}",{entry},"c":"d",{entry},{tail}"#);
            agrees_with_serde_json(text.as_bytes());
            if let Ok(Value::Object(map)) = serde_json::from_str(&text) {
                assert_eq!(level(text.as_bytes()), Ok(Value::Object(map.clone())), "{text}");
                for (key, value) in map {
                    let places = found(text.as_bytes(), &key).unwrap();
                    assert_eq!(
                        places.len(),
                        if entry.starts_with("\"k") && key.starts_with('k') || key.is_empty() {
                            2
                        } else {
                            1
                        }
                    );
                    for place in places {
                        assert_eq!(serde_json::from_str::<Value>(&text[place]).unwrap(), value);
                    }
                }
            }
        }
    }
}

#[test]
fn every_truncation_of_compact_maps_is_malformed() {
    for offset in 0..64 {
        let pad = "p".repeat(offset);
        let text = format!(r#"{{"a":1,"{pad}":"{pad}","b":"c","d":12345,"e\"":"\\","f":"g","h":"i"}}"#);
        assert_eq!(walk(text.as_bytes()), Ok(()));
        for len in 0..text.len() {
            assert_eq!(walk(&text.as_bytes()[..len]), Err(Flaw::Malformed), "{len} of {text}");
            assert_eq!(found(&text.as_bytes()[..len], "b"), Err(Flaw::Malformed), "{len} of {text}");
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
            for position in [0, 1, 7, 8, 14, 15, 16, 31, 32, 47, 48, 62] {
                let mut line = [b'x'; 64];
                (line[position], line[position + 1]) = (one, other);
                let expected: Vec<_> = (0..64).filter(|&place| needs_a_look(line[place])).collect();
                let stops = runs::stops(&line);
                assert_eq!((0..64).filter(|place| stops >> place & 1 == 1).collect::<Vec<_>>(), expected);
                for text in [&line[..], &line[..position + 2]] {
                    let end = *expected.first().unwrap_or(&text.len());
                    assert_eq!(runs::skip_plain(text, 0), end, "{one} {other} at {position}");
                    assert_eq!(runs::skip_plain(text, position.min(end)), end);
                }
            }
        }
    }
}

#[test]
fn digits_end_at_the_first_other_byte() {
    for len in 0..40 {
        for byte in 0..=u8::MAX {
            let mut text = [b'0', b'9', b'5'].repeat(20);
            text[len] = byte;
            let end = if byte.is_ascii_digit() { text.len() } else { len };
            assert_eq!(runs::skip_digits(&text, 0), end);
            assert_eq!(runs::skip_digits(&text[..=len], 0), end.min(len + 1));
        }
    }
}

#[test]
fn a_key_that_is_not_unicode_is_malformed() {
    for text in [b"{\"\\ud800\":1}".as_slice(), b"{\"\xff\":1}"] {
        let mut entries = Entries::of(text);
        assert!(entries.advance().unwrap());
        assert_eq!(entries.key(), Err(Flaw::Malformed));
    }
}
