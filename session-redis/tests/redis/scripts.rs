//! The scripts themselves: each may run twice, and a server that has forgotten them is told again.

use redis::Value;

use crate::common::{Fixture, NOW, at, create, id, now, principal, record};
use session_core::{CreateOutcome, DeleteOutcome, SessionBackend, UpdateOutcome};

const HEADER: &str = include_str!("../../src/scripts/header.lua");
const CREATE: &str = include_str!("../../src/scripts/create.lua");
const UPDATE: &str = include_str!("../../src/scripts/update.lua");
const TOUCH: &str = include_str!("../../src/scripts/touch.lua");
const DELETE: &str = include_str!("../../src/scripts/delete.lua");
const INDEX: &str = include_str!("../../src/scripts/index.lua");

fn time(millis: i64) -> Vec<u8> {
    millis.to_be_bytes()[2..].to_vec()
}

/// Runs a script twice, as a network might that delivers a command again; both answers, and the key after each.
async fn twice(
    fixture: &Fixture,
    text: &str,
    key: &[u8],
    arguments: &[&[u8]],
) -> [(Value, Option<Vec<u8>>); 2] {
    let mut results = Vec::new();
    for _ in 0..2 {
        let fixed: [&[u8]; 3] = [text.as_bytes(), b"1", key];
        let answer = fixture.ask("EVAL", &[&fixed[..], arguments].concat()).await;
        results.push((answer, fixture.dump(key).await));
    }
    results.try_into().unwrap()
}

#[tokio::test]
async fn every_script_may_run_twice() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("{}")).await;
    let key = fixture.key(1);
    let stored: Vec<u8> = fixture.ask("GET", &[&key]).await;
    let bulk = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
    let at_work = time(NOW);

    // A create that lands twice finds itself: whoever sent it sees by the revision that it has landed.
    fixture.ask::<()>("DEL", &[&key]).await;
    let text = format!("{HEADER}{CREATE}");
    let [first, second] = twice(&fixture, &text, &key, &[&stored, &at_work, b"1000"]).await;
    assert_eq!((first.0, second.0), (Value::Int(1), bulk(&stored)));
    assert_eq!(first.1, second.1);

    // So does an update.
    let mut next = stored.clone();
    next[4] += 1;
    let text = format!("{HEADER}{UPDATE}");
    let arguments: [&[u8]; 5] = [&stored[1..9], &next, &at_work, b"1000", b"0"];
    let [first, second] = twice(&fixture, &text, &key, &arguments).await;
    assert_eq!((first.0, second.0), (Value::Int(1), bulk(&next)));
    assert_eq!(first.1, second.1);

    let text = format!("{HEADER}{TOUCH}");
    let [first, second] = twice(&fixture, &text, &key, &[&time(NOW + 5_000), &time(NOW + 1), b"0"]).await;
    assert_eq!((first.0, second.0), (Value::Int(1), Value::Int(1)));
    assert_eq!(first.1, second.1);

    let text = format!("{HEADER}{DELETE}");
    let [first, second] = twice(&fixture, &text, &key, &[&next[1..9], &at_work]).await;
    assert_eq!((first, second), ((Value::Int(1), None), (Value::Int(0), None)));

    let index = [&fixture.prefix[..], b"index"].concat();
    let [first, second] =
        twice(&fixture, INDEX, &index, &[b"0123456789abcdef", b"5000", b"100", b"9000"]).await;
    assert_eq!((first.0, second.0), (Value::Int(1), Value::Int(1)));
    assert_eq!(first.1, second.1);
    fixture.discard().await;
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let Some(fixture) = Fixture::shared().await else { return };
    let (backend, old) = (&fixture.backend, record("old").with_principal(principal("alice")));
    let mut new = record("new").with_principal(principal("bob"));
    new.revision = old.revision.next(1);

    let flush = || fixture.ask::<()>("SCRIPT", &[b"FLUSH"]);
    flush().await;
    create(backend, 1, old.clone()).await;
    flush().await;
    assert_eq!(
        backend.create(id(1), new.clone(), now()).await.unwrap(),
        CreateOutcome::Occupied(old.clone())
    );
    flush().await;
    let outcome = backend.update(id(1), old.revision, new.clone(), now()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    flush().await;
    assert!(backend.touch(id(1), at(NOW + 2_000), now()).await.unwrap());
    flush().await;
    assert_eq!(backend.delete(id(1), Some(new.revision), now()).await.unwrap(), DeleteOutcome::Deleted);
    fixture.discard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_forgotten_in_flight_lose_no_update() {
    const WRITERS: u32 = 4;
    const UPDATES: u32 = 50;
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("0")).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let backend = fixture.backend.clone();
        writers.spawn(async move {
            let mut current = backend.load(id(1), now()).await.unwrap().unwrap();
            let mut done = 0;
            while done < UPDATES {
                let count: u32 = std::str::from_utf8(&current.data).unwrap().parse().unwrap();
                let mut next = current.clone().with_data((count + 1).to_string());
                next.revision = current.revision.next(writer);
                match backend.update(id(1), current.revision, next.clone(), now()).await.unwrap() {
                    UpdateOutcome::Updated => (current, done) = (next, done + 1),
                    UpdateOutcome::Conflict(there) => current = there,
                    UpdateOutcome::Gone => panic!("gone"),
                }
            }
        });
    }
    while !writers.is_empty() {
        fixture.ask::<()>("SCRIPT", &[b"FLUSH"]).await;
        tokio::task::yield_now().await;
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
    }
    let record = fixture.backend.load(id(1), now()).await.unwrap().unwrap();
    assert_eq!(record.data, (WRITERS * UPDATES).to_string());
    fixture.discard().await;
}
