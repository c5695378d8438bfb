//! The conformance suite on the driver of a server, which `dialect` tells about.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::{Damage, Harness, Promises, async_trait};
use session_core::{Error, ErrorKind, Result, SessionBackend, SessionId};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::dialect::{self, Backend, Config, Connection, LIST, NAME, SERVER};

/// Where the suite waits no longer for what does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The limits of those who talk to a server that may not answer.
const SHORT: Duration = Duration::from_secs(3);

/// Namespaces are tables of one schema, which MariaDB calls a database.
#[derive(Debug)]
struct Server {
    config: Config,
}

impl Server {
    async fn connect(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(Backend::connect(self.config.clone().with_table(namespace)).await?))
    }

    /// A connection that the driver does not know of.
    async fn raw(&self) -> Result<Connection> {
        Connection::connect_with(&self.config.connection).await.map_err(internal)
    }
}

#[async_trait]
impl Harness for Server {
    fn name(&self) -> &str {
        NAME
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_list()
            .with_purge()
            .with_durability()
            .with_shared_handles()
            .with_processes()
            .with_network()
            .with_scan()
            .with_damage()
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        self.connect(namespace).await
    }

    /// Also those that a `LIKE` would take for it, or that are the name of something beside its table.
    fn similar_namespaces(&self, namespace: &str) -> Vec<String> {
        let all_but_the_last = &namespace[..namespace.len() - 1];
        vec![format!("{namespace}b"), all_but_the_last.to_owned(), format!("{all_but_the_last}_")]
    }

    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    async fn server(&self) -> Result<Option<SocketAddr>> {
        let (host, port) = (self.config.connection.get_host(), self.config.connection.get_port());
        let mut found =
            (host, port).to_socket_addrs().map_err(|error| Error::new(ErrorKind::Config, error))?;
        Ok(found.next())
    }

    async fn open_through(
        &self,
        namespace: &str,
        address: SocketAddr,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        let mut config = self.config.clone().with_table(namespace).with_max_connections(NonZeroU32::MIN);
        config.connection = config.connection.host(&address.ip().to_string()).port(address.port());
        let config = config.with_connect_timeout(SHORT).with_acquire_timeout(SHORT);
        let config = config.with_lock_timeout(SHORT).with_statement_timeout(SHORT);
        Ok(Some(Arc::new(Backend::connect(config).await?)))
    }

    async fn reopen(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    fn process(&self) -> Option<Command> {
        std::env::current_exe().ok().map(Command::new)
    }

    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        let columns = dialect::SCANNED;
        let sql = format!("SELECT {columns} FROM {}", dialect::quoted(namespace));
        let mut connection = self.raw().await?;
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(internal)?;
        let mut pieces = Vec::new();
        for row in rows {
            for column in 0..row.len() {
                let piece: Option<Vec<u8>> = row.try_get(column).map_err(internal)?;
                pieces.extend(piece.map(Bytes::from));
            }
        }
        Ok(Some(pieces))
    }

    async fn damage(&self, namespace: &str, id: SessionId, damage: Damage) -> Result<Option<bool>> {
        let change = match damage {
            Damage::Meta(bytes) => format!("meta = {}", dialect::bytes(&bytes)),
            Damage::Data(bytes) => format!("data = {}", dialect::bytes(&bytes)),
            // No revision is negative.
            Damage::Unreadable => "revision = -1".to_owned(),
            _ => return Ok(None),
        };
        let (table, id) = (dialect::quoted(namespace), dialect::bytes(id.as_bytes()));
        let sql = AssertSqlSafe(format!("UPDATE {table} SET {change} WHERE id = {id}"));
        let result = self.raw().await?.execute(sqlx::raw_sql(sql)).await.map_err(internal)?;
        Ok(Some(result.rows_affected() == 1))
    }

    async fn discard(&self, namespace: &str) {
        let sql = dialect::drop(namespace);
        let dropped = async { self.raw().await?.execute(AssertSqlSafe(sql)).await.map_err(internal) };
        if let Err(error) = dropped.await {
            eprintln!("{namespace} cannot be dropped: {error:?}");
        }
    }
}

fn internal(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Internal, error)
}

pub(crate) fn run() -> ExitCode {
    let Ok(url) = env::var(SERVER) else {
        eprintln!("{SERVER} is not set: no server for the suite on {NAME}");
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        return if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    match Config::from_url(&url) {
        // Cases run side by side, some with several handles, and servers allow 100 connections by default.
        Ok(config) => {
            let few = NonZeroU32::MIN.saturating_add(3);
            let config = config.with_auto_migrate(true).with_max_connections(few);
            // A busy machine is no reason to give up.
            let config = config.with_connect_timeout(PATIENCE).with_acquire_timeout(PATIENCE);
            let config = config.with_lock_timeout(PATIENCE).with_statement_timeout(PATIENCE);
            conformance_tests::run(Server { config }, LIST)
        }
        Err(error) => {
            eprintln!("{SERVER} cannot be used: {error}");
            ExitCode::FAILURE
        }
    }
}
