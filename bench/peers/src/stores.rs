//! tower-sessions with one of its stores. Another of its stores is a constructor more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bench_harness::{Cell, Failure, Operation, Program, RedisDatabase, Store, id, parallel, payload};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, SqlitePool};
use time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::{MemoryStore, SessionStore};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};
use tower_sessions_sqlx_store::{MySqlStore, PostgresStore, SqliteStore};

/// A filled store.
#[derive(Clone)]
pub(crate) struct TowerSessions<S> {
    store: S,
    template: Record,
    next: Arc<AtomicU64>,
    first_new: Arc<AtomicU64>,
    writes: u64,
    timed_every: u64,
    server_bytes: u64,
}

impl TowerSessions<MemoryStore> {
    pub(crate) async fn in_memory(program: Program) -> Result<Self, Failure> {
        Ok(Self { timed_every: 16, ..Self::fill(MemoryStore::default(), &program).await? })
    }
}

impl TowerSessions<MokaStore> {
    pub(crate) async fn in_moka(program: Program) -> Result<Self, Failure> {
        Ok(Self { timed_every: 16, ..Self::fill(MokaStore::new(None), &program).await? })
    }
}

impl TowerSessions<SqliteStore> {
    /// WAL and `synchronous = NORMAL`: what an acknowledged write survives is the same as with our default.
    pub(crate) async fn in_wal(program: Program) -> Result<Self, Failure> {
        let (store, pool) = open(in_wal(&program.directory)).await?;
        let filled = Self::fill(store, &program).await?;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await?;
        Ok(filled)
    }

    /// SQLite's own defaults, which sqlx keeps: `journal_mode = DELETE`, `synchronous = FULL`.
    pub(crate) async fn in_default_sqlite(program: Program) -> Result<Self, Failure> {
        // Filled at the faster setting, and opened again.
        let (store, pool) = open(in_wal(&program.directory)).await?;
        let filled = Self::fill(store, &program).await?;
        pool.close().await;
        let (store, _) = open(options(&program.directory).journal_mode(SqliteJournalMode::Delete)).await?;
        Ok(Self { store, ..filled })
    }
}

impl TowerSessions<PostgresStore> {
    /// A pool at its defaults, in a database of its own.
    pub(crate) async fn in_postgres(program: Program) -> Result<Self, Failure> {
        let options: PgConnectOptions = program.server("POSTGRES")?.parse()?;
        let name = program.database()?;
        let mut connection = PgConnection::connect_with(&options).await?;
        connection.execute(format!("CREATE DATABASE \"{name}\"").as_str()).await?;
        let pool = PgPool::connect_with(options.database(&name)).await?;
        let store = PostgresStore::new(pool.clone());
        store.migrate().await?;
        let filled = Self::fill(store, &program).await?;
        pool.execute("VACUUM ANALYZE").await?;
        pool.execute("CHECKPOINT").await?;
        Ok(filled)
    }
}

impl TowerSessions<MySqlStore> {
    /// A pool at its defaults, in a database of its own.
    pub(crate) async fn in_mariadb(program: Program) -> Result<Self, Failure> {
        let options: MySqlConnectOptions = program.server("MARIADB")?.parse()?;
        let pool = MySqlPool::connect_with(options).await?;
        // Its names are without hyphens.
        let store = MySqlStore::new(pool).with_schema_name(program.database()?.replace('-', "_"))?;
        store.migrate().await?;
        Self::fill(store, &program).await
    }
}

impl TowerSessions<RedisStore<Pool>> {
    /// As many connections as its documentation has.
    pub(crate) async fn in_redis(program: Program) -> Result<Self, Failure> {
        let mut database = RedisDatabase::find(&program).await?;
        let pool = Pool::new(Config::from_url(&database.url)?, None, None, None, 6)?;
        pool.init().await?;
        let filled = Self::fill(RedisStore::new(pool), &program).await?;
        Ok(Self { server_bytes: database.bytes().await?, ..filled })
    }
}

async fn open(options: SqliteConnectOptions) -> Result<(SqliteStore, SqlitePool), Failure> {
    let pool = SqlitePool::connect_with(options).await?;
    let store = SqliteStore::new(pool.clone());
    store.migrate().await?;
    Ok((store, pool))
}

fn in_wal(directory: &Path) -> SqliteConnectOptions {
    options(directory).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
}

fn options(directory: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(directory.join("peer.db")).create_if_missing(true)
}

impl<S: SessionStore + Clone> TowerSessions<S> {
    async fn fill(store: S, program: &Program) -> Result<Self, Failure> {
        let template = Record {
            id: session_id(0),
            data: payload::values(program.values, 0).into_iter().collect(),
            expiry_date: OffsetDateTime::now_utc() + Duration::days(1),
        };
        let (creator, first) = (store.clone(), template.clone());
        parallel(0..program.sessions, move |session| {
            let (creator, mut record) =
                (creator.clone(), Record { id: session_id(session), ..first.clone() });
            async move { Ok(creator.create(&mut record).await?) }
        })
        .await?;
        let next = Arc::new(AtomicU64::new(program.sessions));
        Ok(Self {
            store,
            template,
            first_new: Arc::new(AtomicU64::new(0)),
            next,
            writes: 0,
            timed_every: 1,
            server_bytes: 0,
        })
    }

    async fn load(&self, session: u64) -> Result<Record, Failure> {
        Ok(self.store.load(&session_id(session)).await?.ok_or("a session is missing")?)
    }

    /// Overwrites unseen: this library knows no other write.
    async fn update(&mut self, session: u64) -> Result<(), Failure> {
        self.change();
        self.template.id = session_id(session);
        Ok(self.store.save(&self.template).await?)
    }

    async fn create(&mut self) -> Result<(), Failure> {
        self.change();
        self.template.id = session_id(self.next.fetch_add(1, Ordering::Relaxed));
        let mut record = self.template.clone();
        Ok(self.store.create(&mut record).await?)
    }

    async fn read_one(&self, session: u64) -> Result<(), Failure> {
        let record = self.load(session).await?;
        let value = record.data.get(payload::READ).and_then(|value| value.as_str()).map(str::to_owned);
        std::hint::black_box(value.ok_or("a value is missing")?);
        Ok(())
    }

    fn change(&mut self) {
        self.writes += 1;
        if let Some(value) = self.template.data.get_mut(payload::CHANGING) {
            *value = payload::changed(self.writes);
        }
    }
}

impl<S: SessionStore + Clone> Store for TowerSessions<S> {
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
            Operation::Load => {
                std::hint::black_box(self.load(session).await?);
                Ok(())
            }
            Operation::Update => self.update(session).await,
            Operation::Create => self.create().await,
            Operation::ReadOne => self.read_one(session).await,
            other => Err(format!("no operation of a store: {other:?}").into()),
        }
    }

    async fn prepare(&self, _: Operation) -> Result<(), Failure> {
        self.first_new.store(self.next.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(())
    }

    async fn clean_up(&self, operation: Operation) -> Result<(), Failure> {
        if operation != Operation::Create {
            return Ok(());
        }
        let created = self.first_new.load(Ordering::Relaxed)..self.next.load(Ordering::Relaxed);
        let store = self.store.clone();
        parallel(created, move |number| {
            let store = store.clone();
            async move { Ok(store.delete(&session_id(number)).await?) }
        })
        .await
    }
}

fn session_id(number: u64) -> Id {
    Id(i128::from_be_bytes(id(number)))
}
