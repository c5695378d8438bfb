//! Any of our stores: the verbs of `SessionBackend` for records, `SessionManager` for values.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bench_harness::{
    Beside, Cell, Failure, Operation, Program, RedisDatabase, Store, Values, id, parallel, payload,
};
use bytes::Bytes;
use rusqlite::Connection;
use session_core::{
    CreateOutcome, Durability, IdGenerator, Record, Revision, SessionBackend, SessionId, SessionManager,
    SessionToken, Timestamp, UpdateOutcome,
};
use session_file::{FileBackend, FileConfig};
use session_memory::MemoryBackend;
use session_redis::{RedisBackend, RedisConfig};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use session_sql::sqlite::{SqliteBackend, SqliteConfig};

use crate::eviction::evict;
use crate::raw_mariadb;
use crate::raw_postgres::{database, settle};
use crate::raw_sqlite::checkpoint;

/// A filled store.
#[derive(Clone)]
pub(crate) struct Sessions {
    backend: Arc<dyn SessionBackend>,
    manager: SessionManager,
    /// Of session number n: what an update expects.
    revisions: Arc<[AtomicI64]>,
    /// How many sessions there have ever been: the numbers of new ones start here.
    next: Arc<AtomicU64>,
    /// The next number at the beginning of the cell.
    first_new: Arc<AtomicU64>,
    template: Template,
    /// Where the files are that can be evicted from the system's memory.
    directory: Option<Arc<Path>>,
    writes: u64,
    timed_every: u64,
    server_bytes: u64,
}

/// A record of the usual size, to make others of.
#[derive(Clone)]
struct Template {
    record: Record,
    /// Where in its data the digits stand that change with each write.
    digits: usize,
}

/// Who is signed in to the sessions that a store is filled with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Somebody {
    Nowhere,
    InEach,
}

const SECRET: [u8; 32] = [9; 32];
/// Of the number that changes.
const DIGITS: usize = 10;
/// How many records a purge has to remove.
const EXPIRED: u64 = 1_000_000;

impl Sessions {
    pub(crate) async fn in_memory(program: Program) -> Result<Self, Failure> {
        let filled = Self::fill(Arc::new(MemoryBackend::new()), &program).await?;
        Ok(Self { timed_every: 16, ..filled })
    }

    pub(crate) async fn in_sqlite(program: Program, durability: Durability) -> Result<Self, Failure> {
        let file = program.directory.join("ours.db");
        let config = |durability| SqliteConfig::new(&file).with_durability(durability);
        // Filled at the faster durability, and opened again.
        let filled =
            Self::fill(Arc::new(SqliteBackend::connect(config(Durability::ProcessCrash)).await?), &program);
        let filled = filled.await?;
        checkpoint(&Connection::open(&file)?)?;
        filled.opened_again(SqliteBackend::connect(config(durability)).await?)
    }

    /// Filled at the faster durability, and opened again.
    pub(crate) async fn in_files(program: Program, durability: Durability) -> Result<Self, Failure> {
        let directory = program.directory.join("ours");
        let config = |durability| FileConfig::new(&directory).with_durability(durability);
        let backend = FileBackend::connect(config(Durability::ProcessCrash)).await?;
        let filled = Self::fill(Arc::new(backend), &program).await?;
        let filled = filled.opened_again(FileBackend::connect(config(durability)).await?)?;
        Ok(Self { directory: Some(directory.into()), ..filled })
    }

    /// The same sessions behind a backend that does not know that it has just made them.
    fn opened_again(self, backend: impl SessionBackend + 'static) -> Result<Self, Failure> {
        let backend: Arc<dyn SessionBackend> = Arc::new(backend);
        let manager = SessionManager::builder(Arc::clone(&backend)).build()?;
        Ok(Self { backend, manager, ..self })
    }

    /// A server at its defaults: a commit waits for the disk.
    pub(crate) async fn in_postgres(program: Program) -> Result<Self, Failure> {
        let (options, mut connection) = database(&program).await?;
        let config = PostgresConfig::new(options).with_auto_migrate(true);
        let filled = Self::fill(Arc::new(PostgresBackend::connect(config).await?), &program).await?;
        settle(&mut connection).await?;
        Ok(filled)
    }

    /// A server at its defaults: a commit waits for the disk.
    pub(crate) async fn in_mariadb(program: Program) -> Result<Self, Failure> {
        let options = raw_mariadb::database(&program).await?;
        let config = MysqlConfig::new(options).with_auto_migrate(true);
        Self::fill(Arc::new(MysqlBackend::connect(config).await?), &program).await
    }

    pub(crate) async fn in_redis(program: Program) -> Result<Self, Failure> {
        let mut database = RedisDatabase::find(&program).await?;
        let backend = RedisBackend::connect(RedisConfig::from_url(&database.url)?).await?;
        let filled = Self::fill(Arc::new(backend), &program).await?;
        Ok(Self { server_bytes: database.bytes().await?, ..filled })
    }

    /// Somebody else is signed in to each of the sessions.
    pub(crate) async fn in_redis_signed_in(program: Program) -> Result<Self, Failure> {
        let mut database = RedisDatabase::find(&program).await?;
        let backend = RedisBackend::connect(RedisConfig::from_url(&database.url)?).await?;
        let filled = Self::fill_with(Arc::new(backend), &program, Somebody::InEach).await?;
        Ok(Self { server_bytes: database.bytes().await?, ..filled })
    }

    /// What has one database only.
    pub(crate) async fn in_named_redis(program: Program, kind: &str) -> Result<Self, Failure> {
        let prefix = format!("{}:", program.database()?);
        let config = RedisConfig::from_url(&program.server(kind)?)?.with_prefix(prefix);
        Self::fill(Arc::new(RedisBackend::connect(config).await?), &program).await
    }

    async fn fill(backend: Arc<dyn SessionBackend>, program: &Program) -> Result<Self, Failure> {
        Self::fill_with(backend, program, Somebody::Nowhere).await
    }

    async fn fill_with(
        backend: Arc<dyn SessionBackend>,
        program: &Program,
        somebody: Somebody,
    ) -> Result<Self, Failure> {
        let values = program.values;
        let ids = Numbered::default();
        let manager = SessionManager::builder(Arc::clone(&backend)).ids(ids).build()?;
        let creator = manager.clone();
        parallel(0..program.sessions, move |number| {
            let principal = (somebody == Somebody::InEach).then(|| format!("user-{number:07}"));
            create(creator.clone(), values, principal)
        })
        .await?;
        let first = backend.load(session_id(0), now()).await?.ok_or("no session was created")?;
        let revisions: Arc<[AtomicI64]> = (0..program.sessions).map(|_| AtomicI64::new(0)).collect();
        let (reader, known) = (Arc::clone(&backend), Arc::clone(&revisions));
        parallel(0..program.sessions, move |session| {
            let (reader, known) = (Arc::clone(&reader), Arc::clone(&known));
            async move {
                let record = reader.load(session_id(session), now()).await?.ok_or("a session is missing")?;
                known[usize::try_from(session)?].store(record.revision.as_i64(), Ordering::Relaxed);
                Ok(())
            }
        })
        .await?;
        Ok(Self {
            backend,
            manager,
            revisions,
            next: Arc::new(AtomicU64::new(program.sessions)),
            first_new: Arc::new(AtomicU64::new(program.sessions)),
            template: Template::new(first),
            directory: None,
            writes: 0,
            timed_every: 1,
            server_bytes: 0,
        })
    }

    /// The store itself: an `Arc` of it is a backend, too, and would put each future into one more box.
    fn backend(&self) -> &dyn SessionBackend {
        &*self.backend
    }

    async fn load(&self, session: u64) -> Result<(), Failure> {
        let record = self.backend().load(session_id(session), now()).await?;
        std::hint::black_box(record.ok_or("a session is missing")?);
        Ok(())
    }

    /// Until it succeeds: another task may have been at the session since.
    async fn update(&mut self, session: u64) -> Result<(), Failure> {
        let known = Arc::clone(&self.revisions);
        let known = &known[usize::try_from(session)?];
        self.writes += 1;
        let now = now();
        loop {
            let expected = Revision::from_i64(known.load(Ordering::Relaxed)).ok_or("no revision")?;
            let record = self.template.record(expected.next(0), self.writes, now);
            let revision = record.revision;
            match self.backend().update(session_id(session), expected, record, now).await? {
                UpdateOutcome::Updated => {
                    known.store(revision.as_i64(), Ordering::Relaxed);
                    return Ok(());
                }
                UpdateOutcome::Conflict(current) => known.store(current.revision.as_i64(), Ordering::Relaxed),
                UpdateOutcome::Gone => return Err("a session is gone".into()),
            }
        }
    }

    async fn create(&mut self) -> Result<(), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = now();
        let record = self.template.record(Revision::first(0), number, now);
        match self.backend().create(session_id(number), record, now).await? {
            CreateOutcome::Created => Ok(()),
            CreateOutcome::Occupied(_) => Err("an id came twice".into()),
        }
    }

    async fn read_one(&self, session: u64) -> Result<(), Failure> {
        let token = SessionToken::from_parts(session_id(session), SECRET).expose();
        let session = self.manager.open(Some(&token)).await?;
        let value: Option<String> = session.get(payload::READ)?;
        std::hint::black_box(value.ok_or("a value is missing")?);
        Ok(())
    }
}

impl Store for Sessions {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        let worker = |task| Self { writes: (cell.seed << 20) + (task << 40), ..self.clone() };
        Ok((0..cell.tasks as u64).map(worker).collect())
    }

    fn timed_every(&self) -> u64 {
        self.timed_every
    }

    fn server_bytes(&self) -> u64 {
        self.server_bytes
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        match operation {
            Operation::Load
            | Operation::LoadDuringPurge
            | Operation::LoadDuringIdlePurge
            | Operation::LoadFromDisk => self.load(session).await,
            Operation::Update => self.update(session).await,
            Operation::Create => self.create().await,
            Operation::ReadOne => self.read_one(session).await,
            other => Err(format!("no operation of a store: {other:?}").into()),
        }
    }

    async fn prepare(&self, operation: Operation) -> Result<(), Failure> {
        let first = self.next.load(Ordering::Relaxed);
        self.first_new.store(first, Ordering::Relaxed);
        if operation == Operation::LoadFromDisk {
            evict(self.directory.as_deref().ok_or("no files to evict")?)?;
        }
        if operation == Operation::LoadDuringPurge {
            let (backend, template) = (Arc::clone(&self.backend), self.template.clone());
            let end = self.next.fetch_add(EXPIRED, Ordering::Relaxed) + EXPIRED;
            parallel(first..end, move |number| {
                let (backend, mut record) =
                    (Arc::clone(&backend), template.record(Revision::first(0), number, now()));
                async move {
                    record.expires_at = now().saturating_sub(Duration::from_secs(60 + number % 3600));
                    let _ = backend.create(session_id(number), record, now()).await?;
                    Ok(())
                }
            })
            .await?;
        }
        Ok(())
    }

    fn beside(&self, operation: Operation) -> Option<Beside> {
        if !matches!(operation, Operation::LoadDuringPurge | Operation::LoadDuringIdlePurge) {
            return None;
        }
        let backend = Arc::clone(&self.backend);
        Some(Box::pin(async move {
            // The janitor's batches, without its pauses.
            while backend.purge_expired(now(), 500).await?.more {
                tokio::task::yield_now().await;
            }
            Ok(())
        }))
    }

    async fn clean_up(&self, operation: Operation) -> Result<(), Failure> {
        if operation != Operation::Create {
            return Ok(());
        }
        let created = self.first_new.load(Ordering::Relaxed)..self.next.load(Ordering::Relaxed);
        let backend = Arc::clone(&self.backend);
        parallel(created, move |number| {
            let backend = Arc::clone(&backend);
            async move {
                let _ = backend.delete(session_id(number), None, now()).await?;
                Ok(())
            }
        })
        .await
    }
}

impl Template {
    fn new(record: Record) -> Self {
        let name = format!("\"{}\":", payload::CHANGING);
        let place = record.data.windows(name.len()).position(|window| window == name.as_bytes());
        // Sessions of 4 KiB have no such number: they are only read.
        Self { record, digits: place.map_or(0, |place| place + name.len()) }
    }

    /// A record that differs from every other `write`. Its bytes are its own, as those of a commit are.
    fn record(&self, revision: Revision, write: u64, now: Timestamp) -> Record {
        let mut data = self.record.data.to_vec();
        // Without formatting, which would be much of a write to memory.
        let mut rest = write;
        for digit in data[self.digits + 1..self.digits + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let expires_at = now.saturating_add(Duration::from_secs(24 * 3600));
        Record::new(revision, now, expires_at, self.record.deadline.max(expires_at))
            .with_meta(Bytes::copy_from_slice(&self.record.meta))
            .with_data(data)
    }
}

async fn create(manager: SessionManager, values: Values, principal: Option<String>) -> Result<(), Failure> {
    let session = manager.open(None).await?;
    if let Some(principal) = principal {
        session.sign_in(&principal)?;
    }
    for (key, value) in payload::values(values, 0) {
        session.insert([key.as_str()], value)?;
    }
    let _ = session.commit().await?;
    Ok(())
}

fn session_id(number: u64) -> SessionId {
    SessionId::from_bytes(id(number))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The tokens of sessions number 0, 1, 2...
#[derive(Debug, Default)]
struct Numbered(AtomicU64);

impl IdGenerator for Numbered {
    fn generate(&self) -> session_core::Result<SessionToken> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(SessionToken::from_parts(session_id(number), SECRET))
    }
}
