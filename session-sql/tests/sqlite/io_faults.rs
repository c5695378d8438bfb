//! Every verb with a call to the operating system that fails, at each call in turn: a typed error, nothing
//! acknowledged that is not there, nothing lost that was, and all well again afterwards.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::fs;

use conformance_tests::disk::{Calls, Control, Fault, FaultKind, Recorder};
use session_core::{
    CreateOutcome, DeleteOutcome, Durability, Error, ErrorKind, Record, Result, SessionBackend, SessionId,
    UpdateOutcome,
};
use session_sql::sqlite::SqliteBackend;
use tempfile::TempDir;

use crate::common::{at, create, id, now, principal, record};
use crate::power_cut::{closed, config, scratch};
use crate::processes::{arguments, given_path, succeeded};

fn with_faults(child: &str) {
    let (workshop, store) = (scratch(), scratch());
    let directory = store.path().canonicalize().unwrap();
    let recorder = Recorder::new(workshop.path(), &directory).unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    arguments(&mut command, &format!("io_faults::{child}"), &directory);
    recorder.listen(&mut command);
    succeeded(command.spawn().unwrap());
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

type At = fn(Calls, u32, FaultKind) -> Fault;

/// What fails, how, and whether it goes on.
fn faults() -> [(Calls, FaultKind, At); 9] {
    let changes = Calls::WRITE | Calls::TRUNCATE | Calls::NAMES;
    [
        (Calls::READ, FaultKind::Io, Fault::nth),
        (changes, FaultKind::Io, Fault::nth),
        (changes, FaultKind::Io, Fault::from_nth),
        (Calls::WRITE, FaultKind::HalfWritten, Fault::nth),
        (Calls::WRITE | Calls::TRUNCATE, FaultKind::NoSpace, Fault::from_nth),
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
            let must_flush = calls == Calls::SYNC && durability == Durability::PowerLoss;
            assert!(failed > 0 || !must_flush || !verb.writes_records(), "{verb:?} flushes nothing");
            met += failed;
        }
        println!("{durability:?}, {calls:?}, {kind:?}: {met} calls failed");
        assert!(met > 0);
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
    /// With a connection that has read nothing yet.
    Load,
    /// Connects once more, with the log of another connection to read.
    Open,
    /// Connects to a database that is not there yet, or only in part.
    OpenNew,
    /// Copies the log to the database and cuts it off.
    Checkpoint,
}

impl Verb {
    /// The others may go on without a flush: of a directory, which SQLite does not insist on.
    fn writes_records(self) -> bool {
        !matches!(self, Self::Load | Self::Open | Self::OpenNew | Self::Checkpoint)
    }
}

const VERBS: [Verb; 10] = [
    Verb::Create,
    Verb::CreateOverExpired,
    Verb::Update,
    Verb::Touch,
    Verb::Delete,
    Verb::Purge,
    Verb::Load,
    Verb::Open,
    Verb::OpenNew,
    Verb::Checkpoint,
];

/// A database in which one verb meets faults.
struct Site {
    verb: Verb,
    durability: Durability,
    directory: TempDir,
    backend: SqliteBackend,
    control: Control,
}

/// A session that no verb is about.
const BYSTANDER: u32 = 0;

impl Site {
    async fn new(verb: Verb, durability: Durability) -> Self {
        let recorded = given_path();
        let directory = tempfile::tempdir_in(&recorded).unwrap();
        let path = directory.path().join("sessions.db");
        let backend = SqliteBackend::connect(config(&path, durability)).await.unwrap();
        create(&backend, BYSTANDER, record("bystander")).await;
        Self { verb, durability, directory, backend, control: Control::open(&recorded).unwrap() }
    }

    /// Lets the first call fail, then the second one, until the verb does not make as many. How many failed.
    async fn every_call(mut self, calls: Calls, kind: FaultKind, fault: At) -> u32 {
        let mut expected = Vec::new();
        for nth in 1.. {
            let session = id(nth);
            let (before, after) = (self.before(), self.after());
            if let Some(before) = &before {
                // Also those that have expired by now.
                let created = self.backend.create(session, before.clone(), at(0)).await.unwrap();
                assert_eq!(created, CreateOutcome::Created);
            }
            let ready = self.ready().await;
            self.control.arm(fault(calls, nth, kind)).unwrap();
            let result = self.call(session, ready.as_ref(), nth).await;
            let met = self.control.disarm().unwrap();
            drop(ready);
            let context = format!(
                "{:?}, {:?}: call {nth} of {calls:?}, {kind:?}: {result:?}",
                self.verb, self.durability
            );

            let allowed = match &result {
                Ok(()) => vec![after.clone()],
                Err(error) => {
                    assert!(met, "{context}");
                    // SQLite takes what a disk cannot read for damaged, and does not say why.
                    let is_unreadable = calls == Calls::READ && error.kind() == ErrorKind::Corrupt;
                    assert!(error.kind() == ErrorKind::Unavailable || is_unreadable, "{context}");
                    vec![before.clone(), after.clone()]
                }
            };
            if calls == Calls::SYNC && met && self.verb.writes_records() {
                assert!(result.is_err(), "{context}");
            }
            let seen = look(&self.backend, session).await;
            assert!(allowed.contains(&seen), "{context}: {seen:?}");
            let left = self.left_by_a_crash(session).await;
            assert!(allowed.contains(&left), "{context}: after a crash there is {left:?}");

            // What failed can be done again, and what has happened nonetheless needs no repeating.
            if result.is_err() && (seen == before || before == after) {
                let ready = self.ready().await;
                self.call(session, ready.as_ref(), nth)
                    .await
                    .unwrap_or_else(|error| panic!("{context}, then {error:?}"));
            }
            assert_eq!(look(&self.backend, session).await, after, "{context}");
            expected.push((session, after));
            if !met {
                self.reopened(&expected).await;
                return nth - 1;
            }
        }
        unreachable!("a verb makes fewer calls than there are numbers")
    }

    fn before(&self) -> Option<Record> {
        match self.verb {
            Verb::Create => None,
            Verb::CreateOverExpired | Verb::Purge => Some(brief()),
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
            Verb::Load | Verb::Open | Verb::OpenNew | Verb::Checkpoint => Some(old()),
        }
    }

    /// The handle that the verb is called on, where it is not the site's own.
    async fn ready(&self) -> Option<SqliteBackend> {
        let path = self.directory.path().join("sessions.db");
        match self.verb {
            Verb::Load => Some(SqliteBackend::connect(config(path, self.durability)).await.unwrap()),
            _ => None,
        }
    }

    async fn call(&self, session: SessionId, ready: Option<&SqliteBackend>, nth: u32) -> Result<()> {
        let backend = ready.unwrap_or(&self.backend);
        let path = self.directory.path().join("sessions.db");
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
            Verb::Purge => assert_eq!(backend.purge_expired(now(), 10).await?.removed, 1),
            Verb::Load => assert_eq!(backend.load(session, now()).await?, Some(old())),
            Verb::Open => {
                let backend = SqliteBackend::connect(config(path, self.durability)).await?;
                assert_eq!(backend.load(session, now()).await?, Some(old()));
            }
            Verb::OpenNew => {
                let path = self.directory.path().join(format!("new-{nth}.db"));
                let backend = SqliteBackend::connect(config(path, self.durability)).await?;
                assert_eq!(backend.load(session, now()).await?, None);
            }
            Verb::Checkpoint => {
                let busy = rusqlite::Connection::open(&path).and_then(|connection| {
                    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
                });
                assert!(!busy.map_err(|error| Error::new(ErrorKind::Unavailable, error))?);
            }
        }
        Ok(())
    }

    /// What is there after a process that ends here without a warning, by a copy of its files.
    async fn left_by_a_crash(&self, session: SessionId) -> Option<Record> {
        // After an answer that tells of a failure the writer makes room on the disk. It comes to no other verb before,
        // and files that change while they are copied are not what a crash leaves.
        assert!(!self.backend.touch(id(u32::MAX), at(1_005_000), now()).await.unwrap());
        let copy = scratch();
        for name in ["sessions.db", "sessions.db-wal", "sessions.db-journal"] {
            let from = self.directory.path().join(name);
            if from.exists() {
                fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        let path = copy.path().join("sessions.db");
        let backend = SqliteBackend::connect(config(&path, self.durability)).await.unwrap();
        let left = look(&backend, session).await;
        assert_eq!(look(&backend, id(BYSTANDER)).await, Some(record("bystander")));
        drop(backend);
        closed(&path).await;
        left
    }

    async fn reopened(self, expected: &[(SessionId, Option<Record>)]) {
        let path = self.directory.path().join("sessions.db");
        drop(self.backend);
        closed(&path).await;
        let backend = SqliteBackend::connect(config(&path, self.durability)).await.unwrap();
        for (session, record) in expected {
            assert_eq!(look(&backend, *session).await.as_ref(), record.as_ref());
        }
    }
}

/// What is stored, dead or alive.
async fn look(backend: &SqliteBackend, session: SessionId) -> Option<Record> {
    backend.load(session, at(0)).await.unwrap()
}

fn old() -> Record {
    record(&"old ".repeat(2_000)).with_principal(principal("alice"))
}

fn new() -> Record {
    let mut new = record(&"new ".repeat(3_000)).with_principal(principal("bob"));
    new.revision = old().revision.next(8);
    new
}

/// A record that has expired by now.
fn brief() -> Record {
    let mut brief = record(&"brief ".repeat(1_000));
    brief.expires_at = at(999_999);
    brief
}
