//! Several processes on one directory. Children are this test binary again, told to run one ignored test.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Child;
use std::time::Duration;

use session_core::{
    CreateOutcome, DeleteOutcome, Durability, ErrorKind, Record, Revision, SessionBackend, SessionId,
    UpdateOutcome,
};
use session_file::{FileBackend, FileConfig};
use tokio::task::JoinSet;

use crate::common::{at, child, contents, given_path, id, listed, look, now, principal, record};

const PROCESSES: usize = 2;
const SLOTS: usize = 6;
const PART: &str = "PART";
const DURABILITY: &str = "DURABILITY";

/// How far each session of each process has come.
type Steps = [[u32; SLOTS]; PROCESSES];

/// In the same shards whichever process: they meet at the locks.
fn session(process: usize, slot: usize) -> SessionId {
    id((slot as u32 % 3) << 24 | (process as u32) << 8 | slot as u32)
}

/// What is stored after a step: every session is created, updated, updated and touched, and deleted, again and again.
fn state(step: u32) -> Option<Record> {
    if step.is_multiple_of(5) {
        return None;
    }
    // The touch belongs to the step before.
    let written = if step % 5 == 4 { step - 1 } else { step };
    let mut stored = record(&format!("{written} ").repeat(2_000)).with_principal(principal("alice"));
    stored.revision = Revision::from_i64(i64::from(written) << 32 | i64::from(written)).unwrap();
    if step % 5 == 4 {
        stored.touch(at(1_005_000), now());
    }
    Some(stored)
}

async fn take_step(backend: &FileBackend, session: SessionId, step: u32) {
    match (state(step), state(step + 1)) {
        (None, Some(next)) => {
            assert_eq!(backend.create(session, next, now()).await.unwrap(), CreateOutcome::Created);
        }
        (Some(_), None) => {
            assert_eq!(backend.delete(session, None, now()).await.unwrap(), DeleteOutcome::Deleted);
        }
        (Some(last), Some(next)) if last.revision == next.revision => {
            assert!(backend.touch(session, next.expires_at, now()).await.unwrap());
        }
        (Some(last), Some(next)) => {
            let updated = backend.update(session, last.revision, next, now()).await.unwrap();
            assert_eq!(updated, UpdateOutcome::Updated);
        }
        (None, None) => unreachable!("one in five"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child of kill9_loop_acknowledged_survive_none_torn"]
async fn child_that_is_killed() {
    let part = std::env::var(PART).unwrap();
    let numbers: Vec<u32> = part.split(' ').map(|number| number.parse().unwrap()).collect();
    let process = numbers[0] as usize;
    let durability =
        if std::env::var_os(DURABILITY).is_some() { Durability::PowerLoss } else { Durability::ProcessCrash };
    let config = FileConfig::new(given_path()).with_durability(durability).with_busy_timeout(PATIENCE);
    let backend = FileBackend::connect(config).await.unwrap();
    // With one processor the test harness has begun a line.
    println!();
    let mut tasks = JoinSet::new();
    for slot in 0..SLOTS {
        let (backend, mut step) = (backend.clone(), numbers[slot + 1]);
        tasks.spawn(async move {
            loop {
                take_step(&backend, session(process, slot), step).await;
                step += 1;
                // In one piece, whenever the end comes.
                let line = format!("acknowledged {slot} {step}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    if process == 0 {
        tasks.spawn(async move {
            loop {
                assert_eq!(backend.purge_expired(now(), 100).await.unwrap().removed, 0);
                assert!(listed(&backend, principal("alice")).await.len() <= PROCESSES * SLOTS);
            }
        });
    }
    // The first that panics.
    tasks.join_next().await.unwrap().unwrap();
}

const PATIENCE: Duration = Duration::from_secs(60);

async fn kill_9_loop(durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (mut steps, mut total) = (Steps::default(), 0);
    let rounds = if std::env::var_os("CONFORMANCE_QUICK").is_some() { 20 } else { 200 };
    for round in 0..rounds {
        let children: Vec<Child> = (0..PROCESSES)
            .map(|process| {
                let numbers = steps[process].map(|step| step.to_string()).join(" ");
                let mut command = child("processes::child_that_is_killed", &path);
                command.env(PART, format!("{process} {numbers}"));
                if durability == Durability::PowerLoss {
                    command.env(DURABILITY, "power loss");
                }
                command.spawn().unwrap()
            })
            .collect();
        for (process, mut child) in children.into_iter().enumerate() {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut note = |line: String| {
                if let Some(words) = line.strip_prefix("acknowledged ") {
                    let (slot, step) = words.split_once(' ').unwrap();
                    steps[process][slot.parse::<usize>().unwrap()] = step.parse().unwrap();
                    total += 1;
                }
            };
            // The test harness prints lines of its own; the child is killed somewhere in the middle of its work.
            for _ in 0..8 + 7 * (round % 9) {
                note(lines.next().expect("it goes on until it is killed").unwrap());
            }
            child.kill().unwrap();
            child.wait().unwrap();
            lines.map_while(Result::ok).for_each(note);
        }
        check(&path, durability, &mut steps).await;
    }
    println!("{durability:?}: {rounds} rounds, {total} acknowledged writes");
    assert!(total > rounds * 10);
    let backend = FileBackend::open(&path).await.unwrap();
    while backend.purge_expired(at(2_000_000), 1_000).await.unwrap().more {}
    // A marker may be left by whoever died between a record and its marker. Nobody is in the way of its removal.
    listed(&backend, principal("alice")).await;
    assert_eq!(contents(&path), [""; 0]);
}

/// Whether every acknowledged step is there, whole, and at most one more; and whether no lock is left.
async fn check(path: &std::path::Path, durability: Durability, steps: &mut Steps) {
    let config = FileConfig::new(path).with_durability(durability).with_busy_timeout(PATIENCE);
    let backend = FileBackend::connect(config).await.unwrap();
    let mut live = Vec::new();
    for (process, steps) in steps.iter_mut().enumerate() {
        for (slot, step) in steps.iter_mut().enumerate() {
            let found = look(&backend, session(process, slot)).await;
            if found != state(*step) {
                assert_eq!(found, state(*step + 1), "after step {step} of {slot} of process {process}");
                *step += 1;
            }
            if found.is_some() {
                live.push(session(process, slot));
            }
            take_step(&backend, session(process, slot), *step).await;
            *step += 1;
            live.retain(|id| *id != session(process, slot) || state(*step).is_some());
            if found.is_none() && state(*step).is_some() {
                live.push(session(process, slot));
            }
        }
    }
    live.sort_unstable();
    assert_eq!(listed(&backend, principal("alice")).await, live);
}

#[tokio::test]
async fn kill9_loop_acknowledged_survive_none_torn() {
    kill_9_loop(Durability::ProcessCrash).await;
}

#[tokio::test]
async fn kill9_loop_acknowledged_survive_none_torn_for_power_loss() {
    kill_9_loop(Durability::PowerLoss).await;
}

#[tokio::test]
async fn a_lock_is_waited_for_no_longer_than_agreed_and_ends_with_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let patient = FileBackend::connect(FileConfig::new(&path).with_busy_timeout(PATIENCE)).await.unwrap();
    let hasty = FileConfig::new(&path).with_busy_timeout(Duration::from_millis(1));
    let hasty = FileBackend::connect(hasty).await.unwrap();
    for number in [0, 1 << 24] {
        crate::common::create(&patient, number, record("x")).await;
    }
    let mut holder = child("processes::child_that_holds_a_lock", &path).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));

    // A millisecond may be over before anything is begun; what was not held up goes on sooner or later.
    let error = hasty.touch(id(0), at(1_002_000), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(patient.load(id(0), now()).await.unwrap(), Some(record("x")));
    assert!(patient.touch(id(1 << 24), at(1_002_000), now()).await.unwrap());
    let touched = tokio::spawn({
        let patient = patient.clone();
        async move { patient.touch(id(0), at(1_003_000), now()).await }
    });
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(touched.await.unwrap().unwrap());
    assert_eq!(look(&patient, id(0)).await.unwrap().expires_at, at(1_003_000));
}

#[test]
#[ignore = "a child of a_lock_is_waited_for_no_longer_than_agreed_and_ends_with_its_holder"]
fn child_that_holds_a_lock() {
    let lock = File::open(given_path().join("sessions/00/lock")).unwrap();
    lock.lock().unwrap();
    // With one processor the test harness has begun a line.
    println!("\nheld");
    std::thread::sleep(PATIENCE);
}
