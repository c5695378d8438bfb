//! Stores that several processes share, each of which breaks one rule about that: one file per session, and a lock
//! file. They have the verbs that the cases about processes call.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use session_core::{
    CreateOutcome, DeleteOutcome, Error, ErrorKind, Record, Result, Revision, SessionBackend, SessionId,
    Timestamp, UpdateOutcome,
};

use super::run::{Proof, Suspect, prove};
use crate::cases;
use crate::context::Context;
use crate::execute::Schedule;
use crate::harness::{Harness, Promises};
use crate::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    InMemory,
    OneWriteBehind,
    InPlace,
    NoLock,
    LockFile,
    OpensOnce,
}

const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::InMemory, "shared_within_the_process", "processes share the sessions"),
    (Fault::OneWriteBehind, "acknowledged_too_early", "what was acknowledged outlives its process"),
    (Fault::InPlace, "written_in_place", "nothing is there in part"),
    (Fault::NoLock, "locked_within_the_process", "a write compares and stores in one step for all processes"),
    (Fault::LockFile, "locked_for_ever", "a process that is killed holds nobody up"),
    (Fault::OpensOnce, "opened_by_the_first", "a namespace may be opened by several processes at once"),
];

/// Tell a process which store it belongs to, and where that is.
const NAME: &str = "CONFORMANCE_BROKEN_STORE";
const DIRECTORY: &str = "CONFORMANCE_BROKEN_DIRECTORY";

/// Runs every broken store that processes share against the committed matrix at `matrix` (relative to the package),
/// with its files in `directory`.
///
/// It is the `main` of this crate's own `tests/broken_processes.rs`, and otherwise as [`run`](super::run()).
pub fn run_processes(matrix: impl AsRef<Path>, directory: &Path) -> ExitCode {
    if let (Ok(name), Some(directory)) = (env::var(NAME), env::var_os(DIRECTORY)) {
        let store = FAULTS.iter().find(|(_, known, _)| *known == name);
        let played =
            store.and_then(|(fault, name, _)| process::play(&driver(*fault, name, directory.into())));
        return played.unwrap_or(ExitCode::FAILURE);
    }
    let suspect = |&(fault, name, breaks): &(Fault, &'static str, &'static str)| {
        let directory = directory.to_owned();
        let subject = Box::new(move || driver(fault, name, directory.clone()));
        Suspect::<Context> { name, breaks, subject }
    };
    let suspects = FAULTS.iter().map(suspect).collect();
    let (what, report) = ("stores", "broken-processes");
    let (schedule, threads) = (Schedule::Parallel, None);
    let proof = Proof { what, report, schedule, threads, cases: cases::processes(), suspects };
    prove(&Arc::new(proof), matrix.as_ref())
}

fn driver(fault: Fault, name: &'static str, directory: PathBuf) -> Arc<dyn Harness> {
    Arc::new(Driver { fault, name, directory, memory: Mutex::default() })
}

type Memory = Arc<Mutex<BTreeMap<SessionId, Record>>>;

#[derive(Debug)]
struct Driver {
    fault: Fault,
    name: &'static str,
    directory: PathBuf,
    /// Of a store that keeps nothing else.
    memory: Mutex<BTreeMap<String, Memory>>,
}

impl Driver {
    fn store(&self, namespace: &str) -> Arc<dyn SessionBackend> {
        let memory = lock(&self.memory).entry(namespace.to_owned()).or_default().clone();
        let directory = self.directory.join(self.name).join(namespace);
        Arc::new(Store {
            fault: self.fault,
            directory,
            memory,
            behind: Mutex::default(),
            release: Mutex::default(),
        })
    }
}

#[async_trait]
impl Harness for Driver {
    fn name(&self) -> &str {
        self.name
    }

    fn promises(&self) -> Promises {
        Promises::default().with_durability().with_shared_handles().with_processes()
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        let parent = self.directory.join(self.name);
        fs::create_dir_all(&parent).map_err(unavailable)?;
        let directory = parent.join(namespace);
        let made = match self.fault {
            Fault::OpensOnce => fs::create_dir(directory),
            _ => fs::create_dir_all(directory),
        };
        made.map_err(unavailable)?;
        Ok(self.store(namespace))
    }

    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        Ok(Some(self.store(namespace)))
    }

    fn process(&self) -> Option<Command> {
        let mut command = Command::new(env::current_exe().ok()?);
        command.env(NAME, self.name).env(DIRECTORY, &self.directory);
        Some(command)
    }

    async fn discard(&self, namespace: &str) {
        let _ = fs::remove_dir_all(self.directory.join(self.name).join(namespace));
    }
}

#[derive(Debug)]
struct Store {
    fault: Fault,
    directory: PathBuf,
    memory: Memory,
    /// What was acknowledged and is to be written before the next write.
    behind: Mutex<BTreeMap<SessionId, Record>>,
    /// Takes the lock file away.
    release: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Store {
    fn drop(&mut self) {
        // Only a process that is killed leaves a lock behind.
        lock(&self.release).take().map(JoinHandle::join);
    }
}

/// How long whoever looks for a lock file waits for its end.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long things take that must not be interrupted: long enough to be.
const DELAY: Duration = Duration::from_millis(3);

impl Store {
    /// Runs `work` while no other process runs any.
    fn alone<T>(&self, work: impl FnOnce(&mut BTreeMap<SessionId, Record>) -> io::Result<T>) -> Result<T> {
        let mut behind = lock(&self.behind);
        let file = self.directory.join("lock");
        let done = match self.fault {
            Fault::NoLock => work(&mut behind),
            Fault::LockFile => {
                made_alone(&file).map_err(unavailable)?;
                let done = work(&mut behind);
                // Its caller hears of it before the lock is gone.
                *lock(&self.release) = Some(thread::spawn(move || {
                    thread::sleep(DELAY);
                    let _ = fs::remove_file(file);
                }));
                done
            }
            _ => File::create(file).and_then(|file| {
                file.lock()?;
                work(&mut behind)
            }),
        };
        done.map_err(unavailable)
    }

    fn read(&self, id: SessionId) -> io::Result<Option<Record>> {
        if self.fault == Fault::InMemory {
            return Ok(lock(&self.memory).get(&id).cloned());
        }
        match fs::read(self.path(id)) {
            Ok(bytes) => decode(&bytes).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, id: SessionId, record: &Record) -> io::Result<()> {
        let bytes = encode(record);
        match self.fault {
            Fault::InMemory => {
                lock(&self.memory).insert(id, record.clone());
                Ok(())
            }
            Fault::InPlace => {
                fs::write(self.path(id), &bytes[..bytes.len() / 2])?;
                thread::sleep(DELAY);
                fs::write(self.path(id), bytes)
            }
            _ => {
                let new = self.path(id).with_extension(format!("{}", std::process::id()));
                fs::write(&new, bytes)?;
                fs::rename(new, self.path(id))
            }
        }
    }

    fn path(&self, id: SessionId) -> PathBuf {
        self.directory.join(format!("{:032x}", u128::from_be_bytes(*id.as_bytes())))
    }
}

#[async_trait]
impl SessionBackend for Store {
    async fn create(&self, id: SessionId, record: Record, _now: Timestamp) -> Result<CreateOutcome> {
        self.alone(|_| self.write(id, &record)).map(|()| CreateOutcome::Created)
    }

    async fn load(&self, id: SessionId, _now: Timestamp) -> Result<Option<Record>> {
        if let Some(record) = lock(&self.behind).get(&id) {
            return Ok(Some(record.clone()));
        }
        // What is written in place is read under the lock, as a store must that works so.
        if self.fault == Fault::InPlace {
            self.alone(|_| self.read(id))
        } else {
            self.read(id).map_err(unavailable)
        }
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        _now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.alone(|behind| {
            let current = match behind.get(&id) {
                Some(record) => Some(record.clone()),
                None => self.read(id)?,
            };
            match current {
                None => return Ok(UpdateOutcome::Gone),
                Some(current) if current.revision != expected => return Ok(UpdateOutcome::Conflict(current)),
                Some(_) => {}
            }
            match self.fault {
                Fault::OneWriteBehind => {
                    if let Some(late) = behind.insert(id, record) {
                        self.write(id, &late)?;
                    }
                }
                Fault::NoLock => {
                    thread::sleep(DELAY);
                    self.write(id, &record)?;
                }
                _ => self.write(id, &record)?,
            }
            Ok(UpdateOutcome::Updated)
        })
    }

    async fn touch(&self, _id: SessionId, _expires_at: Timestamp, _now: Timestamp) -> Result<bool> {
        Err(ErrorKind::Unsupported.into())
    }

    async fn delete(
        &self,
        _id: SessionId,
        _expected: Option<Revision>,
        _now: Timestamp,
    ) -> Result<DeleteOutcome> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// Makes a file that nobody else has made.
fn made_alone(file: &Path) -> io::Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match File::create_new(file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && waited < PATIENCE => {
                thread::sleep(DELAY / 5);
                waited += DELAY / 5;
            }
            result => return result.map(drop),
        }
    }
}

/// Without principal and bookkeeping, which the cases do not store.
fn encode(record: &Record) -> Vec<u8> {
    let numbers = [
        record.revision.as_i64(),
        record.touched_at.as_millis(),
        record.expires_at.as_millis(),
        record.deadline.as_millis(),
    ];
    let mut bytes = numbers.map(i64::to_be_bytes).concat();
    bytes.extend_from_slice(&record.data);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let (revision, rest) = bytes.split_first_chunk()?;
    let (touched_at, rest) = rest.split_first_chunk()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (deadline, data) = rest.split_first_chunk()?;
    let time = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
    let revision = Revision::from_i64(i64::from_be_bytes(*revision))?;
    let record = Record::new(revision, time(touched_at)?, time(expires_at)?, time(deadline)?);
    Some(record.with_data(data.to_vec()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error)
}
