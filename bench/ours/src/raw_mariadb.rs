//! The limit of a store in MariaDB: prepared statements of sqlx on a plain table, sent over two connections with as
//! many rows in flight as there would be tasks. With one task, one connection and single rows.

use std::sync::Arc;

use bench_harness::{Cell, Failure, Operation, Program, Store, id, payload};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};
use tokio::sync::Mutex;

#[derive(Clone)]
pub(crate) struct RawMariadb {
    connections: Arc<[Mutex<MySqlConnection>]>,
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

/// Makes a database for this program, and says how to connect to it.
pub(crate) async fn database(program: &Program) -> Result<MySqlConnectOptions, Failure> {
    let options: MySqlConnectOptions = program.server("MARIADB")?.parse()?;
    let name = program.database()?;
    let create = AssertSqlSafe(format!("CREATE DATABASE `{name}`"));
    MySqlConnection::connect_with(&options).await?.execute(sqlx::raw_sql(create)).await?;
    Ok(options.database(&name))
}

impl RawMariadb {
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let data: Arc<[u8]> = serde_json::to_vec(&payload::values(program.values, 0))?.into();
        let options = database(&program).await?;
        let mut connection = MySqlConnection::connect_with(&options).await?;
        let table = "CREATE TABLE sessions (id BINARY(16) NOT NULL PRIMARY KEY, revision BIGINT NOT NULL, \
                     expires_at BIGINT NOT NULL, data LONGBLOB NOT NULL)";
        connection.execute(table).await?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Mutex::new(MySqlConnection::connect_with(&options).await?));
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
        Ok(raw)
    }

    async fn insert(
        &self,
        connection: &mut MySqlConnection,
        ids: Vec<[u8; 16]>,
        expires_at: i64,
    ) -> Result<(), Failure> {
        let rows = vec!["(?, ?, ?, ?)"; ids.len()].join(", ");
        let mut insert = sqlx::query(AssertSqlSafe(format!("INSERT INTO sessions VALUES {rows}")));
        for id in &ids {
            insert = insert.bind(&id[..]).bind(self.writes).bind(expires_at).bind(&self.data[..]);
        }
        insert.execute(connection).await?;
        Ok(())
    }

    async fn update(&self, connection: &mut MySqlConnection, ids: Vec<[u8; 16]>) -> Result<(), Failure> {
        let places = vec!["?"; ids.len()].join(", ");
        let value = format!("ELT(FIELD(id, {places}), {places})");
        let mut update = sqlx::query(AssertSqlSafe(format!(
            "UPDATE sessions SET revision = {value}, data = {value} WHERE id IN ({places})"
        )));
        let bind_ids =
            |query| ids.iter().fold(query, |query: sqlx::query::Query<'_, _, _>, id| query.bind(&id[..]));
        update = bind_ids(update);
        for _ in &ids {
            update = update.bind(self.writes);
        }
        update = bind_ids(update);
        for _ in &ids {
            update = update.bind(&self.data[..]);
        }
        bind_ids(update).execute(connection).await?;
        Ok(())
    }

    async fn load(&self, connection: &mut MySqlConnection, ids: Vec<[u8; 16]>) -> Result<(), Failure> {
        let places = vec!["?"; ids.len()].join(", ");
        let sql = format!("SELECT id, revision, expires_at, data FROM sessions WHERE id IN ({places})");
        let select = ids.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(&id[..]));
        for row in select.fetch_all(connection).await? {
            std::hint::black_box(row.try_get::<Vec<u8>, _>("data")?);
        }
        Ok(())
    }

    /// The same with one row, which the server finds a little faster.
    async fn one(
        &self,
        connection: &mut MySqlConnection,
        operation: Operation,
        id: [u8; 16],
    ) -> Result<(), Failure> {
        match operation {
            Operation::Create => {
                let insert = sqlx::query("INSERT INTO sessions VALUES (?, ?, ?, ?)").bind(&id[..]);
                let insert = insert.bind(self.writes).bind(EXPIRES_AT + 1).bind(&self.data[..]);
                insert.execute(connection).await?;
            }
            Operation::Update => {
                let update =
                    sqlx::query("UPDATE sessions SET revision = ?, expires_at = ?, data = ? WHERE id = ?");
                let update = update.bind(self.writes).bind(EXPIRES_AT).bind(&self.data[..]);
                update.bind(&id[..]).execute(connection).await?;
            }
            _ => {
                let select = sqlx::query("SELECT id, revision, expires_at, data FROM sessions WHERE id = ?");
                let row = select.bind(&id[..]).fetch_one(connection).await?;
                std::hint::black_box(row.try_get::<Vec<u8>, _>("data")?);
            }
        }
        Ok(())
    }
}

impl Store for RawMariadb {
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
            let delete = sqlx::query("DELETE FROM sessions WHERE expires_at > ?").bind(EXPIRES_AT);
            delete.execute(&mut *self.connections[0].lock().await).await?;
        }
        Ok(())
    }
}
