//! A pass of the purge: a transaction that takes what is due and nobody holds, and removes it or files it anew. One
//! statement alone would wait for the rows that others hold, with locks on those before them.

use session_core::Timestamp;
use sqlx::mysql::MySqlRow;
use sqlx::{Executor as _, MySqlConnection, Row as _, SqlStr};

use super::{Statement, Verbs, statement};
use crate::mysql::error::is_deadlock;
use crate::mysql::table::QualifiedName;
use crate::server::{Failure, PASS_ROWS, Pass};

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) take: SqlStr,
    pub(super) remove: SqlStr,
    pub(super) file: SqlStr,
}

/// How often it is done again that was rolled back to let another one pass.
const DEADLOCKS: usize = 16;

/// Whatever the connection's own level: others lock the gaps between rows as well, where new sessions go.
pub(in super::super) const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

impl Statements {
    pub(super) fn new(table: &QualifiedName) -> Self {
        let take = format!(
            "SELECT id, expires_at FROM {table} FORCE INDEX (filed_at) WHERE filed_at <= ? \
             ORDER BY filed_at LIMIT ? FOR UPDATE SKIP LOCKED"
        );
        // By the key: a scan of a small table would meet the rows that others hold. The name `dead` allows the hint.
        let places = ["?"; PASS_ROWS].join(", ");
        let remove = format!(
            "DELETE dead FROM {table} AS dead FORCE INDEX (PRIMARY) WHERE dead.id IN ({places}) AND dead.expires_at <= ?"
        );
        let file =
            format!("UPDATE {table} FORCE INDEX (PRIMARY) SET filed_at = expires_at WHERE id IN ({places})");
        Self { take: statement(take), remove: statement(remove), file: statement(file) }
    }
}

impl Verbs {
    /// Looks at no more than `rows` and [`PASS_ROWS`]. A connection on which it fails is to be closed, which ends the
    /// transaction.
    pub(in super::super) async fn purge(
        &self,
        connection: &mut MySqlConnection,
        now: Timestamp,
        rows: usize,
    ) -> Result<Pass, Failure> {
        let mut deadlocks = 0;
        loop {
            match self.purge_once(connection, now, rows).await {
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
        rows: usize,
    ) -> Result<Pass, sqlx::Error> {
        connection.execute(sqlx::raw_sql(BEGIN)).await?;
        let rows = i64::try_from(rows.min(PASS_ROWS)).unwrap_or(i64::MAX);
        let take = self.query(&self.purge.take).bind(now.as_millis()).bind(rows);
        let due = take.fetch_all(&mut *connection).await?;
        let (mut dead, mut live) = (Vec::new(), Vec::new());
        for row in &due {
            let expires_at: Option<i64> = row.try_get(1)?;
            let is_dead = expires_at.is_some_and(|expires_at| expires_at <= now.as_millis());
            if is_dead { dead.push(row) } else { live.push(row) }
        }
        let mut removed = 0;
        if !dead.is_empty() {
            let remove = self.with_ids(&self.purge.remove, &dead)?.bind(now.as_millis());
            removed = remove.execute(&mut *connection).await?.rows_affected();
        }
        if !live.is_empty() {
            self.with_ids(&self.purge.file, &live)?.execute(&mut *connection).await?;
        }
        connection.execute("COMMIT").await?;
        Ok(Pass { due: due.len(), removed: usize::try_from(removed).unwrap_or(usize::MAX) })
    }

    /// One text for any number, with the last id in the places to spare: to close one that was prepared for this number
    /// keeps the commit waiting for 40 ms, and others for the locks.
    fn with_ids<'q>(&self, sql: &SqlStr, rows: &[&'q MySqlRow]) -> Result<Statement<'q>, sqlx::Error> {
        let mut statement = self.query(sql);
        let last = std::iter::repeat(rows.last()).flatten();
        for row in rows.iter().chain(last).take(PASS_ROWS) {
            statement = statement.bind(row.try_get::<&[u8], _>(0)?);
        }
        Ok(statement)
    }
}
