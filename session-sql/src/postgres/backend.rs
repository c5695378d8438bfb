//! The backend: runs each verb in a task, on a connection of the pool.

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Listing, Principal, Purged, Record, Result, Revision,
    SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::batches::Batches;
use super::config::PostgresConfig;
use super::schema;
use super::table::QualifiedName;
use super::verbs::Verbs;
use crate::home::Home;
use crate::server::{Bounds, Connections, Failure, Hosts, Lanes, Work, pool_options, purge};

/// Sessions in a PostgreSQL database. Clones share its connections.
///
/// What it guarantees and where it ends stands in the [module's documentation](super).
#[derive(Clone, Debug)]
pub struct PostgresBackend {
    connections: Connections<Postgres>,
    batches: Arc<Batches>,
    lanes: Arc<Lanes<Batches>>,
}

impl PostgresBackend {
    /// Connects to the server that `config` describes, or to the first of several that is fit.
    ///
    /// Finds out at once whether it answers, lets the role in, and has the table as it should be.
    ///
    /// # Errors
    ///
    /// - [`Config`](session_core::ErrorKind::Config): no such database, role or password; a right is missing; TLS cannot be
    ///   agreed on; the table's name or a timeout is out of its limits; the table is `UNLOGGED` and `unlogged` is
    ///   off, or the other way round; not called in Tokio's runtime.
    /// - [`SchemaMissing`](session_core::ErrorKind::SchemaMissing): the table is not complete and `auto_migrate` is off;
    ///   or one of that name has other columns.
    /// - [`Unavailable`](session_core::ErrorKind::Unavailable): the server cannot be reached, or takes no connections now; or none
    ///   of several takes writes.
    /// - [`Overloaded`](session_core::ErrorKind::Overloaded): the server has as many connections as it may have.
    /// - [`Timeout`](session_core::ErrorKind::Timeout): it did not answer in time, or somebody held a lock too long.
    pub async fn connect(config: PostgresConfig) -> Result<Self> {
        let table = QualifiedName::parse(&config.table)?;
        let home = Home::choose()?;
        let hosts = prepare(&home, &config, &table).await?;
        let batches = Batches::new(&table, config.statement_cache);
        let bounds = bounds(&config);
        let fresh = hosts.clone();
        let pool =
            pool_options(config.max_connections, bounds, &hosts).after_connect(move |connection, _| {
                let hosts = fresh.clone();
                Box::pin(async move { hosts.check(connection).await })
            });
        Ok(Self::on(Connections::open(bounds, pool, hosts, home), batches))
    }

    /// Works on a pool that the application has, for one budget of connections.
    ///
    /// The pool's own settings hold for its connections, and each lives on the runtime that it was made on.
    /// Which fields of `config` have no effect is said there.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: PgPool, config: PostgresConfig) -> Result<Self> {
        config.check()?;
        let table = QualifiedName::parse(&config.table)?;
        let batches = Batches::new(&table, config.statement_cache);
        let connections = Connections::share(bounds(&config), pool, Home::choose()?);
        connections
            .run_within(PREPARE_TIMEOUT, move |connection| {
                Box::pin(async move {
                    let prepared = make_ready(connection, &table, &config).await;
                    prepared.map_err(Failure::spoiling)
                })
            })
            .await?;
        Ok(Self::on(connections, batches))
    }

    /// Makes the table, its indexes and its view where they are missing; all there, it changes nothing and needs
    /// no right to. Otherwise the role needs `CREATE` on the schema.
    ///
    /// Any number of processes may do it at the same time.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn migrate(config: PostgresConfig) -> Result<()> {
        let table = QualifiedName::parse(&config.table)?;
        prepare(&Home::choose()?, &config.with_auto_migrate(true), &table).await.map(drop)
    }

    fn on(connections: Connections<Postgres>, batches: Batches) -> Self {
        let batches = Arc::new(batches);
        let lanes = Arc::new(Lanes::new(&connections, &batches, BATCH_BYTES));
        Self { connections, batches, lanes }
    }

    async fn run<T: Send + 'static>(
        &self,
        verb: impl for<'c> FnOnce(&'c Verbs, &'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T> {
        let batches = Arc::clone(&self.batches);
        let connections = &self.connections;
        connections
            .run(move |connection| Box::pin(async move { verb(&batches.verbs, connection).await }))
            .await
    }
}

#[async_trait]
impl SessionBackend for PostgresBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.lanes.create(id, record, now).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.lanes.load(id, now).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.lanes.update(id, expected, record, now).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.lanes.touch(id, expires_at, now).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.lanes.delete(id, expected, now).await
    }

    /// In statements that look at no more than 500 rows each, and at no more than `limit` in all: at those that are dead,
    /// and at those that were put off since a purge has met them last. So a call may remove fewer than `limit`, or none,
    /// with more behind them. Rows that somebody else is changing are left for the next call.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        let pass = |rows| self.run(move |verbs, connection| Box::pin(verbs.purge(connection, now, rows)));
        purge(limit, pass).await
    }

    /// Leaves damaged rows out, with a warning for each. A page ends early at 4 MiB of payload.
    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let principal = principal.cloned();
        let after = after.map(|cursor| cursor.session_id()).transpose()?;
        self.run(move |verbs, connection| {
            Box::pin(async move { verbs.list(connection, principal.as_ref(), after, limit, now).await })
        })
        .await
    }
}

fn bounds(config: &PostgresConfig) -> Bounds {
    Bounds {
        queue_capacity: config.queue_capacity,
        acquire_timeout: config.acquire_timeout,
        statement_timeout: config.statement_timeout,
    }
}

/// Finds the server, and makes the table ready on a connection of its own: unlike the pool's, it says why it could
/// not be made.
async fn prepare(home: &Home, config: &PostgresConfig, table: &QualifiedName) -> Result<Hosts<Postgres>> {
    config.check()?;
    let hosts = config.hosts();
    let (config, table) = (config.clone(), table.clone());
    home.run(async move {
        let mut connection = hosts.connect().await?;
        match timeout(PREPARE_TIMEOUT, make_ready(&mut connection, &table, &config)).await {
            Ok(result) => result.map_err(|failure| failure.error())?,
            Err(_) => return Err(hosts.silent()),
        }
        // All is done: how the parting goes changes nothing.
        let _ = timeout(config.connect_timeout, connection.close()).await;
        Ok(hosts)
    })
    .await
}

async fn make_ready(
    connection: &mut PgConnection,
    table: &QualifiedName,
    config: &PostgresConfig,
) -> Result<(), Failure> {
    if config.auto_migrate {
        schema::migrate(connection, table, config.unlogged).await
    } else {
        schema::check(connection, table, config.unlogged).await
    }
}

/// Of the records in a batch.
const BATCH_BYTES: usize = 1 << 20;

/// For the schema: what several processes do at once they do one after the other.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);
