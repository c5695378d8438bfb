//! Opening a database: its file, its connections and the settings of each.

use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi};
use session_core::{Durability, Error, ErrorKind, Result};

use super::checkpoint::Checkpoints;
use super::config::{SqliteConfig, SqliteExecution, SqliteLocation};
use super::error::{Failure, is_busy};
use super::{lock_wait, schema};
use crate::table_name::TableName;

/// The connections of one backend.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) checkpoints: Checkpoints,
    /// For the threads that read. Empty for a database in memory, which has one connection.
    pub(super) readers: Vec<Connection>,
    /// For callers that read themselves: these do not wait for locks.
    pub(super) inline: Vec<Connection>,
}

/// Opens the database and makes the table ready or, without `auto_migrate`, makes sure that it is.
///
/// Takes the write lock once: a database that cannot be written is found here, not by the first request.
pub(super) fn open(config: &SqliteConfig, table: &TableName) -> Result<Opened> {
    match &config.location {
        SqliteLocation::Memory => {
            let mut writer = in_memory().map_err(|Failure(error)| error)?;
            prepare(&mut writer, table, true).map_err(|Failure(error)| error)?;
            let (readers, inline) = (Vec::new(), Vec::new());
            Ok(Opened { writer, checkpoints: Checkpoints::none(), readers, inline })
        }
        SqliteLocation::File(path) => {
            open_file(config, table, path).map_err(|Failure(error)| match error.kind() {
                // These say themselves what is the matter.
                ErrorKind::Config | ErrorKind::SchemaMissing => error,
                _ => {
                    let why = reason(&error);
                    error.with_detail(format!("cannot use the database file {}{why}", path.display()))
                }
            })
        }
    }
}

/// In words for those who look after the file, where the cause is known: what SQLite says is about something
/// else, or shorter.
fn reason(error: &Error) -> &'static str {
    let Some(source) = error.source() else { return "" };
    let code = source.downcast_ref::<ffi::Error>().map(|error| error.code);
    let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
    match (code, kind) {
        (Some(ffi::ErrorCode::ReadOnly), _) => {
            ": it can only be read, as its permissions or a read-only file system forbid writing"
        }
        (Some(ffi::ErrorCode::CannotOpen), _) => {
            ": permissions or a read-only file system forbid opening it, or making the files beside it"
        }
        (Some(ffi::ErrorCode::DiskFull), _) | (_, Some(io::ErrorKind::StorageFull)) => ": the disk is full",
        (_, Some(io::ErrorKind::ReadOnlyFilesystem)) => ": it cannot be made on a read-only file system",
        (_, Some(io::ErrorKind::PermissionDenied)) => ": permissions forbid making it or reaching it",
        _ => "",
    }
}

fn open_file(config: &SqliteConfig, table: &TableName, path: &Path) -> Result<Opened, Failure> {
    let path = resolve(config, path)?;
    let mut writer = connect(config, &path)?;
    switch_to_wal(&writer, config.busy_timeout)?;
    prepare(&mut writer, table, config.auto_migrate)?;
    lock_wait::install(&mut writer)?;
    let mut readers = connect_readers(config, &path)?;
    readers.iter_mut().try_for_each(lock_wait::install)?;
    let inline = match config.execution {
        SqliteExecution::WhereQuick => connect_readers(config, &path)?,
        SqliteExecution::OnThreads => Vec::new(),
    };
    for connection in &inline {
        connection.busy_timeout(Duration::ZERO)?;
    }
    let checkpoints = Checkpoints::start(path.clone(), connect(config, &path)?)?;
    Ok(Opened { writer, checkpoints, readers, inline })
}

fn connect_readers(config: &SqliteConfig, path: &Path) -> Result<Vec<Connection>, Failure> {
    (0..config.readers.get())
        .map(|_| {
            let reader = connect(config, path)?;
            reader.execute_batch("PRAGMA query_only = ON")?;
            Ok(reader)
        })
        .collect()
}

/// The absolute path of the database file, which exists afterwards.
///
/// Absolute, because SQLite takes some relative ones (`:memory:`, `file:..`) for something else. Without symbolic
/// links, as the log is beside the file itself.
fn resolve(config: &SqliteConfig, path: &Path) -> Result<PathBuf> {
    let path = absolute(path)
        .map_err(|error| Error::new(ErrorKind::Config, error).with_detail("the database path is empty"))?;
    let result = if config.create_if_missing { create(&path) } else { fs::metadata(&path).map(drop) };
    match result {
        Ok(()) => without_links(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let missing = if config.create_if_missing { "its directory" } else { "it" };
            let detail = format!("the database file {}: {missing} does not exist", path.display());
            Err(Error::new(ErrorKind::Config, error).with_detail(detail))
        }
        Err(error) => Err(Error::new(ErrorKind::Unavailable, error)),
    }
}

#[cfg(unix)]
fn without_links(path: PathBuf) -> Result<PathBuf> {
    fs::canonicalize(&path).map_err(|error| match error.kind() {
        // It was not made, as its name is taken.
        io::ErrorKind::NotFound => {
            let detail = format!("the database file {}: a symbolic link to nothing", path.display());
            Error::new(ErrorKind::Config, error).with_detail(detail)
        }
        _ => Error::new(ErrorKind::Unavailable, error),
    })
}

/// Elsewhere SQLite may not understand what resolving makes of a path.
#[cfg(not(unix))]
fn without_links(path: PathBuf) -> Result<PathBuf> {
    Ok(path)
}

/// Creates the file for its owner only, unless it is there. SQLite takes an empty file for a new
/// database, and gives the files beside it the same mode.
fn create(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map(drop),
    }
}

fn in_memory() -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_in_memory_with_flags(flags | OpenFlags::SQLITE_OPEN_CREATE)?)
}

fn connect(config: &SqliteConfig, path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(config.busy_timeout)?;
    let durability = match config.durability {
        Durability::ProcessCrash => "PRAGMA synchronous = NORMAL",
        // On macOS a flush reaches the disk itself only when asked for by name.
        Durability::PowerLoss => {
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON"
        }
        other => {
            let detail = format!("this driver cannot promise durability {other:?}");
            return Err(Failure(Error::describe(ErrorKind::Config, detail)));
        }
    };
    connection.execute_batch(durability)?;
    // What `Checkpoints` does. Answers with a row, which `execute_batch` may refuse.
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    Ok(connection)
}

/// A setting of the file, made once in its life.
fn switch_to_wal(connection: &Connection, patience: Duration) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let detail = format!("journal mode WAL is not possible there, only `{mode}`");
                return Err(Failure(Error::describe(ErrorKind::Config, detail)));
            }
            // SQLite does not call its busy handler here: several processes may be switching a new file.
            Err(error) if is_busy(&error) && started.elapsed() < patience => sleep(SWITCH_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
}

const SWITCH_PAUSE: Duration = Duration::from_millis(5);

fn prepare(connection: &mut Connection, table: &TableName, migrate: bool) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if migrate {
        schema::migrate(&transaction, table)?;
    } else {
        schema::check(&transaction, table)?;
    }
    // On a database that can only be read, SQLite begins a transaction for reading and does not mind.
    transaction.execute(&format!("DELETE FROM \"{table}\" WHERE false"), [])?;
    Ok(transaction.commit()?)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_link_is_that_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file.db"), directory.path().join("link.db"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let opened = open(&SqliteConfig::new(link), &TableName::parse("sessions").unwrap()).unwrap();
        let looked_after = format!("{:?}", opened.checkpoints);
        assert!(looked_after.contains("file.db-wal"), "{looked_after}");
    }
}
