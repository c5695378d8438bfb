//! The purge: a transaction that takes what nobody holds and removes it. One statement alone would wait for the rows
//! that others hold, with locks on those before them.

use session_core::Timestamp;
use sqlx::{Executor as _, MySqlConnection, Row as _, SqlStr};

use super::{Verbs, statement};
use crate::mysql::error::is_deadlock;
use crate::mysql::table::QualifiedName;
use crate::server::Failure;

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) take: SqlStr,
    pub(super) remove: SqlStr,
}

/// How many rows a transaction removes at most.
pub(in super::super) const CHUNK: usize = 500;

/// How often it is done again that was rolled back to let another one pass.
const DEADLOCKS: usize = 16;

/// Whatever the connection's own level: others lock the gaps between rows as well, where new sessions go.
pub(in super::super) const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

impl Statements {
    pub(super) fn new(table: &QualifiedName) -> Self {
        let take = format!(
            "SELECT id FROM {table} FORCE INDEX (purge_slot) WHERE purge_slot <= ? AND expires_at <= ? \
             ORDER BY purge_slot LIMIT ? FOR UPDATE SKIP LOCKED"
        );
        // By the key: a scan of a small table would meet the rows that others hold. The name `dead` allows the hint.
        let places = ["?"; CHUNK].join(", ");
        let remove = format!(
            "DELETE dead FROM {table} AS dead FORCE INDEX (PRIMARY) WHERE dead.id IN ({places}) AND dead.expires_at <= ?"
        );
        Self { take: statement(take), remove: statement(remove) }
    }
}

impl Verbs {
    /// How many expired rows it removed, of at most `limit` and [`CHUNK`]. A connection on which it fails is to be
    /// closed, which ends the transaction.
    pub(in super::super) async fn purge(
        &self,
        connection: &mut MySqlConnection,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, Failure> {
        let mut deadlocks = 0;
        loop {
            match self.purge_once(connection, now, limit).await {
                Err(error) if is_deadlock(&error) && deadlocks < DEADLOCKS => deadlocks += 1,
                result => {
                    return result.map_err(|error| Failure::from(error).spoiling());
                }
            }
        }
    }

    async fn purge_once(
        &self,
        connection: &mut MySqlConnection,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, sqlx::Error> {
        connection.execute(sqlx::raw_sql(BEGIN)).await?;
        // The slots of the table are of 2^20 milliseconds.
        let take = self.query(&self.purge.take).bind(now.as_millis() >> 20).bind(now.as_millis());
        let limit = i64::try_from(limit.min(CHUNK)).unwrap_or(i64::MAX);
        let rows = take.bind(limit).fetch_all(&mut *connection).await?;
        let mut removed = 0;
        if let Some(last) = rows.last() {
            // One text for any number, with the last id in the places to spare: to close one that was prepared for this
            // number keeps the commit waiting for 40 ms, and others for the locks.
            let mut remove = self.query(&self.purge.remove);
            for row in rows.iter().chain(std::iter::repeat(last)).take(CHUNK) {
                remove = remove.bind(row.try_get::<&[u8], _>(0)?);
            }
            removed = remove.bind(now.as_millis()).execute(&mut *connection).await?.rows_affected();
        }
        connection.execute("COMMIT").await?;
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }
}
