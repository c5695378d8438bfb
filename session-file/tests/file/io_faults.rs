//! Every verb with a call to the operating system that fails, at each call in turn: a typed error, nothing
//! acknowledged that is not there, nothing lost that was, and all well again afterwards.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use conformance_tests::disk::{Calls, Control, Fault, FaultKind, Recorder};
use session_core::{
    CreateOutcome, DeleteOutcome, Durability, ErrorKind, Record, Result, SessionBackend, SessionId,
    UpdateOutcome,
};
use session_file::FileBackend;
use tempfile::TempDir;

use crate::common::{
    at, brief, child, contents, copy_all, create, given_path, id, listed, look, now, principal, record,
    scratch, succeeded,
};
use crate::power_cut::config;

fn with_faults(name: &str) {
    let (workshop, store) = (scratch(), scratch());
    let directory = store.path().canonicalize().unwrap();
    let recorder = Recorder::new(workshop.path(), &directory).unwrap();
    let mut command = child(&format!("io_faults::{name}"), &directory);
    recorder.listen(&mut command);
    print!("{}", succeeded(command.spawn().unwrap()));
}

#[test]
fn every_failing_call_is_survived() {
    with_faults("child_with_faults");
}

#[test]
fn every_failing_call_is_survived_for_power_loss() {
    with_faults("child_with_faults_for_power_loss");
}

#[tokio::test]
#[ignore = "a child of every_failing_call_is_survived"]
async fn child_with_faults() {
    every_fault(Durability::ProcessCrash).await;
}

#[tokio::test]
#[ignore = "a child of every_failing_call_is_survived_for_power_loss"]
async fn child_with_faults_for_power_loss() {
    every_fault(Durability::PowerLoss).await;
}

#[test]
fn a_purge_that_cannot_flush_stays_within_its_limit() {
    with_faults("child_that_purges_without_flushes");
}

#[tokio::test]
#[ignore = "a child of a_purge_that_cannot_flush_stays_within_its_limit"]
async fn child_that_purges_without_flushes() {
    let recorded = given_path();
    let mut control = Control::open(&recorded).unwrap();
    // A purge flushes every 64.
    for (fault, expected) in [
        (Fault::from_nth(Calls::SYNC, 1, FaultKind::Io), None),
        (Fault::nth(Calls::SYNC, 2, FaultKind::Io), Some(94)),
    ] {
        let directory = tempfile::tempdir_in(&recorded).unwrap();
        let path = directory.path().join("store");
        let backend = FileBackend::connect(config(&path, Durability::PowerLoss)).await.unwrap();
        for number in (0..70).chain(1 << 24..(1 << 24) + 70) {
            create(&backend, number, brief("dead")).await;
        }
        control.arm(fault).unwrap();
        let purged = backend.purge_expired(now(), 100).await;
        assert!(control.disarm().unwrap());
        assert_eq!(contents(&path.join("sessions")).len(), 40, "{purged:?}");
        assert_eq!(purged.map(|purged| purged.removed).ok(), expected);
    }
}

type At = fn(Calls, u32, FaultKind) -> Fault;

/// What fails, how, and whether it goes on.
fn faults() -> [(Calls, FaultKind, At); 9] {
    let changes = Calls::WRITE | Calls::NAMES;
    [
        (Calls::READ, FaultKind::Io, Fault::nth),
        (changes, FaultKind::Io, Fault::nth),
        (changes, FaultKind::Io, Fault::from_nth),
        (Calls::WRITE, FaultKind::HalfWritten, Fault::nth),
        (Calls::WRITE, FaultKind::NoSpace, Fault::from_nth),
        (Calls::SYNC, FaultKind::Io, Fault::nth),
        (Calls::SYNC, FaultKind::Io, Fault::from_nth),
        (Calls::OPEN | Calls::NAMES, FaultKind::NoPermission, Fault::nth),
        (Calls::OPEN | changes, FaultKind::ReadOnly, Fault::from_nth),
    ]
}

async fn every_fault(durability: Durability) {
    for (calls, kind, fault) in faults() {
        let mut met = 0;
        for verb in VERBS {
            let failed = Site::new(verb, durability).await.every_call(calls, kind, fault).await;
            let must_flush = calls == Calls::SYNC && durability == Durability::PowerLoss && verb.writes();
            assert_eq!(calls == Calls::SYNC && failed > 0, must_flush, "{verb:?}, {durability:?}");
            met += failed;
        }
        println!("{durability:?}, {calls:?}, {kind:?}: {met} calls failed");
        assert_eq!(met > 0, calls != Calls::SYNC || durability == Durability::PowerLoss);
    }
}

/// What goes on while a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    CreateOverExpired,
    Update,
    Touch,
    Delete,
    Purge,
    Load,
    ListAll,
    ListOne,
    /// Opens the store once more.
    Open,
    /// Opens a store that is not there yet.
    OpenNew,
}

impl Verb {
    fn writes(self) -> bool {
        !matches!(self, Self::Load | Self::ListAll | Self::ListOne)
    }
}

const VERBS: [Verb; 11] = [
    Verb::Create,
    Verb::CreateOverExpired,
    Verb::Update,
    Verb::Touch,
    Verb::Delete,
    Verb::Purge,
    Verb::Load,
    Verb::ListAll,
    Verb::ListOne,
    Verb::Open,
    Verb::OpenNew,
];

/// A store in which one verb meets faults.
struct Site {
    verb: Verb,
    durability: Durability,
    directory: TempDir,
    backend: FileBackend,
    control: Control,
}

/// As many calls fail one after the other; more than a verb about one session makes. Of those that go through all shards,
/// most calls look for one that is not there: from then on every one in `STEP` fails.
const SHARDS: u32 = 24;
const STEP: u32 = 23;

/// A session that no verb is about.
const BYSTANDER: u32 = 0;

impl Site {
    async fn new(verb: Verb, durability: Durability) -> Self {
        let recorded = given_path();
        let directory = tempfile::tempdir_in(&recorded).unwrap();
        let path = directory.path().join("store");
        let backend = FileBackend::connect(config(&path, durability)).await.unwrap();
        create(&backend, BYSTANDER, bystander()).await;
        Self { verb, durability, directory, backend, control: Control::open(&recorded).unwrap() }
    }

    fn store(&self) -> std::path::PathBuf {
        self.directory.path().join("store")
    }

    /// Lets the first call fail, then the second one, until the verb does not make as many. How many failed.
    async fn every_call(mut self, calls: Calls, kind: FaultKind, fault: At) -> u32 {
        let (mut nth, mut failed) = (1, 0);
        loop {
            // Each in another shard, which the first ones have to make.
            let number = (nth % SHARDS + 1) << 24 | nth;
            let session = id(number);
            let (before, after) = (self.before(), self.after());
            if let Some(before) = &before {
                create(&self.backend, number, before.clone()).await;
            }
            self.control.arm(fault(calls, nth, kind)).unwrap();
            let result = self.call(session, nth).await;
            let met = self.control.disarm().unwrap();
            let context = format!(
                "{:?}, {:?}: call {nth} of {calls:?}, {kind:?}: {result:?}",
                self.verb, self.durability
            );

            let allowed = match &result {
                Ok(()) => vec![after.clone()],
                Err(error) => {
                    assert!(met, "{context}");
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{context}");
                    vec![before.clone(), after.clone()]
                }
            };
            // A purge goes on with what can be purged, and says what cannot in the log if that is less than all.
            if calls == Calls::SYNC && met && self.verb.writes() {
                assert!(result.is_err(), "{context}");
            }
            let seen = look(&self.backend, session).await;
            assert!(allowed.contains(&seen), "{context}: {seen:?}");
            self.is_listed(&self.backend, session, seen.as_ref(), &context).await;
            let left = self.left_by_a_crash(session, &context).await;
            assert!(allowed.contains(&left), "{context}: after a crash there is {left:?}");

            // What failed can be done again, and what has happened nonetheless needs no repeating.
            if result.is_err() && (seen == before || before == after) {
                self.call(session, nth).await.unwrap_or_else(|error| panic!("{context}, then {error:?}"));
            }
            assert_eq!(look(&self.backend, session).await, after, "{context}");
            assert_eq!(look(&self.backend, id(BYSTANDER)).await, Some(bystander()), "{context}");
            let _ = self.backend.delete(session, None, at(0)).await.unwrap();
            self.nothing_stays(&context).await;
            if !met {
                return failed;
            }
            failed += 1;
            nth += if nth < SHARDS { 1 } else { STEP };
        }
    }

    fn before(&self) -> Option<Record> {
        match self.verb {
            Verb::Create => None,
            Verb::CreateOverExpired | Verb::Purge => {
                Some(brief(&"brief ".repeat(1_000)).with_principal(principal("bob")))
            }
            _ => Some(old()),
        }
    }

    fn after(&self) -> Option<Record> {
        match self.verb {
            Verb::Create | Verb::CreateOverExpired => Some(old()),
            Verb::Update => Some(new()),
            Verb::Touch => {
                let mut touched = old();
                touched.touch(at(1_005_000), now());
                Some(touched)
            }
            Verb::Delete | Verb::Purge => None,
            Verb::Load | Verb::ListAll | Verb::ListOne | Verb::Open | Verb::OpenNew => Some(old()),
        }
    }

    async fn call(&self, session: SessionId, nth: u32) -> Result<()> {
        let backend = &self.backend;
        match self.verb {
            Verb::Create | Verb::CreateOverExpired => {
                let outcome = backend.create(session, old(), now()).await?;
                assert_eq!(outcome, CreateOutcome::Created);
            }
            Verb::Update => {
                let outcome = backend.update(session, old().revision, new(), now()).await?;
                assert_eq!(outcome, UpdateOutcome::Updated);
            }
            Verb::Touch => assert!(backend.touch(session, at(1_005_000), now()).await?),
            Verb::Delete => {
                assert_eq!(backend.delete(session, None, now()).await?, DeleteOutcome::Deleted);
            }
            Verb::Purge => {
                let purged = backend.purge_expired(now(), 10).await?;
                assert_eq!((purged.removed, purged.more), (1, false));
            }
            Verb::Load => assert_eq!(backend.load(session, now()).await?, Some(old())),
            Verb::ListAll => {
                let listing = backend.list(None, None, 10, now()).await?;
                assert!(listing.sessions.contains(&(session, old())), "{listing:?}");
            }
            Verb::ListOne => {
                let listing = backend.list(principal("alice").as_ref(), None, 10, now()).await?;
                assert!(listing.sessions.contains(&(session, old())), "{listing:?}");
            }
            Verb::Open => {
                let backend = FileBackend::connect(config(&self.store(), self.durability)).await?;
                assert_eq!(backend.load(session, now()).await?, Some(old()));
            }
            Verb::OpenNew => {
                let path = self.directory.path().join(format!("new-{nth}"));
                let backend = FileBackend::connect(config(&path, self.durability)).await?;
                assert_eq!(backend.load(session, now()).await?, None);
            }
        }
        Ok(())
    }

    /// What is there after a process that ends here without a warning, by a copy of its files.
    async fn left_by_a_crash(&self, session: SessionId, context: &str) -> Option<Record> {
        let copy = scratch();
        let path = copy.path().join("store");
        copy_all(&self.store(), &path);
        let backend = FileBackend::connect(config(&path, self.durability)).await.unwrap();
        let left = look(&backend, session).await;
        assert_eq!(look(&backend, id(BYSTANDER)).await, Some(bystander()), "{context}");
        self.is_listed(&backend, session, left.as_ref(), context).await;
        left
    }

    /// Whether the list of each principal is as the record says.
    async fn is_listed(
        &self,
        backend: &FileBackend,
        session: SessionId,
        record: Option<&Record>,
        context: &str,
    ) {
        for name in ["alice", "bob"] {
            let expected =
                record.is_some_and(|record| record.principal == principal(name) && record.is_live(now()));
            let found = listed(backend, principal(name)).await.contains(&session);
            assert_eq!(found, expected, "{context}: whether {name} has it");
        }
    }

    /// Neither temporary files nor markers, once a list of the principals and a purge have come by.
    async fn nothing_stays(&self, context: &str) {
        for name in ["alice", "bob"] {
            listed(&self.backend, principal(name)).await;
        }
        let _ = self.backend.purge_expired(now(), 10).await.unwrap();
        let left = contents(&self.store());
        assert_eq!(left.len(), 2, "{context}: {left:?}");
    }
}

fn bystander() -> Record {
    record("bystander").with_principal(principal("carol"))
}

fn old() -> Record {
    record(&"old ".repeat(2_000)).with_principal(principal("alice"))
}

fn new() -> Record {
    let mut new = record(&"new ".repeat(3_000)).with_principal(principal("bob"));
    new.revision = old().revision.next(8);
    new
}
