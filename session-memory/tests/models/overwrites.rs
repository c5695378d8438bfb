//! Random reads and writes under `detect_overwrites`, against its rule: a commit is a conflict exactly where
//! it writes at, above or below what was read and has another value by now.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use session_core::{Committed, ErrorKind, Session, SessionManager};
use session_memory::MemoryBackend;

type Place = &'static [&'static str];

const PLACES: &[Place] =
    &[&["a"], &["b"], &["m"], &["m", "x"], &["m", "y"], &["m", "n"], &["m", "n", "z"], &["m", "n", "w"]];

/// What is put there; nothing for a removal.
#[derive(Clone, Debug)]
struct Write(Place, Option<Value>);

fn place() -> impl Strategy<Value = Place> {
    prop::sample::select(PLACES)
}

fn write() -> impl Strategy<Value = Write> {
    (place(), prop::option::weighted(0.75, 0..3_u8)).prop_map(|(place, number)| {
        let value = number.map(|number| match place {
            ["m"] => json!({ "x": number, "y": 0 }),
            ["m", "n"] => json!({ "z": number }),
            _ => json!(number),
        });
        Write(place, value)
    })
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    prop::collection::vec(write(), 0..4)
}

impl Write {
    fn in_session(&self, session: &Session) {
        match self {
            Self(place, Some(value)) => session.insert(*place, value).unwrap(),
            Self(place, None) => drop(session.remove(*place).unwrap()),
        }
    }

    fn in_model(&self, model: &mut Map<String, Value>) {
        let Self(place, value) = self;
        let [way @ .., last] = place else { return };
        let mut level = model;
        for segment in way {
            let below = match value {
                Some(_) => Some(level.entry(*segment).or_insert_with(|| json!({}))),
                None => level.get_mut(*segment),
            };
            let Some(below) = below.and_then(Value::as_object_mut) else { return };
            level = below;
        }
        match value {
            Some(value) => drop(level.insert((*last).into(), value.clone())),
            None => drop(level.remove(*last)),
        }
    }

    fn meets(&self, read: Place) -> bool {
        self.0.iter().zip(read).all(|(written, read)| written == read)
    }
}

fn after(writes: &[Write], before: &Map<String, Value>) -> Map<String, Value> {
    let mut model = before.clone();
    writes.iter().for_each(|write| write.in_model(&mut model));
    model
}

fn at(model: &Map<String, Value>, place: Place) -> Option<&Value> {
    let [first, rest @ ..] = place else { return None };
    rest.iter().try_fold(model.get(*first)?, |value, segment| value.get(segment))
}

fn values(session: &Session) -> Map<String, Value> {
    let keys = session.keys([""; 0]).unwrap().into_iter();
    keys.map(|key| (key.clone(), session.get([key.as_str()]).unwrap().unwrap())).collect()
}

async fn check(
    first: &[Write],
    reads: &[Place],
    others: &[Write],
    own: &[Write],
) -> Result<(), TestCaseError> {
    let manager = SessionManager::builder(MemoryBackend::new()).detect_overwrites().build().unwrap();
    let session = manager.open(None).await.unwrap();
    session.insert("seed", 1).unwrap();
    first.iter().for_each(|write| write.in_session(&session));
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no token") };
    let open = async || manager.open(Some(&token.expose())).await.unwrap();
    let stored = values(&open().await);

    let session = open().await;
    for read in reads {
        let found = session.get::<Value>(*read).unwrap();
        prop_assert_eq!(found.as_ref(), at(&stored, read));
    }
    let other = open().await;
    others.iter().for_each(|write| write.in_session(&other));
    let _ = other.commit().await.unwrap();
    let newer = after(others, &stored);
    own.iter().for_each(|write| write.in_session(&session));
    let changes = after(own, &stored) != stored;
    let overwrites =
        |read: &Place| own.iter().any(|write| write.meets(read)) && at(&stored, read) != at(&newer, read);

    let refused = session.commit().await.map(drop).map_err(|error| error.kind()).err();
    let expected = (changes && reads.iter().any(overwrites)).then_some(ErrorKind::Conflict);
    prop_assert_eq!(refused, expected);
    let written = if changes && refused.is_none() { after(own, &newer) } else { newer };
    prop_assert_eq!(values(&open().await), written);
    Ok(())
}

#[test]
fn a_commit_is_a_conflict_where_it_overwrites_what_was_read_and_has_changed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let reads = prop::collection::vec(place(), 0..3);
    TestRunner::new(config)
        .run(&(writes(), reads, writes(), writes()), |(first, reads, others, own)| {
            runtime.block_on(check(&first, &reads, &others, &own))
        })
        .unwrap();
}
