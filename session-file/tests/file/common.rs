//! What the tests share: ids, instants, records, a directory, and the names of files in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use session_core::{CreateOutcome, Principal, Record, Revision, SessionBackend, SessionId, Timestamp};
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_000_000;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub(crate) fn now() -> Timestamp {
    at(NOW)
}

/// Ids of numbers below 2^24 are in one shard.
pub(crate) fn id(number: u32) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// The first revision of a session that lives for a second and may live for ten.
pub(crate) fn record(data: &str) -> Record {
    Record::new(Revision::first(7), now(), at(NOW + 1_000), at(NOW + 10_000))
        .with_meta(&b"meta"[..])
        .with_data(data.as_bytes().to_vec())
}

/// A record that has expired by now.
pub(crate) fn brief(data: &str) -> Record {
    let mut brief = record(data);
    brief.expires_at = at(NOW - 1);
    brief
}

pub(crate) fn principal(name: &str) -> Option<Principal> {
    Some(Principal::new(name).unwrap())
}

pub(crate) async fn create(backend: &impl SessionBackend, number: u32, record: Record) {
    let created = backend.create(id(number), record, at(0)).await.unwrap();
    assert_eq!(created, CreateOutcome::Created);
}

/// What is stored, dead or alive.
pub(crate) async fn look(backend: &impl SessionBackend, session: SessionId) -> Option<Record> {
    backend.load(session, at(0)).await.unwrap()
}

/// A list of one page.
pub(crate) async fn listed(backend: &impl SessionBackend, principal: Option<Principal>) -> Vec<SessionId> {
    let listing = backend.list(principal.as_ref(), None, usize::MAX, now()).await.unwrap();
    assert_eq!(listing.next, None);
    listing.sessions.into_iter().map(|(id, _)| id).collect()
}

/// In memory where there is such a place: thousands of stores are opened and closed, and nothing has to last.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn path_of(store: &Path, session: SessionId) -> PathBuf {
    let name = format!("{:032x}", u128::from_be_bytes(*session.as_bytes()));
    store.join("sessions").join(&name[..2]).join(name)
}

/// Every file in `directory`, relative to it, ascending.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files.sort();
    files
}

/// The same without the lock files.
pub(crate) fn contents(directory: &Path) -> Vec<String> {
    files(directory).into_iter().filter(|file| !file.ends_with("/lock")).collect()
}

/// Copies the files in `from`, and nothing about them: neither times nor modes.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

const STORE: &str = "SESSION_FILE_TEST_STORE";

/// This binary again, about to run the ignored test `name` on the store at `path`.
pub(crate) fn child(name: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    arguments(&mut command, name, path);
    command
}

pub(crate) fn arguments(command: &mut Command, name: &str, path: &Path) {
    command.args(["--ignored", "--exact", "--nocapture", name]).env(STORE, path).stdout(Stdio::piped());
}

/// Waits for its end, which must be a good one. What it has printed.
pub(crate) fn succeeded(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    // A name that no test has would be a success of none.
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
    shown
}

/// In a child: the store that its parent means.
pub(crate) fn given_path() -> PathBuf {
    std::env::var_os(STORE).expect("run by another test").into()
}
