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
    table: String,
}

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
        Self { take: statement(take), table: table.to_string() }
    }

    /// By the key: a scan of a small table would meet the rows that others hold. The name `dead` allows the hint.
    pub(super) fn remove(&self, ids: usize) -> SqlStr {
        let places = vec!["?"; ids].join(", ");
        statement(format!(
            "DELETE dead FROM {} AS dead FORCE INDEX (PRIMARY) WHERE dead.id IN ({places}) AND dead.expires_at <= ?",
            self.table
        ))
    }
}

impl Verbs {
    /// How many expired rows it removed, of at most `limit`. A connection on which it fails is to be closed, which ends
    /// the transaction.
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
        let rows = take.bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(&mut *connection).await?;
        let mut removed = 0;
        if !rows.is_empty() {
            let mut remove = sqlx::query(self.purge.remove(rows.len())).persistent(false);
            for row in &rows {
                remove = remove.bind(row.try_get::<&[u8], _>(0)?);
            }
            removed = remove.bind(now.as_millis()).execute(&mut *connection).await?.rows_affected();
        }
        connection.execute("COMMIT").await?;
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }
}
