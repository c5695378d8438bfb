//! The conformance suite on this driver.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::{Damage, Harness, Promises, async_trait};
use session_core::{Error, ErrorKind, Result, SessionBackend, SessionId, Timestamp, UpdateOutcome};
use session_file::{FileBackend, FileConfig};

/// Namespaces are directories.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
}

/// Where the suite waits no longer for what does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process that the suite has started finds the files.
const DIRECTORY: &str = "SESSION_FILE_CONFORMANCE_DIRECTORY";

impl Files {
    async fn connect(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        // A busy machine is no reason to give up.
        let config = FileConfig::new(self.directory.join(namespace)).with_busy_timeout(PATIENCE);
        Ok(Arc::new(FileBackend::connect(config).await?))
    }

    fn file(&self, namespace: &str, id: SessionId) -> PathBuf {
        let name = format!("{:032x}", u128::from_be_bytes(*id.as_bytes()));
        self.directory.join(namespace).join("sessions").join(&name[..2]).join(name)
    }
}

#[async_trait]
impl Harness for Files {
    fn name(&self) -> &str {
        "file"
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_list()
            .with_purge()
            .with_durability()
            .with_shared_handles()
            .with_processes()
            .with_scan()
            .with_damage()
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        self.connect(namespace).await
    }

    /// Also a name that a file system which ignores case would not tell apart is none: names are in lower case.
    fn similar_namespaces(&self, namespace: &str) -> Vec<String> {
        vec![format!("{namespace}b"), namespace[..namespace.len() - 1].to_owned()]
    }

    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    async fn reopen(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    fn process(&self) -> Option<Command> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.env(DIRECTORY, &self.directory);
        Some(command)
    }

    /// Contents, names, and what the digits in names stand for.
    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        let mut pieces = Vec::new();
        scan(&self.directory.join(namespace), &mut pieces).map_err(internal)?;
        Ok(Some(pieces))
    }

    async fn damage(&self, namespace: &str, id: SessionId, damage: Damage) -> Result<Option<bool>> {
        let file = self.file(namespace, id);
        if !file.exists() {
            return Ok(Some(false));
        }
        if damage == Damage::Unreadable {
            let mut bytes = fs::read(&file).map_err(internal)?;
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            return fs::write(&file, bytes).map(|()| Some(true)).map_err(internal);
        }
        // Checksums and all, as only the driver itself writes them.
        let backend = self.connect(namespace).await?;
        let Some(record) = backend.load(id, Timestamp::MIN).await? else { return Ok(Some(false)) };
        let revision = record.revision;
        let record = match damage {
            Damage::Meta(bytes) => record.with_meta(bytes),
            Damage::Data(bytes) => record.with_data(bytes),
            _ => return Ok(None),
        };
        let updated = backend.update(id, revision, record, Timestamp::MIN).await?;
        Ok(Some(updated == UpdateOutcome::Updated))
    }

    async fn discard(&self, namespace: &str) {
        let _ = fs::remove_dir_all(self.directory.join(namespace));
    }
}

fn scan(directory: &Path, pieces: &mut Vec<Bytes>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_encoded_bytes();
        let numbers = name.split(|byte| *byte == b'.').filter_map(|part| str::from_utf8(part).ok());
        let numbers = numbers.filter_map(|digits| u128::from_str_radix(digits, 16).ok());
        pieces.extend(numbers.map(|number| Bytes::copy_from_slice(&number.to_be_bytes())));
        pieces.push(name.into());
        if entry.file_type()?.is_dir() {
            scan(&entry.path(), pieces)?;
        } else {
            pieces.push(fs::read(entry.path())?.into());
        }
    }
    Ok(())
}

fn internal(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, error)
}

fn main() -> ExitCode {
    let run = |directory: &Path| {
        conformance_tests::run(Files { directory: directory.to_owned() }, "tests/conformance.expected")
    };
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return run(Path::new(&directory));
    }
    match tempfile::tempdir() {
        Ok(directory) => run(directory.path()),
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            ExitCode::FAILURE
        }
    }
}
