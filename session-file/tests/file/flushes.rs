//! What an answer rests on is brought to the disk before it is given, whoever has written it: another process may have
//! died between moving a file and flushing its name.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::collections::{BTreeMap, BTreeSet};

use conformance_tests::disk::{Control, Operation, Recorder};
use session_core::{CreateOutcome, DeleteOutcome, Durability, Revision, SessionBackend, UpdateOutcome};
use session_file::FileBackend;

use crate::common::{at, child, create, given_path, id, now, record, scratch, succeeded};
use crate::power_cut::config;

const ANSWERED: &str = "answered";

/// The answers that change no name themselves.
const ANSWERS: [&str; 6] =
    ["occupied", "conflict of an update", "gone", "touched", "conflict of a delete", "absent"];

async fn answer(backend: &FileBackend, what: &str) {
    let (there, elsewhere, other) = (id(1), id(2), Revision::first(8));
    match what {
        "occupied" => {
            let outcome = backend.create(there, record("y"), now()).await.unwrap();
            assert!(matches!(outcome, CreateOutcome::Occupied(_)));
        }
        "conflict of an update" => {
            let outcome = backend.update(there, other, record("y"), now()).await.unwrap();
            assert!(matches!(outcome, UpdateOutcome::Conflict(_)));
        }
        "gone" => {
            let outcome = backend.update(elsewhere, other, record("y"), now()).await.unwrap();
            assert_eq!(outcome, UpdateOutcome::Gone);
        }
        "touched" => assert!(backend.touch(there, at(2_000_000), now()).await.unwrap()),
        "conflict of a delete" => {
            let outcome = backend.delete(there, Some(other), now()).await.unwrap();
            assert!(matches!(outcome, DeleteOutcome::Conflict(_)));
        }
        "absent" => {
            let outcome = backend.delete(elsewhere, None, now()).await.unwrap();
            assert_eq!(outcome, DeleteOutcome::Absent);
        }
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
#[ignore = "a child of names_that_an_answer_rests_on_are_flushed"]
async fn child_that_is_recorded() {
    let path = given_path();
    let mut control = Control::open(&path).unwrap();
    let careless = FileBackend::connect(config(&path, Durability::ProcessCrash)).await.unwrap();
    create(&careless, 1, record("x")).await;
    for what in ANSWERS {
        let backend = FileBackend::connect(config(&path, Durability::PowerLoss)).await.unwrap();
        control.mark(what).unwrap();
        answer(&backend, what).await;
        control.mark(ANSWERED).unwrap();
    }
}

#[test]
fn names_that_an_answer_rests_on_are_flushed() {
    let (workshop, store) = (scratch(), scratch());
    let directory = store.path().canonicalize().unwrap();
    let recorder = Recorder::new(workshop.path(), &directory).unwrap();
    let mut child = child("flushes::child_that_is_recorded", &directory);
    recorder.record(&mut child);
    succeeded(child.spawn().unwrap());
    let recording = recorder.finish().unwrap();

    let (mut open, mut flushed, mut seen) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for operation in recording.operations() {
        match operation {
            Operation::Open { descriptor, name, .. } => drop(open.insert(descriptor, name.as_str())),
            Operation::Sync { descriptor } => flushed.extend(open.get(descriptor).copied()),
            Operation::Mark(mark) if mark == ANSWERED => {
                let what = seen.last().unwrap();
                for name in ["sessions/00", "sessions"] {
                    assert!(flushed.contains(name), "{what}: flushed are {flushed:?}");
                }
            }
            Operation::Mark(mark) => {
                seen.push(mark.clone());
                flushed.clear();
            }
            _ => {}
        }
    }
    assert_eq!(seen, ANSWERS);
}
