//! Paths, limits and damage, case by case, and against a model.

use super::super::encoding::{decode, encode};
use super::super::path::ToPath;
use super::*;

mod model;

fn document(text: &'static str) -> Document {
    Document::from_json(Bytes::from_static(text.as_bytes()))
}

fn path(path: impl ToPath) -> Path {
    path.to_path().unwrap()
}

fn text(document: &Document) -> String {
    String::from_utf8(document.to_json().into()).unwrap()
}

fn look(document: &Document, at: impl ToPath) -> Option<String> {
    let found = document.lookup(&path(at)).unwrap();
    found.map(|text| String::from_utf8(text.into()).unwrap())
}

fn insert(document: &mut Document, at: impl ToPath, text: &'static str) -> Result<Lists> {
    document.insert(&path(at), Bytes::from_static(text.as_bytes())).map(|inserted| inserted.lists)
}

const STORED: &str = r#" { "n": 1, "null": null, "s": "x", "list": [10, {"a": 1}, [true]],
    "map": {"1": "one", "a.b": {"c": 2}, "alice@example.org": "dark"}, "\u0065": "e" } "#;

#[test]
fn lookup_by_path() {
    let stored = document(STORED);
    let mut split = stored.clone();
    for at in [["list", "1", "new"].as_slice(), &["map", "a.b", "new"]] {
        split.insert(&path(at), Bytes::from_static(b"0")).unwrap();
    }
    for document in [&stored, &split] {
        for (at, expected) in [
            (["n"].as_slice(), Some("1")),
            (&["null"], Some("null")),
            (&["e"], Some("\"e\"")),
            (&["list", "0"], Some("10")),
            (&["list", "1", "a"], Some("1")),
            (&["list", "2", "0"], Some("true")),
            (&["map", "1"], Some("\"one\"")),
            (&["map", "a.b", "c"], Some("2")),
            (&["map", "alice@example.org"], Some("\"dark\"")),
            (&["missing"], None),
            (&["missing", "below"], None),
            (&["N"], None),
            (&["n", "through a scalar"], None),
            (&["s", "0"], None),
            (&["null", "a"], None),
            (&["list", "3"], None),
            (&["list", "00"], None),
            (&["list", "01"], None),
            (&["list", "-1"], None),
            (&["list", "a"], None),
            (&["list", "99999999999999999999999"], None),
            (&["map", "01"], None),
        ] {
            assert_eq!(look(document, at).as_deref(), expected, "{at:?}");
        }
        assert_eq!(look(document, "list.2.0").as_deref(), Some("true"));
        assert_eq!(look(document, "map.a.b.c"), None);
    }
}

#[test]
fn lookup_copies_nothing_of_an_unchanged_document() {
    let stored = Bytes::from_static(STORED.as_bytes());
    let document = Document::from_json(stored.clone());
    let found = document.lookup(&path("map")).unwrap().unwrap();
    assert!(stored.as_ptr_range().contains(&found.as_ptr()));
    assert_eq!(document.to_json().as_ptr(), stored.as_ptr());
    assert_eq!(document.clone().to_json().as_ptr(), stored.as_ptr());
}

#[test]
fn insert_makes_the_maps_on_the_way() {
    let mut document = Document::empty();
    assert_eq!(insert(&mut document, "a.0.b", "1").unwrap(), Lists::default());
    insert(&mut document, "a.01", "2").unwrap();
    insert(&mut document, ["p.q", "alice@example.org"], "\"dark\"").unwrap();
    insert(&mut document, "a.0.b", "[3]").unwrap();
    assert_eq!(text(&document), r#"{"a":{"0":{"b":[3]},"01":2},"p.q":{"alice@example.org":"dark"}}"#);
    insert(&mut document, "a", "null").unwrap();
    assert_eq!(text(&document), r#"{"a":null,"p.q":{"alice@example.org":"dark"}}"#);
}

#[test]
fn insert_replaces_an_element_of_a_list_and_says_which_list() {
    let mut document = document(STORED);
    let lists = insert(&mut document, "list.2.0", "false").unwrap();
    assert_eq!(lists.prefixes().collect::<Vec<_>>(), [1, 2]);
    let lists = insert(&mut document, "list.1.a", "2").unwrap();
    assert_eq!(lists.prefixes().collect::<Vec<_>>(), [1]);
    insert(&mut document, "list.0", "{}").unwrap();
    assert_eq!(look(&document, "list").unwrap(), r#"[{},{"a":2},[false]]"#);
    assert_eq!(insert(&mut document, "map.1", "1").unwrap(), Lists::default());
}

#[test]
fn a_path_that_does_not_fit_changes_nothing() {
    for at in [
        ["n", "a"].as_slice(),
        &["n", "0"],
        &["s", "a", "b"],
        &["null", "a"],
        &["list", "3"],
        &["list", "4", "a"],
        &["list", "a"],
        &["list", "00"],
        &["list", "0", "a"],
        &["list", "1", "a", "b"],
        &["list", "99999999999999999999999"],
        &["map", "1", "a"],
        &[],
    ] {
        let mut document = document(STORED);
        let error = document.insert(&path(at), Bytes::from_static(b"1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PathConflict, "{at:?}");
        let error = document.push(&path(at), Bytes::from_static(b"1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PathConflict, "{at:?}");
        if !at.is_empty() {
            assert_eq!(document.remove(&path(at)).unwrap().0, None, "{at:?}");
        }
        assert_eq!(document.to_json(), STORED);
    }
    let mut document = document(STORED);
    assert_eq!(document.lookup(&path([""; 0])).unwrap_err().kind(), ErrorKind::PathConflict);
    assert_eq!(document.remove(&path([""; 0])).unwrap_err().kind(), ErrorKind::PathConflict);
}

#[test]
fn a_conflict_below_a_changed_level_changes_nothing() {
    let mut document = document(STORED);
    insert(&mut document, "list.1.b", "2").unwrap();
    let before = document.to_json();
    assert!(insert(&mut document, "list.1.b.c", "3").is_err());
    assert!(insert(&mut document, "list.1.a.c", "3").is_err());
    assert!(insert(&mut document, "map.1.c", "3").is_err());
    assert_eq!(document.to_json(), before);
}

#[test]
fn remove_takes_a_value_and_moves_elements_up() {
    let mut document = document(STORED);
    let (removed, lists) = document.remove(&path("list.0")).unwrap();
    assert_eq!(removed.unwrap(), "10");
    assert_eq!(lists.prefixes().collect::<Vec<_>>(), [1]);
    assert_eq!(look(&document, "list").unwrap(), r#"[{"a": 1},[true]]"#);
    let (removed, lists) = document.remove(&path("list.7")).unwrap();
    assert!(removed.is_none());
    assert_eq!(lists.prefixes().collect::<Vec<_>>(), [1]);
    let (removed, lists) = document.remove(&path(["map", "a.b", "c"])).unwrap();
    assert_eq!((removed.unwrap(), lists), ("2".into(), Lists::default()));
    assert_eq!(look(&document, ["map", "a.b"]).unwrap(), "{}");
    assert_eq!(document.remove(&path("null")).unwrap().0.unwrap(), "null");
    assert_eq!(document.remove(&path("null")).unwrap().0, None);
    assert_eq!(document.remove(&path(["map", "a.b"])).unwrap().0.unwrap(), "{}");
}

#[test]
fn push_makes_a_list_and_appends_to_one() {
    let mut document = document(STORED);
    for value in ["1", "{}"] {
        assert_eq!(document.push(&path("a.b"), value.into()).unwrap(), Lists::default());
    }
    assert_eq!(look(&document, "a.b").unwrap(), "[1,{}]");
    assert_eq!(document.push(&path("list"), "4".into()).unwrap(), Lists::default());
    let lists = document.push(&path("list.2"), "false".into()).unwrap();
    assert_eq!(lists.prefixes().collect::<Vec<_>>(), [1]);
    assert_eq!(look(&document, "list").unwrap(), r#"[10,{"a": 1},[true,false],4]"#);
    for at in ["n", "null", "map", "list.0"] {
        let before = document.to_json();
        let error = document.push(&path(at), "1".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PathConflict, "{at}");
        assert_eq!(document.to_json(), before);
    }
}

#[test]
fn keys_are_sorted_and_hide_flash() {
    let mut document = document(STORED);
    document.push(&Path::flash(), "\"saved\"".into()).unwrap();
    assert_eq!(document.keys(&path([""; 0])).unwrap(), ["e", "list", "map", "n", "null", "s"]);
    assert_eq!(document.keys(&path("map")).unwrap(), ["1", "a.b", "alice@example.org"]);
    assert_eq!(document.keys(&path("list.1")).unwrap(), ["a"]);
    for at in ["n", "list", "missing", "n.a"] {
        assert_eq!(document.keys(&path(at)).unwrap(), [""; 0]);
    }
    insert(&mut document, "nested._flash", "1").unwrap();
    assert_eq!(document.keys(&path("nested")).unwrap(), ["_flash"]);
}

#[test]
fn clear_takes_flash_too() {
    let mut document = document(STORED);
    document.push(&Path::flash(), "\"saved\"".into()).unwrap();
    assert_eq!(document.remove(&Path::flash()).unwrap().0.unwrap(), r#"["saved"]"#);
    document.push(&Path::flash(), "\"saved\"".into()).unwrap();
    document.clear();
    assert_eq!(document.to_json(), "{}");
    assert_eq!(document.lookup(&Path::flash()).unwrap(), None);
}

#[test]
fn no_text_is_no_values() {
    let empty = Document::from_json(Bytes::new());
    assert_eq!(empty.lookup(&path("a.b")).unwrap(), None);
    assert_eq!(empty.keys(&path([""; 0])).unwrap(), [""; 0]);
    assert!(empty.same_values(&Document::empty()).unwrap());
    assert!(Document::empty().same_values(&empty).unwrap());
    let mut changed = empty.clone();
    assert_eq!(changed.remove(&path("a")).unwrap().0, None);
    assert!(insert(&mut changed, "a", "[").is_err());
    assert_eq!(changed.to_json(), "");
    insert(&mut changed, "a", "1").unwrap();
    assert_eq!(changed.to_json(), r#"{"a":1}"#);
    assert!(!changed.same_values(&empty).unwrap());
    changed.remove(&path("a")).unwrap();
    assert!(changed.same_values(&empty).unwrap());
}

#[test]
fn same_values_sees_through_order_and_whitespace() {
    let same = |one, other| document(one).same_values(&document(other)).unwrap();
    assert!(same(r#"{"a":{"b":1,"c":[1,"x"]},"d":{}}"#, r#" {"d":{ }, "a": {"\u0063":[ 1,"x" ],"b":1}}"#));
    for (one, other) in [
        (r#"{"a":1}"#, r#"{"a":2}"#),
        (r#"{"a":1}"#, r#"{"a":1.0}"#),
        (r#"{"a":1}"#, r#"{"b":1}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        (r#"{"a":null}"#, "{}"),
        (r#"{"a":[]}"#, r#"{"a":{}}"#),
        (r#"{"a":[]}"#, r#"{"a":0}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[1]}"#),
    ] {
        assert!(!same(one, other) && !same(other, one), "{one} {other}");
    }
    let mut there_and_back = document(STORED);
    insert(&mut there_and_back, "map.1", "\"two\"").unwrap();
    assert!(!there_and_back.same_values(&document(STORED)).unwrap());
    insert(&mut there_and_back, "map.1", "\"one\"").unwrap();
    assert!(there_and_back.same_values(&document(STORED)).unwrap());
    assert!(document("[").same_values(&Document::empty()).is_err());
}

#[test]
fn same_at_goes_by_value() {
    const ELSEWHERE: &str = r#"{"map": {"alice@example.org":"d\u0061rk", "a.b":{"c":2},"1":"one"},"e":"e",
        "list":[10,{"\u0061":1},[true]],"null":null,"n":1.0,"s":"X"}"#;
    let same = |at: &[&str]| document(STORED).same_at(&document(ELSEWHERE), &path(at)).unwrap();
    for at in
        [["map"].as_slice(), &["map", "a.b"], &["list"], &["list", "1"], &["null"], &["missing"], &["e"]]
    {
        assert!(same(at), "{at:?}");
    }
    // A type that reads the one may refuse the other.
    assert!(!same(&["n"]));
    assert!(!same(&["s"]) && !same(&[]));
    assert!(!document("{}").same_at(&document(STORED), &path("null")).unwrap());
    assert!(!document(STORED).same_at(&document("{}"), &path("null")).unwrap());
}

#[test]
fn same_at_the_root_leaves_flash_out() {
    let mut document = document(STORED);
    document.push(&Path::flash(), "\"saved\"".into()).unwrap();
    assert!(document.same_at(&self::document(STORED), &path([""; 0])).unwrap());
    assert!(self::document(STORED).same_at(&document, &path([""; 0])).unwrap());
    assert!(!document.same_values(&self::document(STORED)).unwrap());
    insert(&mut document, "n", "2").unwrap();
    assert!(!document.same_at(&self::document(STORED), &path([""; 0])).unwrap());
}

#[test]
fn path_and_value_together_are_at_most_32_deep() {
    let too_large = |error: Error| error.kind() == ErrorKind::TooLarge;
    let lists = |levels: usize| Bytes::from("[".repeat(levels) + &"]".repeat(levels));
    let deep = path(vec!["a"; 32]);
    let mut document = Document::empty();
    document.insert(&deep, "1".into()).unwrap();
    assert!(document.insert(&deep, "[]".into()).is_err_and(too_large));
    assert!(document.push(&deep.prefix(32), "1".into()).is_err_and(too_large));
    document.clear();
    document.insert(&path("a"), lists(31)).unwrap();
    assert!(document.insert(&path("a"), lists(32)).is_err_and(too_large));
    assert!(document.insert(&path("a"), lists(500)).is_err_and(too_large));
    document.push(&path("b"), lists(30)).unwrap();
    assert!(document.push(&path("b"), lists(31)).is_err_and(too_large));
    assert_eq!(look(&document, "b").unwrap().len(), 62);
    assert!(document.push(&deep.prefix(31), "1".into()).is_err_and(|e| e.kind() == ErrorKind::PathConflict));
}

#[test]
fn a_key_that_comes_twice_is_corrupt() {
    const TWICE: &str = r#"{"a":1,"m":{"x":1,"y":2,"\u0078":3},"a2":{}}"#;
    let corrupt = |error: Error| error.kind() == ErrorKind::Corrupt;
    let mut document = document(TWICE);
    assert!(document.lookup(&path("m.x")).is_err_and(corrupt));
    assert!(document.keys(&path("m")).is_err_and(corrupt));
    assert!(insert(&mut document, "m.z", "1").is_err_and(corrupt));
    assert!(document.remove(&path("m.y")).is_err_and(corrupt));
    assert!(document.same_values(&self::document(r#"{"a":1,"m":{},"a2":{}}"#)).is_err_and(corrupt));
    assert_eq!(document.to_json(), TWICE);
    assert_eq!(look(&document, "a").unwrap(), "1");
    insert(&mut document, "m", "1").unwrap();
    assert_eq!(text(&document), r#"{"a":1,"a2":{},"m":1}"#);
    let in_order = self::document(r#"{"a":1,"a":1,"b":2}"#);
    assert!(in_order.same_values(&self::document(r#"{"a":1,"a":1,"b":3}"#)).is_err_and(corrupt));
    let at_root = self::document(r#"{"a":1,"b":2,"a":3}"#);
    assert!(at_root.lookup(&path("a")).is_err_and(corrupt));
}

#[test]
fn what_is_not_a_map_is_corrupt() {
    for stored in ["[1]", "1", "null", "\"a\"", " ", "x", "{", "{\"a\":1", "{\"a\":1}x", "{\"a\":01}", "\0"] {
        let mut document = document(stored);
        let kinds = [
            document.lookup(&path("0")).map(drop),
            document.keys(&path([""; 0])).map(drop),
            document.same_values(&Document::empty()).map(drop),
            insert(&mut document, "0", "1").map(drop),
            document.push(&path("a"), "1".into()).map(drop),
            document.remove(&path("a")).map(drop),
        ]
        .map(|result| result.unwrap_err().kind());
        assert_eq!(kinds, [ErrorKind::Corrupt; 6], "{stored:?}");
        assert_eq!(document.to_json(), stored);
    }
}

#[test]
fn damage_is_found_behind_the_value_too() {
    for stored in [r#"{"a":1,"b":[}"#, r#"{"a":1,"b":"x}"#, r#"{"a":1} {}"#, r#"{"a":{"c":1},"b":tru}"#] {
        assert_eq!(document(stored).lookup(&path("a")).unwrap_err().kind(), ErrorKind::Corrupt, "{stored}");
    }
}

#[test]
fn text_that_is_not_a_value_is_not_put_in() {
    for bad in ["", "[", "1 2", "x", r#"{"a":1,"a":2}"#] {
        let mut document = Document::empty();
        assert_eq!(insert(&mut document, "a", bad).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(document.to_json(), "{}");
    }
}

#[test]
fn debug_shows_no_values() {
    assert_eq!(format!("{:?}", document(STORED)), "Document { .. }");
}

#[test]
fn keys_of_any_text_survive() {
    let mut document = Document::empty();
    let keys =
        ["\"", "\\", "\u{0}\u{1f}\n\t", "é漢😀\u{7f}\u{2028}", "a.b", "$serde_json::private::RawValue"];
    for key in keys {
        document.insert(&path(["m", key]), encode(key, &path(["m", key])).unwrap()).unwrap();
    }
    let stored = Document::from_json(document.to_json());
    for key in keys {
        let found = stored.lookup(&path(["m", key])).unwrap().unwrap();
        assert_eq!(decode::<String>(&found, &path("m")).unwrap(), key);
    }
    assert_eq!(stored.keys(&path("m")).unwrap().len(), keys.len());
}

#[test]
fn a_spliced_text_is_the_one_that_splitting_makes() {
    let texts = [
        "{}",
        r#"{"b":1}"#,
        r#"{"a":"x","b":{"c":[1,{"d":2}]},"d":null}"#,
        r#"{"a":{},"b":{"a":{"b":{"c":1}}}}"#,
        // Not as the core writes it, at the top or below.
        "",
        "{ }",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1, "b":2}"#,
        r#"{"a" :1,"b":2}"#,
        r#"{"a":1,"b":2 }"#,
        r#"{"a":1,"b":2} "#,
        r#" {"a":1,"b":2}"#,
        r#"{"\u0061":1,"b":2}"#,
        r#"{"b":{"c":1,"a":2},"ä":1}"#,
        r#"{"b":{ "c":1}}"#,
        // Damaged.
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"b":2"#,
        r#"{"a":1,"b":2}}"#,
        r#"{"a":1,"b":}"#,
        "[1]",
    ];
    let paths = [
        ["a"].as_slice(),
        &["b"],
        &["c"],
        &["\"\n"],
        &["é"],
        &["b", "c"],
        &["b", "a", "b"],
        &["b", "a", "new", "map"],
        &["b", "c", "1", "d"],
        &["zz", "\\"],
    ];
    let spliced = |text, path: &Path, value: &'static str| {
        let mut document = document(text);
        let outcome = document.insert(path, Bytes::from_static(value.as_bytes()));
        let outcome = outcome.map(|inserted| (inserted.lists, inserted.replaced_another));
        (outcome.map_err(|error| error.to_string()), document.to_json(), document.splices)
    };
    let split = |text, path: &Path, value: &'static str| {
        let mut document = Document { splices: MOST_SPLICES, ..document(text) };
        let outcome = document.insert(path, Bytes::from_static(value.as_bytes()));
        let outcome = outcome.map(|inserted| (inserted.lists, inserted.replaced_another));
        (outcome.map_err(|error| error.to_string()), document.to_json())
    };
    let mut splices = 0;
    for text in texts {
        for path in paths {
            for value in ["1", r#""x""#, r#"{"c":1}"#] {
                let path = Path::verbatim(path).unwrap();
                let (outcome, json, spliced) = spliced(text, &path, value);
                assert_eq!((outcome, json), split(text, &path, value), "{value} at {path:?} of {text}");
                splices += usize::from(spliced);
            }
        }
    }
    assert!(splices >= 100, "{splices}");
}

#[test]
fn many_inserts_split_the_text_at_last() {
    let mut document = Document::empty();
    for (number, key) in ["e", "d", "c", "b", "a", "f"].into_iter().enumerate() {
        insert(&mut document, [key], "1").unwrap();
        assert_eq!(matches!(document.root, Node::Text(_)), number < usize::from(MOST_SPLICES), "{key}");
    }
    assert_eq!(text(&document), r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#);
}
