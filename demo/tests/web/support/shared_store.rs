//! A store that several demos serve from at once, under a name of its own on a server that others use too.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, PgConnection};
use tempfile::TempDir;

use super::server::Server;

pub(crate) struct SharedStore {
    url: String,
    leftover: Leftover,
}

/// What is there when the demos are gone.
enum Leftover {
    Directory(#[expect(dead_code, reason = "removed when dropped")] TempDir),
    Table {
        server: String,
        name: String,
    },
    /// Every test signs out.
    Nothing,
}

impl SharedStore {
    pub(crate) fn on_sqlite() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("shared.db").display());
        Some(Self { url, leftover: Leftover::Directory(directory) })
    }

    pub(crate) fn on_postgres() -> Option<Self> {
        Some(Self::in_table(server_in("SESSION_TEST_POSTGRES")?))
    }

    pub(crate) fn on_mariadb() -> Option<Self> {
        Some(Self::in_table(server_in("SESSION_TEST_MARIADB")?))
    }

    fn in_table(server: String) -> Self {
        let name = distinct_name();
        let url = with_option(&server, "table", &name);
        // Opening a connection to Postgres takes a digest of the password thousands of times: few connections, and
        // patience, where all of the tests share two cores.
        let url = with_option(&with_option(&url, "max_connections", "3"), "acquire_timeout", "4500");
        Self { url, leftover: Leftover::Table { server, name } }
    }

    pub(crate) fn on_redis() -> Option<Self> {
        Self::on_prefix_in("SESSION_TEST_REDIS")
    }

    pub(crate) fn on_redis_cluster() -> Option<Self> {
        Self::on_prefix_in("SESSION_TEST_REDIS_CLUSTER")
    }

    pub(crate) fn on_redis_sentinel() -> Option<Self> {
        Self::on_prefix_in("SESSION_TEST_REDIS_SENTINEL")
    }

    pub(crate) fn on_redis_tls() -> Option<Self> {
        Self::on_prefix_in("SESSION_TEST_REDIS_TLS")
    }

    fn on_prefix_in(variable: &str) -> Option<Self> {
        let server = server_in(variable)?;
        Some(Self { url: with_option(&server, "prefix", &distinct_name()), leftover: Leftover::Nothing })
    }

    /// One more process on the store.
    pub(crate) async fn serve(&self, options: &[&str]) -> Server {
        Server::on(&self.url, options).await
    }

    /// Leaves nothing on a server that is not ours.
    pub(crate) async fn discard(self) {
        if let Leftover::Table { server, name } = self.leftover {
            let table = AssertSqlSafe(format!("DROP TABLE {name} CASCADE"));
            if server.starts_with("postgres") {
                PgConnection::connect(&server).await.unwrap().execute(table).await.unwrap();
            } else {
                let mut connection = MySqlConnection::connect(&server).await.unwrap();
                connection.execute(table).await.unwrap();
                let view = AssertSqlSafe(format!("DROP VIEW {name}_json"));
                connection.execute(view).await.unwrap();
            }
        }
    }
}

/// The server's URL; `None` where the caller allows that there is none.
fn server_in(variable: &str) -> Option<String> {
    let url = env::var(variable).ok();
    assert!(url.is_some() || missing_is_allowed(), "{variable} is not set");
    if url.is_none() {
        eprintln!("not run: {variable} is not set");
    }
    url
}

pub(crate) fn missing_is_allowed() -> bool {
    env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1")
}

fn distinct_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("demo_{}_{}", std::process::id(), since.as_nanos())
}

fn with_option(url: &str, name: &str, value: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{name}={value}")
}
