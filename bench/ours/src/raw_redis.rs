//! The limit of a store in Redis: redis-rs on one connection that carries the commands of all tasks, plain GET and
//! blind SET of the values alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench_harness::{Cell, Failure, Operation, Program, RedisDatabase, Store, id, parallel, payload};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, AsyncConnectionConfig, Client, cmd};

use crate::map::OneValue;

#[derive(Clone)]
pub(crate) struct RawRedis {
    connection: MultiplexedConnection,
    next: Arc<AtomicU64>,
    first_new: Arc<AtomicU64>,
    template: Bytes,
    writes: u8,
    server_bytes: u64,
}

/// For an answer, as ours has it.
const PATIENCE: Duration = Duration::from_secs(4);
/// As long as the other sides' sessions live.
const SECONDS: u32 = 24 * 3600;

impl RawRedis {
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let mut database = RedisDatabase::find(&program).await?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let client = Client::open(database.url.as_str())?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let raw = Self {
            connection,
            next: Arc::new(AtomicU64::new(program.sessions)),
            first_new: Arc::new(AtomicU64::new(program.sessions)),
            template: serde_json::to_vec(&payload::values(program.values, 0))?.into(),
            writes: 0,
            server_bytes: 0,
        };
        let writer = raw.clone();
        parallel(0..program.sessions, move |number| {
            let mut writer = writer.clone();
            async move {
                let values = writer.template.to_vec();
                writer.set(number, values).await
            }
        })
        .await?;
        Ok(Self { server_bytes: database.bytes().await?, ..raw })
    }

    async fn load(&mut self, session: u64) -> Result<Vec<u8>, Failure> {
        let values: Option<Vec<u8>> = self.connection.get(&id(session)).await?;
        Ok(values.ok_or("a session is missing")?)
    }

    async fn write(&mut self, session: u64) -> Result<(), Failure> {
        let mut bytes = self.template.to_vec();
        self.writes = self.writes.wrapping_add(1);
        bytes[0] = self.writes;
        self.set(session, bytes).await
    }

    async fn set(&mut self, session: u64, bytes: Vec<u8>) -> Result<(), Failure> {
        let mut set = cmd("SET");
        set.arg(&id(session)).arg(bytes).arg("EX").arg(SECONDS);
        Ok(set.query_async(&mut self.connection).await?)
    }
}

impl Store for RawRedis {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); cell.tasks])
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        match operation {
            Operation::Load => {
                std::hint::black_box(self.load(session).await?);
                Ok(())
            }
            Operation::ReadOne => {
                let values: OneValue = serde_json::from_slice(&self.load(session).await?)?;
                std::hint::black_box(values.read);
                Ok(())
            }
            Operation::Update => self.write(session).await,
            Operation::Create => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                self.write(number).await
            }
            other => Err(format!("no operation of a Redis: {other:?}").into()),
        }
    }

    fn server_bytes(&self) -> u64 {
        self.server_bytes
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
        let connection = self.connection.clone();
        parallel(created, move |number| {
            let mut connection = connection.clone();
            async move { Ok(connection.del(&id(number)).await?) }
        })
        .await
    }
}
