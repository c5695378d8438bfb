//! The limit of a store in Postgres: prepared statements of sqlx on a plain table, sent over two connections with as
//! many rows in flight as there would be tasks. With one task, one connection and single rows.

use std::sync::Arc;

use bench_harness::{Cell, Failure, Operation, Program, Store, id, payload};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::sync::Mutex;

#[derive(Clone)]
pub(crate) struct RawPostgres {
    connections: Arc<[Mutex<PgConnection>]>,
    /// Which of them is this worker's.
    connection: usize,
    rows: usize,
    sessions: u64,
    data: Arc<[u8]>,
    random: fastrand::Rng,
    writes: i64,
}

const CONNECTIONS: usize = 2;
const EXPIRES_AT: i64 = 4_000_000_000_000;

/// Makes a database for this program, and connects to it.
pub(crate) async fn database(program: &Program) -> Result<(PgConnectOptions, PgConnection), Failure> {
    let options: PgConnectOptions = program.server("POSTGRES")?.parse()?;
    let name = program.database()?;
    let create = AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
    PgConnection::connect_with(&options).await?.execute(sqlx::raw_sql(create)).await?;
    let options = options.database(&name);
    let connection = PgConnection::connect_with(&options).await?;
    Ok((options, connection))
}

/// Does what the server would do by and by after it was filled.
pub(crate) async fn settle(connection: &mut PgConnection) -> Result<(), Failure> {
    connection.execute("VACUUM ANALYZE").await?;
    connection.execute("CHECKPOINT").await?;
    Ok(())
}

impl RawPostgres {
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let data: Arc<[u8]> = serde_json::to_vec(&payload::values(program.values, 0))?.into();
        let (options, mut connection) = database(&program).await?;
        let table = "CREATE TABLE sessions (id bytea NOT NULL PRIMARY KEY, revision bigint NOT NULL, \
                     expires_at bigint NOT NULL, data bytea NOT NULL) WITH (fillfactor = 75)";
        connection.execute(table).await?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Mutex::new(PgConnection::connect_with(&options).await?));
        }
        let random = fastrand::Rng::with_seed(0);
        let sessions = program.sessions;
        let raw = Self {
            connections: connections.into(),
            connection: 0,
            rows: 0,
            sessions,
            data,
            random,
            writes: 0,
        };
        for first in (0..sessions).step_by(1000) {
            let ids = (first..sessions.min(first + 1000)).map(id).collect();
            raw.insert(&mut connection, ids, EXPIRES_AT).await?;
        }
        settle(&mut connection).await?;
        Ok(raw)
    }

    async fn insert(
        &self,
        connection: &mut PgConnection,
        ids: Vec<[u8; 16]>,
        expires_at: i64,
    ) -> Result<(), Failure> {
        let rows = ids.len();
        sqlx::query(
            "INSERT INTO sessions SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[])",
        )
        .bind(ids.iter().map(|id| &id[..]).collect::<Vec<_>>())
        .bind(vec![self.writes; rows])
        .bind(vec![expires_at; rows])
        .bind(vec![&self.data[..]; rows])
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn update(&self, connection: &mut PgConnection, ids: Vec<[u8; 16]>) -> Result<(), Failure> {
        let rows = ids.len();
        sqlx::query(
            "UPDATE sessions s SET revision = b.revision, data = b.data \
             FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS b(id, revision, data) WHERE s.id = b.id",
        )
        .bind(ids.iter().map(|id| &id[..]).collect::<Vec<_>>())
        .bind(vec![self.writes; rows])
        .bind(vec![&self.data[..]; rows])
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn load(&self, connection: &mut PgConnection, ids: Vec<[u8; 16]>) -> Result<(), Failure> {
        let found = sqlx::query("SELECT id, revision, expires_at, data FROM sessions WHERE id = ANY ($1)")
            .bind(ids.iter().map(|id| &id[..]).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
        for row in found {
            std::hint::black_box(row.try_get::<Vec<u8>, _>("data")?);
        }
        Ok(())
    }

    /// The same with one row, which the server finds a little faster.
    async fn one(
        &self,
        connection: &mut PgConnection,
        operation: Operation,
        id: [u8; 16],
    ) -> Result<(), Failure> {
        let (sql, writes) = match operation {
            Operation::Create => ("INSERT INTO sessions VALUES ($1, $2, $3, $4)", true),
            Operation::Update => {
                ("UPDATE sessions SET revision = $2, expires_at = $3, data = $4 WHERE id = $1", true)
            }
            _ => ("SELECT id, revision, expires_at, data FROM sessions WHERE id = $1", false),
        };
        let mut query = sqlx::query(sql).bind(&id[..]);
        if writes {
            let created = i64::from(operation == Operation::Create);
            query = query.bind(self.writes).bind(EXPIRES_AT + created).bind(&self.data[..]);
        }
        if let Some(row) = query.fetch_optional(connection).await? {
            std::hint::black_box(row.try_get::<Vec<u8>, _>("data")?);
        }
        Ok(())
    }
}

impl Store for RawPostgres {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        let count = CONNECTIONS.min(cell.tasks);
        let worker = |connection| {
            Ok(Self {
                connection,
                rows: cell.tasks / count,
                random: fastrand::Rng::with_seed(cell.seed + connection as u64),
                writes: i64::try_from(cell.seed << 32)? + ((connection as i64) << 24),
                ..self.clone()
            })
        };
        (0..count).map(worker).collect()
    }

    async fn operate(&mut self, operation: Operation, _: u64) -> Result<(), Failure> {
        let mut ids: Vec<_> = (0..self.rows)
            .map(|_| match operation {
                // Other numbers than those of the sessions that are there.
                Operation::Create => id(self.random.u64(1 << 63..)),
                _ => id(self.random.u64(..self.sessions)),
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        self.writes += 1;
        let mut connection = self.connections[self.connection].lock().await;
        match operation {
            Operation::Load | Operation::ReadOne | Operation::Update | Operation::Create
                if self.rows == 1 =>
            {
                self.one(&mut connection, operation, ids[0]).await
            }
            Operation::Load | Operation::ReadOne => self.load(&mut connection, ids).await,
            Operation::Update => self.update(&mut connection, ids).await,
            Operation::Create => self.insert(&mut connection, ids, EXPIRES_AT + 1).await,
            other => Err(format!("no operation of a table: {other:?}").into()),
        }
    }

    fn operations_per_call(&self) -> u64 {
        self.rows as u64
    }

    async fn clean_up(&self, operation: Operation) -> Result<(), Failure> {
        if operation == Operation::Create {
            let delete = sqlx::query("DELETE FROM sessions WHERE expires_at > $1").bind(EXPIRES_AT);
            delete.execute(&mut *self.connections[0].lock().await).await?;
        }
        Ok(())
    }
}
