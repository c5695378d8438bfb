//! The conformance suite on this driver.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::{Damage, Harness, Promises, async_trait};
use rusqlite::Connection;
use session_core::{Error, ErrorKind, Result, SessionBackend, SessionId};
use session_sql::sqlite::{SqliteBackend, SqliteConfig};

/// Namespaces are tables. Similar ones are in the same file; others are not, so that cases which run side
/// by side do not wait for each other.
#[derive(Debug)]
struct Sqlite {
    directory: PathBuf,
}

/// Where the suite waits no longer for what does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process that the suite has started finds the files.
const DIRECTORY: &str = "SESSION_SQL_CONFORMANCE_DIRECTORY";

impl Sqlite {
    fn file(&self, namespace: &str) -> PathBuf {
        self.directory.join(&namespace[..12]).with_extension("db")
    }

    async fn connect(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        // A busy machine is no reason to give up.
        let config =
            SqliteConfig::new(self.file(namespace)).with_table(namespace).with_busy_timeout(PATIENCE);
        Ok(Arc::new(SqliteBackend::connect(config).await?))
    }

    /// A connection that the driver does not know of.
    fn raw(&self, namespace: &str) -> Result<Connection> {
        Connection::open(self.file(namespace)).map_err(internal)
    }
}

#[async_trait]
impl Harness for Sqlite {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_list()
            .with_purge()
            .with_durability()
            .with_shared_handles()
            .with_processes()
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

    async fn reopen(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    fn process(&self) -> Option<Command> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.env(DIRECTORY, &self.directory);
        Some(command)
    }

    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        let connection = self.raw(namespace)?;
        let columns = ["id", "revision", "expires_at", "deadline", "touched_at", "principal", "meta", "data"];
        let mut pieces = Vec::new();
        for column in columns {
            let sql =
                format!("SELECT CAST({column} AS BLOB) FROM \"{namespace}\" WHERE {column} IS NOT NULL");
            let mut statement = connection.prepare(&sql).map_err(internal)?;
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).map_err(internal)?;
            for row in rows {
                pieces.push(row.map_err(internal)?.into());
            }
        }
        Ok(Some(pieces))
    }

    async fn damage(&self, namespace: &str, id: SessionId, damage: Damage) -> Result<Option<bool>> {
        let (change, bytes) = match damage {
            Damage::Meta(bytes) => ("meta = ?2", bytes),
            Damage::Data(bytes) => ("data = ?2", bytes),
            // No revision is negative.
            Damage::Unreadable => ("revision = -length(?2)", Bytes::from_static(b"x")),
            _ => return Ok(None),
        };
        let sql = format!("UPDATE \"{namespace}\" SET {change} WHERE id = ?1");
        let changed = self.raw(namespace)?.execute(&sql, (id.as_bytes(), &bytes[..])).map_err(internal)?;
        Ok(Some(changed == 1))
    }
}

fn internal(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Internal, error)
}

fn main() -> ExitCode {
    let run = |directory: &Path| {
        conformance_tests::run(Sqlite { directory: directory.to_owned() }, "tests/conformance.expected")
    };
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return run(Path::new(&directory));
    }
    match tempfile::tempdir() {
        Ok(directory) => run(directory.path()),
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            ExitCode::FAILURE
        }
    }
}
