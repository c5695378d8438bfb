//! What an answer rests on is brought to the disk before it is given, whoever has written it: another process may have
//! died between moving a file and flushing its name.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::collections::{BTreeMap, BTreeSet};

use conformance_tests::disk::{Control, Operation, Recorder};
use session_core::{CreateOutcome, DeleteOutcome, Durability, Revision, SessionBackend, UpdateOutcome};
use session_file::FileBackend;

use crate::common::{at, child, create, given_path, id, now, principal, record, scratch, succeeded};
use crate::power_cut::config;

const ANSWERED: &str = "answered";

/// An update of a session whose principal's marker nobody has flushed.
const UPDATED: &str = "updated";

/// A create in a shard that somebody has removed, with all that was in it.
const MADE_AGAIN: &str = "made again";

/// The answers that change no name themselves.
const ANSWERS: [&str; 7] =
    ["occupied", "conflict of an update", "gone", "touched", "untouched", "conflict of a delete", "absent"];

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
        "untouched" => assert!(!backend.touch(elsewhere, at(2_000_000), now()).await.unwrap()),
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
    create(&careless, 3, record("x").with_principal(principal("alice"))).await;
    for what in ANSWERS {
        let backend = FileBackend::connect(config(&path, Durability::PowerLoss)).await.unwrap();
        control.mark(what).unwrap();
        answer(&backend, what).await;
        control.mark(ANSWERED).unwrap();
    }

    let backend = FileBackend::connect(config(&path, Durability::PowerLoss)).await.unwrap();
    control.mark(UPDATED).unwrap();
    let mut next = record("y").with_principal(principal("alice"));
    next.revision = Revision::first(7).next(8);
    let updated = backend.update(id(3), Revision::first(7), next, now()).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    control.mark(ANSWERED).unwrap();

    create(&backend, 5 << 24, record("x")).await;
    std::fs::remove_dir_all(path.join("sessions/05")).unwrap();
    control.mark(MADE_AGAIN).unwrap();
    create(&backend, 5 << 24, record("x")).await;
    control.mark(ANSWERED).unwrap();
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
                let shard = if what == MADE_AGAIN { "sessions/05" } else { "sessions/00" };
                for name in [shard, "sessions"] {
                    assert!(flushed.contains(name), "{what}: flushed are {flushed:?}");
                }
                if what == UPDATED {
                    let is_marker_safe = flushed.iter().any(|name| name.starts_with("principals/"));
                    assert!(
                        is_marker_safe && flushed.contains("principals"),
                        "{what}: flushed are {flushed:?}"
                    );
                }
            }
            Operation::Mark(mark) => {
                seen.push(mark.clone());
                flushed.clear();
            }
            _ => {}
        }
    }
    assert_eq!(seen[..ANSWERS.len()], ANSWERS);
    assert_eq!(seen[ANSWERS.len()..], [UPDATED, MADE_AGAIN]);
}
