//! The limit of a store in SQLite: prepared statements on a plain table, read on the calling thread, written by one
//! thread in transactions of as many rows as there would be tasks.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bench_harness::{Cell, Failure, Operation, Program, Store, id, payload};
use rusqlite::{Connection, params};

/// What a commit waits for.
#[derive(Clone, Copy)]
pub(crate) enum Synchronous {
    Normal,
    Full,
}

pub(crate) struct RawSqlite {
    file: PathBuf,
    synchronous: Synchronous,
    sessions: u64,
    data: Vec<u8>,
    /// Of the one worker of a cell that writes; and of the store itself, which keeps the log from being removed
    /// with the last connection: one that has to grow again is flushed several times slower.
    writer: Option<Mutex<Connection>>,
    rows_per_commit: usize,
    random: fastrand::Rng,
    writes: i64,
}

/// As many as one commit of a driver may have.
const MOST_ROWS: usize = 64;

thread_local! {
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

impl RawSqlite {
    pub(crate) async fn open(program: Program, synchronous: Synchronous) -> Result<Self, Failure> {
        let file = program.directory.join("raw.db");
        let data = serde_json::to_vec(&payload::values(program.values, 0))?;
        let mut connection = connect(&file, Synchronous::Normal)?;
        connection.execute_batch(
            "CREATE TABLE sessions (id BLOB NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, \
             expires_at INTEGER NOT NULL, data BLOB NOT NULL)",
        )?;
        let transaction = connection.transaction()?;
        for number in 0..program.sessions {
            transaction.prepare_cached(INSERT)?.execute(params![id(number), 0, EXPIRES_AT, data])?;
        }
        transaction.commit()?;
        checkpoint(&connection)?;
        let random = fastrand::Rng::with_seed(0);
        let sessions = program.sessions;
        Ok(Self {
            file,
            synchronous,
            sessions,
            data,
            writer: Some(Mutex::new(connection)),
            rows_per_commit: 1,
            random,
            writes: 0,
        })
    }

    fn worker(&self, cell: &Cell, task: usize) -> Result<Self, Failure> {
        let is_read = matches!(cell.operation, Operation::Load | Operation::ReadOne);
        let writer = if is_read { None } else { Some(Mutex::new(connect(&self.file, self.synchronous)?)) };
        Ok(Self {
            file: self.file.clone(),
            data: self.data.clone(),
            writer,
            rows_per_commit: if is_read { 1 } else { cell.tasks.min(MOST_ROWS) },
            random: fastrand::Rng::with_seed(cell.seed + task as u64),
            writes: i64::try_from(cell.seed << 32)?,
            ..*self
        })
    }

    fn read(&self, session: u64) -> Result<(), Failure> {
        READER.with_borrow_mut(|reader| {
            let connection = match reader {
                Some(connection) => connection,
                None => reader.insert(connect(&self.file, Synchronous::Normal)?),
            };
            let mut statement = connection.prepare_cached("SELECT data FROM sessions WHERE id = ?1")?;
            std::hint::black_box(statement.query_row([id(session)], |row| row.get::<_, Vec<u8>>(0))?);
            Ok(())
        })
    }

    fn write(&mut self, operation: Operation) -> Result<(), Failure> {
        let mut writer =
            self.writer.as_ref().ok_or("no writer")?.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<_> = (0..self.rows_per_commit)
            .map(|_| match operation {
                // Other numbers than those of the sessions that are there.
                Operation::Create => id(self.random.u64(1 << 63..)),
                _ => id(self.random.u64(..self.sessions)),
            })
            .collect();
        ids.sort_unstable();
        let transaction = writer.transaction()?;
        for id in ids {
            self.writes += 1;
            if operation == Operation::Create {
                let values = params![id, self.writes, EXPIRES_AT + self.writes, self.data];
                transaction.prepare_cached(INSERT)?.execute(values)?;
            } else {
                let update = "UPDATE sessions SET revision = ?2, data = ?3 WHERE id = ?1";
                transaction.prepare_cached(update)?.execute(params![id, self.writes, self.data])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Store for RawSqlite {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        let is_read = matches!(cell.operation, Operation::Load | Operation::ReadOne);
        (0..if is_read { cell.tasks } else { 1 }).map(|task| self.worker(cell, task)).collect()
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        match operation {
            Operation::Load | Operation::ReadOne => self.read(session),
            Operation::Update | Operation::Create => self.write(operation),
            other => Err(format!("no operation of a table: {other:?}").into()),
        }
    }

    fn operations_per_call(&self) -> u64 {
        self.rows_per_commit as u64
    }

    async fn clean_up(&self, operation: Operation) -> Result<(), Failure> {
        if operation == Operation::Create {
            let connection = connect(&self.file, Synchronous::Normal)?;
            connection.execute("DELETE FROM sessions WHERE expires_at > ?1", [EXPIRES_AT])?;
        }
        Ok(())
    }
}

/// Copies all of the log to the database. The log is as long now as it gets, and is written again from its
/// beginning.
pub(crate) fn checkpoint(connection: &Connection) -> Result<(), Failure> {
    let (pages, copied): (i64, i64) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get("log")?, row.get("checkpointed")?))
    })?;
    if copied == pages { Ok(()) } else { Err("somebody reads from the log".into()) }
}

const INSERT: &str = "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4)";
const EXPIRES_AT: i64 = 4_000_000_000_000;

fn connect(file: &Path, synchronous: Synchronous) -> Result<Connection, Failure> {
    let connection = Connection::open(file)?;
    let synchronous = match synchronous {
        Synchronous::Normal => "NORMAL",
        Synchronous::Full => "FULL",
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    Ok(connection)
}
