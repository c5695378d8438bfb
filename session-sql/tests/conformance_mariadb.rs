//! The conformance suite on the MySQL driver, against the server in `SESSION_TEST_MARIADB`.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::{Damage, Harness, Promises, async_trait};
use session_core::{Error, ErrorKind, Result, SessionBackend, SessionId};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};

/// The limits of those who talk to a server that may not answer.
const SHORT: Duration = Duration::from_secs(3);

/// Namespaces are tables of one database.
#[derive(Debug)]
struct Mariadb {
    config: MysqlConfig,
}

impl Mariadb {
    async fn connect(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(MysqlBackend::connect(self.config.clone().with_table(namespace)).await?))
    }

    /// A connection that the driver does not know of.
    async fn raw(&self) -> Result<MySqlConnection> {
        MySqlConnection::connect_with(&self.config.connection).await.map_err(internal)
    }
}

#[async_trait]
impl Harness for Mariadb {
    fn name(&self) -> &str {
        "mariadb"
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_list()
            .with_purge()
            .with_durability()
            .with_shared_handles()
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
        Ok(Some(Arc::new(MysqlBackend::connect(config).await?)))
    }

    async fn reopen(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        let sql = format!(
            "SELECT id, CAST(revision AS BINARY), CAST(expires_at AS BINARY), CAST(deadline AS BINARY), \
             CAST(touched_at AS BINARY), principal, meta, data FROM `{namespace}`"
        );
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
        let (change, bytes) = match damage {
            Damage::Meta(bytes) => ("meta = ?", bytes),
            Damage::Data(bytes) => ("data = ?", bytes),
            // No revision is negative.
            Damage::Unreadable => ("revision = -LENGTH(?)", Bytes::from_static(b"x")),
            _ => return Ok(None),
        };
        let sql = format!("UPDATE `{namespace}` SET {change} WHERE id = ?");
        let update = sqlx::query(AssertSqlSafe(sql)).bind(&bytes[..]).bind(&id.as_bytes()[..]);
        let result = update.execute(&mut self.raw().await?).await.map_err(internal)?;
        Ok(Some(result.rows_affected() == 1))
    }

    async fn discard(&self, namespace: &str) {
        let sql = format!("DROP VIEW IF EXISTS `{namespace}_json`; DROP TABLE IF EXISTS `{namespace}`");
        let dropped = async { self.raw().await?.execute(AssertSqlSafe(sql)).await.map_err(internal) };
        if let Err(error) = dropped.await {
            eprintln!("{namespace} cannot be dropped: {error:?}");
        }
    }
}

fn internal(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Internal, error)
}

fn main() -> ExitCode {
    let Ok(url) = env::var("SESSION_TEST_MARIADB") else {
        eprintln!("SESSION_TEST_MARIADB is not set: no server for the suite on mariadb");
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        return if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    match MysqlConfig::from_url(&url) {
        // Cases run side by side, some with several handles, and servers allow 151 connections by default.
        Ok(config) => {
            let few = NonZeroU32::MIN.saturating_add(3);
            let config = config.with_auto_migrate(true).with_max_connections(few);
            conformance_tests::run(Mariadb { config }, "tests/conformance_mariadb.expected")
        }
        Err(error) => {
            eprintln!("SESSION_TEST_MARIADB cannot be used: {error}");
            ExitCode::FAILURE
        }
    }
}
