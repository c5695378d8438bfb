//! Documents that may be spliced against documents that are always split: the same changes, one by one.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::document::Document;
use super::super::path::Path;

/// One is the start of another, one is an index, some need an escape, and some sort behind ASCII or before letters.
const KEYS: [&str; 11] = ["a", "aa", "ab", "b", "0", "1", "A", "\"", "\u{e9}", "\u{7f}", "{\"a\":1}"];

/// Keys as others write them; one is `a` and another `\"` once more.
const FOREIGN_KEYS: [&str; 5] = [r#""\u0061""#, r#""\u0022""#, r#""""#, r#""\ud800""#, r#""a,b:c}""#];

/// Written so that a scanner may lose its way.
const SCALARS: [&str; 12] = [
    "1",
    "-0",
    "1e400",
    "18446744073709551615",
    "null",
    r#""x""#,
    r#""""#,
    r#""}{][,:""#,
    r#""\"a\":1,\\""#,
    r#""\u0061""#,
    r#""\ud83d\ude00""#,
    r#""\ud800""#,
];

/// The text of a map, and nearly always one that the core could have written.
fn map() -> impl Strategy<Value = String> {
    scalar()
        .prop_recursive(4, 24, 4, |value| prop_oneof![3 => map_of(value.clone()), 1 => list_of(value)])
        .prop_flat_map(|value| map_of(Just(value).boxed()))
}

/// One value, as a serializer writes it.
fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(2, 6, 3, |value| prop_oneof![map_of(value.clone()), list_of(value)])
}

fn scalar() -> BoxedStrategy<String> {
    select(SCALARS.as_slice()).prop_map(String::from).boxed()
}

fn list_of(value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec(value, 0..3).prop_map(|elements| format!("[{}]", elements.join(","))).boxed()
}

fn map_of(value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let own = select(KEYS.as_slice()).prop_map(|key| (key.to_owned(), serde_json::to_string(key).unwrap()));
    let foreign = select(FOREIGN_KEYS.as_slice()).prop_map(|key| ("z".to_owned(), key.to_owned()));
    let key = prop_oneof![40 => own, 1 => foreign];
    let gap = || prop_oneof![100 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
    let member = (key, gap(), gap(), gap(), value, gap());
    (prop::collection::vec(member, 0..5), prop::bool::weighted(0.95), gap())
        .prop_map(|(mut members, is_sorted, behind)| {
            if is_sorted {
                members.sort_by(|one, other| one.0.0.cmp(&other.0.0));
                members.dedup_by(|one, other| one.0.0 == other.0.0);
            }
            let members: Vec<_> = members
                .into_iter()
                .map(|((_, key), a, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"))
                .collect();
            format!("{{{}{behind}}}", members.join(","))
        })
        .boxed()
}

/// What a map is damaged by, now and then.
fn stored() -> impl Strategy<Value = String> {
    let damage = prop_oneof![30 => Just(None), 1 => (any::<prop::sample::Index>(), select(b"{}[]\",: 1\\".as_slice())).prop_map(Some)];
    (map(), damage).prop_map(|(text, damage)| match damage {
        None => text,
        Some((place, byte)) => {
            let mut text = text.into_bytes();
            let place = place.index(text.len());
            text[place] = byte;
            // The place may have been inside of a character.
            String::from_utf8_lossy(&text).into_owned()
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<&'static str>, String),
    Push(Vec<&'static str>, String),
    Remove(Vec<&'static str>),
    /// As a commit does.
    Reread,
}

fn step() -> impl Strategy<Value = Step> {
    let path = || prop::collection::vec(select(KEYS.as_slice()), 1..5);
    prop_oneof![
        12 => (path(), value()).prop_map(|(path, value)| Step::Insert(path, value)),
        1 => (path(), value()).prop_map(|(path, value)| Step::Push(path, value)),
        1 => path().prop_map(Step::Remove),
        2 => Just(Step::Reread),
    ]
}

impl Step {
    /// All that can be told of what it did.
    fn apply(&self, document: &mut Document) -> String {
        let path = |segments: &[&str]| Path::verbatim(segments).unwrap();
        let told = match self {
            Self::Insert(at, value) => format!("{:?}", document.insert(&path(at), value.clone().into())),
            Self::Push(at, value) => format!("{:?}", document.push(&path(at), value.clone().into())),
            Self::Remove(at) => format!("{:?}", document.remove(&path(at))),
            Self::Reread => String::new(),
        };
        if matches!(self, Self::Reread) {
            *document = Document::from_json(document.to_json());
        }
        told
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn splicing_and_splitting_make_the_same(text in stored(), steps in prop::collection::vec(step(), 1..10)) {
        let stored = Document::from_json(Bytes::from(text));
        let (mut spliced, mut split) = (stored.clone(), stored);
        for step in steps {
            split.splice_no_more();
            prop_assert_eq!(step.apply(&mut spliced), step.apply(&mut split), "{:?}", step);
            prop_assert_eq!(spliced.to_json(), split.to_json(), "{:?}", step);
            for key in KEYS {
                let path = Path::verbatim(&[key]).unwrap();
                let look = |document: &Document| format!("{:?}", document.lookup(&path));
                prop_assert_eq!(look(&spliced), look(&split));
            }
        }
    }
}
