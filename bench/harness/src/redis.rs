//! A database of a Redis server for one program, and the memory that the server takes for it.

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, cmd};

use crate::{Failure, Program};

/// A database that holds nothing yet. Databases of one server have tables of keys of their own, so what one program
/// stores is measured without another's.
pub struct RedisDatabase {
    /// Leads to it.
    pub url: String,
    connection: MultiplexedConnection,
    used_before: u64,
}

/// How many databases a server has, unless it is configured otherwise.
const DATABASES: u32 = 16;

impl RedisDatabase {
    /// The first empty one of the server's. Programs are started one after the other, each when the former is filled.
    ///
    /// # Errors
    ///
    /// What the server fails with; if none is empty.
    pub async fn find(program: &Program) -> Result<Self, Failure> {
        let server = program.server("REDIS")?;
        let server = server.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        for number in 0..DATABASES {
            let url = format!("{server}/{number}");
            let mut connection = Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
            let keys: u64 = cmd("DBSIZE").query_async(&mut connection).await?;
            if keys == 0 {
                let used_before = used(&mut connection).await?;
                return Ok(Self { url, connection, used_before });
            }
        }
        Err("no database of the Redis server is empty".into())
    }

    /// How many bytes more the server uses than when the database was empty.
    ///
    /// # Errors
    ///
    /// What the server fails with.
    pub async fn bytes(&mut self) -> Result<u64, Failure> {
        Ok(used(&mut self.connection).await?.saturating_sub(self.used_before))
    }
}

/// What the server has allocated.
async fn used(connection: &mut MultiplexedConnection) -> Result<u64, Failure> {
    let memory: String = cmd("INFO").arg("memory").query_async(connection).await?;
    let line = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.ok_or("no `used_memory` in INFO")?.trim().parse()?)
}
