//! Random requests on one session at once, against the same requests one after the other: every commit
//! that succeeds is what it would have been on the session as it stood then.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use session_core::{
    Committed, ErrorKind, ManualClock, Session, SessionBackend, SessionManager, SessionToken, Timestamp,
};
use session_memory::MemoryBackend;

/// What a request does to the values; the numbers choose among a few paths that meet each other.
#[derive(Clone, Debug)]
enum Change {
    Insert(usize, u8),
    InsertList(usize, u8),
    InsertMap(usize, u8),
    Update(usize),
    Push(usize, u8),
    Remove(usize),
    Take(usize),
    Clear,
    Flash(u8),
    TakeFlash,
}

const PATHS: &[&[&str]] = &[
    &["a"],
    &["a", "b"],
    &["a", "0"],
    &["a", "1"],
    &["a", "0", "b"],
    &["l"],
    &["l", "0"],
    &["l", "1"],
    &["l", "0", "0"],
    &["m", "k"],
    &["m"],
];

fn change() -> impl Strategy<Value = Change> {
    let path = 0..PATHS.len();
    prop_oneof![
        3 => (path.clone(), any::<u8>()).prop_map(|(path, value)| Change::Insert(path, value)),
        2 => (path.clone(), 0..4_u8).prop_map(|(path, value)| Change::InsertList(path, value)),
        1 => (path.clone(), 0..4_u8).prop_map(|(path, value)| Change::InsertMap(path, value)),
        3 => path.clone().prop_map(Change::Update),
        3 => (path.clone(), any::<u8>()).prop_map(|(path, value)| Change::Push(path, value)),
        2 => path.clone().prop_map(Change::Remove),
        1 => path.prop_map(Change::Take),
        1 => Just(Change::Clear),
        2 => (0..3_u8).prop_map(Change::Flash),
        2 => Just(Change::TakeFlash),
    ]
}

/// One change; whether it was made.
fn apply(session: &Session, change: &Change) -> bool {
    let made = match change {
        Change::Insert(path, value) => session.insert(PATHS[*path], value),
        Change::InsertList(path, value) => session.insert(PATHS[*path], vec![value; usize::from(*value)]),
        Change::InsertMap(path, value) => {
            session.insert(PATHS[*path], std::collections::BTreeMap::from([("b", *value), ("0", 7)]))
        }
        // Depends on what is there, whatever it is.
        Change::Update(path) => session
            .update(PATHS[*path], |old: Option<Any>| Any(format!("{:?}", old.map(|old| old.0.len()))))
            .map(drop),
        Change::Push(path, value) => session.push(PATHS[*path], value),
        Change::Remove(path) => session.remove(PATHS[*path]).map(drop),
        // Where there was nothing to take, nothing is taken later either.
        Change::Take(path) => match session.take::<Any>(PATHS[*path]) {
            Ok(None) => return false,
            taken => taken.map(drop),
        },
        Change::Clear => session.clear(),
        Change::Flash(value) => session.flash(value),
        Change::TakeFlash => session.take_flash::<u8>().map(drop),
    };
    match made {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::PathConflict => false,
        Err(error) => panic!("{change:?}: {error}"),
    }
}

/// Any value at all, told by its text's shape.
struct Any(String);

impl serde::Serialize for Any {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Any {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.to_string()))
    }
}

async fn site() -> (Arc<MemoryBackend>, SessionManager) {
    let backend = Arc::new(MemoryBackend::new());
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000_000_000).unwrap());
    let manager = SessionManager::builder(backend.clone()).clock(clock).build().unwrap();
    (backend, manager)
}

async fn make(manager: &SessionManager, changes: &[Change]) -> String {
    let session = manager.open(None).await.unwrap();
    session.insert("seed", 1).unwrap();
    for change in changes {
        apply(&session, change);
    }
    let _ = session.insert("seed", 1);
    match session.commit().await.unwrap() {
        Committed::SetToken { token, .. } => token.expose(),
        other => panic!("{other:?}"),
    }
}

async fn values(backend: &MemoryBackend, token: &str) -> serde_json::Value {
    let id = SessionToken::parse(token).unwrap().id();
    let now = Timestamp::from_millis(1_000_000_000_000).unwrap();
    let record = backend.load(id, now).await.unwrap().unwrap();
    serde_json::from_slice(&record.data).unwrap()
}

/// What `changes` make of these values with nobody else around.
async fn alone(before: &serde_json::Value, changes: &[&Change]) -> serde_json::Value {
    let (backend, manager) = site().await;
    let session = manager.open(None).await.unwrap();
    for (key, value) in before.as_object().unwrap() {
        if key == "_flash" {
            for message in value.as_array().unwrap() {
                session.flash(message).unwrap();
            }
        } else {
            session.insert([key], value).unwrap();
        }
    }
    // Whoever is signed in has a session, values or not.
    session.sign_in("alice").unwrap();
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no session") };
    let session = manager.open(Some(&token.expose())).await.unwrap();
    for change in changes {
        let made = apply(&session, change);
        assert!(made || matches!(change, Change::Take(_)), "{change:?} works in a rebase and not alone");
    }
    let _ = session.commit().await.unwrap();
    values(&backend, &token.expose()).await
}

async fn check(
    first: Vec<Change>,
    requests: Vec<Vec<Change>>,
    order: Vec<usize>,
) -> Result<(), TestCaseError> {
    let (backend, manager) = site().await;
    let token = make(&manager, &first).await;
    let opened = values(&backend, &token).await;
    // All open the same session; then they change it, and commit in some order.
    let mut open = Vec::new();
    for _ in &requests {
        open.push(manager.open(Some(&token)).await.unwrap());
    }
    // What each has really done: changes that were refused are none.
    let mut made: Vec<Vec<&Change>> = Vec::new();
    for (session, changes) in open.iter().zip(&requests) {
        made.push(changes.iter().filter(|change| apply(session, change)).collect());
    }
    let mut done = BTreeSet::new();
    for index in order.into_iter().chain(0..requests.len()) {
        let index = index % requests.len();
        if !done.insert(index) {
            continue;
        }
        let before = values(&backend, &token).await;
        let result = open[index].commit().await;
        let after = values(&backend, &token).await;
        match result {
            Err(error) => {
                prop_assert!(matches!(error.kind(), ErrorKind::Conflict), "a commit failed: {error}");
                prop_assert_eq!(before, after, "a failed commit has written");
            }
            Ok(_) => {
                // Without effect on what it was opened with, it writes nothing.
                if before == after && alone(&opened, &made[index]).await == opened {
                    continue;
                }
                let mut alone = alone(&before, &made[index]).await;
                let has_flash_taking = made[index].iter().any(|change| matches!(change, Change::TakeFlash));
                let mut after = after.clone();
                if has_flash_taking {
                    // Takes what it saw and no more.
                    alone.as_object_mut().unwrap().remove("_flash");
                    after.as_object_mut().unwrap().remove("_flash");
                }
                prop_assert_eq!(&after, &alone, "not what the changes do on {}", before);
                if before == after {
                    continue;
                }
                let shown = open[index].get::<Any>(["l"]).unwrap().map(|any| any.0);
                prop_assert_eq!(shown, after.get("l").map(ToString::to_string), "reads after the commit");
            }
        }
    }
    Ok(())
}

#[test]
fn every_commit_is_what_its_changes_do_on_what_was_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config =
        Config { cases: 500, failure_persistence: None, max_shrink_time: 20_000, ..Config::default() };
    let program = || prop::collection::vec(change(), 0..5);
    let requests = prop::collection::vec(program(), 2..5);
    let order = prop::collection::vec(0..4_usize, 0..6);
    TestRunner::new(config)
        .run(&(program(), requests, order), |(first, requests, order)| {
            runtime.block_on(check(first, requests, order))
        })
        .unwrap();
}
