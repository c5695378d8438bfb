//! Random changes to a document and to the simplest thing that means the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::super::samples::{broken_json, json};
use super::*;

#[derive(Clone, Debug, PartialEq)]
enum Model {
    Scalar(&'static str),
    Map(BTreeMap<String, Self>),
    List(Vec<Self>),
}

struct Conflict;

impl Model {
    fn text(&self) -> String {
        match self {
            Self::Scalar(text) => (*text).into(),
            Self::Map(members) => {
                let member = |(key, value): (&String, &Self)| {
                    format!("{} : {}", serde_json::to_string(key).unwrap(), value.text())
                };
                // Not in the order that a changed document has.
                format!("{{{}}}", members.iter().rev().map(member).collect::<Vec<_>>().join(", "))
            }
            Self::List(elements) => {
                format!("[ {} ]", elements.iter().map(Self::text).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn lookup(&self, at: &[String]) -> Option<&Self> {
        let Some((first, rest)) = at.split_first() else { return Some(self) };
        match self {
            Self::Scalar(_) => None,
            Self::Map(members) => members.get(first)?.lookup(rest),
            Self::List(elements) => elements.get(position(first)?)?.lookup(rest),
        }
    }

    /// May leave half a change behind in a conflict: callers work on a copy.
    fn put(
        &mut self,
        at: &[String],
        value: Self,
        push: bool,
        indexed: &mut Vec<bool>,
    ) -> Result<(), Conflict> {
        let Some((first, rest)) = at.split_first() else {
            match self {
                Self::List(elements) if push => elements.push(value),
                _ if push => return Err(Conflict),
                _ => *self = value,
            }
            return Ok(());
        };
        indexed.push(matches!(self, Self::List(_)));
        match self {
            Self::Scalar(_) => Err(Conflict),
            Self::List(elements) => {
                let place = position(first).and_then(|index| elements.get_mut(index)).ok_or(Conflict)?;
                place.put(rest, value, push, indexed)
            }
            Self::Map(members) if push || !rest.is_empty() => {
                let nothing =
                    if rest.is_empty() { Self::List(Vec::new()) } else { Self::Map(BTreeMap::new()) };
                members.entry(first.clone()).or_insert(nothing).put(rest, value, push, indexed)
            }
            Self::Map(members) => {
                members.insert(first.clone(), value);
                Ok(())
            }
        }
    }

    fn remove(&mut self, at: &[String], indexed: &mut Vec<bool>) -> Option<Self> {
        let (first, rest) = at.split_first()?;
        indexed.push(matches!(self, Self::List(_)));
        match self {
            Self::Scalar(_) => None,
            Self::List(elements) => match position(first).filter(|&index| index < elements.len())? {
                index if rest.is_empty() => Some(elements.remove(index)),
                index => elements[index].remove(rest, indexed),
            },
            Self::Map(members) if rest.is_empty() => members.remove(first),
            Self::Map(members) => members.get_mut(first)?.remove(rest, indexed),
        }
    }
}

fn position(segment: &str) -> Option<usize> {
    ["0", "1", "2", "3"].iter().position(|digits| *digits == segment)
}

fn value() -> impl Strategy<Value = Model> {
    let scalar =
        prop::sample::select(vec!["1", "-2.5e3", "\"x\"", "\"\\u00e9\"", "null", "true", "{}", "[]"]);
    scalar
        .prop_map(|text| match text {
            "{}" => Model::Map(BTreeMap::new()),
            "[]" => Model::List(Vec::new()),
            text => Model::Scalar(text),
        })
        .prop_recursive(3, 20, 4, |value| {
            prop_oneof![
                prop::collection::btree_map(segment(), value.clone(), 0..4).prop_map(Model::Map),
                prop::collection::vec(value, 0..4).prop_map(Model::List),
            ]
        })
}

fn root() -> impl Strategy<Value = Model> {
    prop::collection::btree_map(segment(), value(), 0..5).prop_map(Model::Map)
}

fn segment() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c.d", "é\"\\\n", "0", "1", "2", "01"]).prop_map(String::from)
}

fn segments() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(segment(), 1..5)
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<String>, Model),
    Push(Vec<String>, Model),
    Remove(Vec<String>),
    Lookup(Vec<String>),
    Keys(Vec<String>),
    Store,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (segments(), value()).prop_map(|(at, value)| Step::Insert(at, value)),
        3 => (segments(), value()).prop_map(|(at, value)| Step::Push(at, value)),
        3 => segments().prop_map(Step::Remove),
        4 => segments().prop_map(Step::Lookup),
        1 => segments().prop_map(Step::Keys),
        1 => Just(Step::Store),
    ]
}

fn same(text: &[u8], model: &Model) {
    let text: serde_json::Value = serde_json::from_slice(text).unwrap();
    assert_eq!(text, serde_json::from_str::<serde_json::Value>(&model.text()).unwrap());
}

/// A document whose members stand in order, as the core writes them.
fn sorted(model: &Model) -> Document {
    let mut document = Document::from_json(model.text().into());
    let path = path(["a key of no model"]);
    document.insert(&path, "1".into()).unwrap();
    document.remove(&path).unwrap();
    Document::from_json(document.to_json())
}

fn indexed_lists(indexed: &[bool]) -> Vec<usize> {
    (0..indexed.len()).filter(|&depth| indexed[depth]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_document_is_what_its_model_is(start in root(), steps in prop::collection::vec(step(), 1..30)) {
        let mut model = start;
        let mut document = Document::from_json(model.text().into());
        for step in steps {
            let before = document.to_json();
            let mut indexed = Vec::new();
            match step {
                Step::Insert(ref at, ref value) | Step::Push(ref at, ref value) => {
                    let push = matches!(step, Step::Push(..));
                    let path = path(at.as_slice());
                    let result = match push {
                        true => document.push(&path, value.text().into()),
                        false => document.insert(&path, value.text().into()).map(|inserted| inserted.lists),
                    };
                    let mut changed = model.clone();
                    match changed.put(at, value.clone(), push, &mut indexed) {
                        Ok(()) => {
                            model = changed;
                            let lists = result.unwrap().prefixes().collect::<Vec<_>>();
                            prop_assert_eq!(lists, indexed_lists(&indexed));
                        }
                        Err(Conflict) => {
                            prop_assert_eq!(result.unwrap_err().kind(), ErrorKind::PathConflict);
                            prop_assert_eq!(document.to_json(), before);
                        }
                    }
                }
                Step::Remove(at) => {
                    let (removed, lists) = document.remove(&path(at.as_slice())).unwrap();
                    let expected = model.remove(&at, &mut indexed);
                    prop_assert_eq!(lists.prefixes().collect::<Vec<_>>(), indexed_lists(&indexed));
                    match (removed, expected) {
                        (Some(text), Some(value)) => same(&text, &value),
                        (None, None) => prop_assert_eq!(document.to_json(), before),
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                Step::Lookup(at) => match (document.lookup(&path(at.as_slice())).unwrap(), model.lookup(&at)) {
                    (Some(text), Some(value)) => same(&text, value),
                    (None, None) => {}
                    other => prop_assert!(false, "{other:?}"),
                },
                Step::Keys(at) => {
                    let keys = match model.lookup(&at) {
                        Some(Model::Map(members)) => members.keys().cloned().collect(),
                        _ => Vec::new(),
                    };
                    prop_assert_eq!(document.keys(&path(at.as_slice())).unwrap(), keys);
                }
                Step::Store => document = Document::from_json(document.to_json()),
            }
            same(&document.to_json(), &model);
            prop_assert!(document.same_values(&Document::from_json(model.text().into())).unwrap());
        }
    }

    #[test]
    fn documents_are_the_same_where_their_models_are(one in root(), other in root(), at in segments()) {
        let document = |model: &Model| Document::from_json(model.text().into());
        let mut copy = one.clone();
        let changed = copy.put(&at, Model::Scalar("7"), false, &mut Vec::new()).is_ok();
        for (ones, others) in [(document(&one), document(&other)), (sorted(&one), sorted(&other))] {
            prop_assert_eq!(ones.same_values(&others).unwrap(), one == other);
            prop_assert!(ones.same_values(&document(&one)).unwrap());
            prop_assert!(ones.same_values(&sorted(&one)).unwrap());
            if changed {
                prop_assert!(!ones.same_values(&document(&copy)).unwrap());
                prop_assert!(!ones.same_values(&sorted(&copy)).unwrap());
            }
        }
    }

    #[test]
    fn damaged_documents_fail_or_answer_and_stay_as_they_are(
        text in prop_oneof![json().prop_map(String::into_bytes), broken_json()],
        at in segments(),
    ) {
        let at = path(at.as_slice());
        let stored = Document::from_json(text.clone().into());
        let well_formed = text.starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(&text).is_ok();
        if stored.lookup(&at).is_ok() || stored.keys(&at).is_ok() {
            let decoded = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
            prop_assert!(text.is_empty() || decoded.is_ok());
        }
        let mut changed = stored.clone();
        for result in [
            changed.insert(&at, "1".into()).map(drop),
            changed.clone().push(&at, "1".into()).map(drop),
            changed.clone().remove(&at).map(drop),
        ] {
            if let Err(error) = result {
                prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::PathConflict));
                prop_assert!(!well_formed || error.kind() == ErrorKind::PathConflict || has_a_key_twice(&text));
            }
        }
        if changed.to_json() != text {
            prop_assert_eq!(changed.lookup(&at).unwrap().unwrap(), "1");
        }
    }
}

fn has_a_key_twice(text: &[u8]) -> bool {
    inspect(text, 127) == Err(Flaw::DuplicateKey)
}
