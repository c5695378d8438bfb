//! Replicas of private servers, and the end of their primary.

use std::process::Command;

use sqlx::{Connection, PgConnection, Row};

use crate::private_server::{PASSWORD, PrivateServer};

impl PrivateServer {
    /// One that follows this server under a name, and can be read.
    pub(crate) async fn replica(&self, name: &str) -> Self {
        let mut replica = Self::beside(self.binaries.clone());
        let copied = replica
            .command("pg_basebackup")
            .args(["--host=127.0.0.1", "--username=postgres", "--checkpoint=fast", "--no-sync"])
            .arg(format!("--port={}", self.port))
            .args(["--write-recovery-conf", "--wal-method=stream"])
            .env("PGPASSWORD", PASSWORD)
            .status()
            .unwrap();
        assert!(copied.success());
        replica.run(&[&format!("cluster_name={name}"), "wal_retrieve_retry_interval=100ms"]).await;
        replica
    }

    /// Makes a replica a primary.
    pub(crate) fn promote(&self) {
        let promoted = self.command("pg_ctl").args(["promote", "--no-wait"]).status().unwrap();
        assert!(promoted.success());
    }

    /// Ends the server as a crash of its machine does. Its children notice, except for one that is frozen.
    pub(crate) fn kill(&mut self, frozen: Option<u32>) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        if let Some(frozen) = frozen {
            signal("-KILL", frozen);
        }
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(&self.config().connection).await.unwrap()
    }

    /// The one value that a query has.
    pub(crate) async fn ask<T>(&self, query: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query(query).fetch_one(&mut self.connection().await).await.unwrap().get(0)
    }

    pub(crate) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A URL with several of them, in this order.
pub(crate) fn url_of(servers: &[&PrivateServer], options: &str) -> String {
    let places: Vec<_> = servers.iter().map(|server| server.place()).collect();
    servers[0].url(options).replace(&places[0], &places.join(","))
}

pub(crate) fn signal(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}
