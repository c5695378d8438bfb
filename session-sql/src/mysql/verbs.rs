//! The verbs of the contract as SQL, on a connection. Each statement commits by itself, and each condition stands in
//! the statement that writes, which looks at what is committed last, whatever the isolation level.

use std::sync::Arc;

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Revision, SessionId, Timestamp, UpdateOutcome,
};
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, SqlSafeStr as _, SqlStr};

use super::error::is_duplicate;
use super::packet::PacketLimit;
use super::table::QualifiedName;
use crate::server::{COLUMNS, Failure, live_record};

mod list;
pub(super) mod purge;

/// The statements of one table.
#[derive(Debug)]
pub(super) struct Verbs {
    create: SqlStr,
    replace_expired: SqlStr,
    find: SqlStr,
    update: SqlStr,
    touch: SqlStr,
    delete: SqlStr,
    delete_revision: SqlStr,
    list: list::Statements,
    purge: purge::Statements,
    packet: PacketLimit,
    /// Whether connections keep the statements prepared.
    cached: bool,
}

/// How often a verb tries again because the session came or went between its statements.
const ROUNDS: usize = 16;

pub(super) type Statement<'q> = Query<'q, MySql, MySqlArguments>;

impl Verbs {
    pub(super) fn new(table: &QualifiedName, cached: bool, packet: PacketLimit) -> Self {
        // Columns are set one after the other, each from what the former have become.
        let replace = format!(
            "UPDATE {table} SET revision = ?, expires_at = ?, deadline = ?, touched_at = ?, principal = ?, meta = ?, \
             data = ?, filed_at = LEAST(filed_at, expires_at) WHERE id = ? AND expires_at"
        );
        Self {
            create: statement(format!(
                "INSERT INTO {table} ({COLUMNS}, filed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, expires_at)"
            )),
            replace_expired: statement(format!("{replace} <= ?")),
            find: statement(format!("SELECT {COLUMNS} FROM {table} WHERE id = ?")),
            update: statement(format!("{replace} > ? AND revision = ?")),
            // The upper end keeps damaged times out: the arithmetic would make plausible ones of them.
            touch: statement(format!(
                "UPDATE {table} SET expires_at = LEAST(deadline, GREATEST(expires_at, ?)), \
                 touched_at = GREATEST(touched_at, ?), filed_at = LEAST(filed_at, expires_at) \
                 WHERE id = ? AND expires_at > ? AND expires_at <= {}",
                Timestamp::MAX.as_millis()
            )),
            // Whatever is not dead goes, a row with an expiry that is no time too.
            delete: statement(format!(
                "DELETE FROM {table} WHERE id = ? AND (expires_at BETWEEN 0 AND ?) IS NOT TRUE"
            )),
            delete_revision: statement(format!(
                "DELETE FROM {table} WHERE id = ? AND expires_at > ? AND revision = ?"
            )),
            list: list::Statements::new(table),
            purge: purge::Statements::new(table),
            packet,
            cached,
        }
    }

    /// Of its statements only the first inserts, and it is sent again only if it is known to have done nothing.
    pub(super) async fn create(
        &self,
        connection: &mut MySqlConnection,
        id: SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<CreateOutcome, Failure> {
        self.packet.check(connection, record).await?;
        for _ in 0..ROUNDS {
            let insert = self.bind_record(self.query(&self.create).bind(&id.as_bytes()[..]), record);
            match insert.execute(&mut *connection).await {
                Ok(_) => return Ok(CreateOutcome::Created),
                Err(error) if is_duplicate(&error) => {}
                Err(error) => return Err(error.into()),
            }
            let replace = self.replacing(&self.replace_expired, &id, record).bind(now.as_millis());
            if changed(replace, connection).await? {
                return Ok(CreateOutcome::Created);
            }
            if let Some(current) = self.find(connection, id, now).await? {
                return Ok(CreateOutcome::Occupied(current));
            }
        }
        Err(contended())
    }

    /// The live record of `id`: what `load` answers, and what a write that did not match has met.
    pub(super) async fn find(
        &self,
        connection: &mut MySqlConnection,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<Record>, Failure> {
        match self.query(&self.find).bind(&id.as_bytes()[..]).fetch_optional(connection).await? {
            Some(row) => live_record(&row, now),
            None => Ok(None),
        }
    }

    pub(super) async fn update(
        &self,
        connection: &mut MySqlConnection,
        id: SessionId,
        expected: Revision,
        record: &Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome, Failure> {
        self.packet.check(connection, record).await?;
        for _ in 0..ROUNDS {
            let update =
                self.replacing(&self.update, &id, record).bind(now.as_millis()).bind(expected.as_i64());
            if changed(update, connection).await? {
                return Ok(UpdateOutcome::Updated);
            }
            match self.find(connection, id, now).await? {
                None => return Ok(UpdateOutcome::Gone),
                Some(current) if current.revision != expected => return Ok(UpdateOutcome::Conflict(current)),
                // A touch by a slower clock, or a create, has made it match since.
                Some(_) => {}
            }
        }
        Err(contended())
    }

    pub(super) async fn touch(
        &self,
        connection: &mut MySqlConnection,
        id: SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        for _ in 0..ROUNDS {
            let touch = self.query(&self.touch).bind(expires_at.as_millis()).bind(now.as_millis());
            let touch = touch.bind(&id.as_bytes()[..]).bind(now.as_millis());
            if changed(touch, connection).await? {
                return Ok(true);
            }
            if self.find(connection, id, now).await?.is_none() {
                return Ok(false);
            }
        }
        Err(contended())
    }

    pub(super) async fn delete(
        &self,
        connection: &mut MySqlConnection,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome, Failure> {
        let deleting = |sql| self.query(sql).bind(&id.as_bytes()[..]).bind(now.as_millis());
        let Some(expected) = expected else {
            let deleted = changed(deleting(&self.delete), connection).await?;
            return Ok(if deleted { DeleteOutcome::Deleted } else { DeleteOutcome::Absent });
        };
        for _ in 0..ROUNDS {
            let delete = deleting(&self.delete_revision).bind(expected.as_i64());
            if changed(delete, connection).await? {
                return Ok(DeleteOutcome::Deleted);
            }
            match self.find(connection, id, now).await? {
                None => return Ok(DeleteOutcome::Absent),
                Some(current) if current.revision != expected => return Ok(DeleteOutcome::Conflict(current)),
                Some(_) => {}
            }
        }
        Err(contended())
    }

    pub(super) fn query<'q>(&self, sql: &SqlStr) -> Statement<'q> {
        sqlx::query(sql.clone()).persistent(self.cached)
    }

    /// `sql` with the parameters up to the id: those of the columns, and the condition's first.
    fn replacing<'q>(&self, sql: &SqlStr, id: &'q SessionId, record: &'q Record) -> Statement<'q> {
        self.bind_record(self.query(sql), record).bind(&id.as_bytes()[..])
    }

    /// All columns but the id, in the order of [`COLUMNS`].
    pub(super) fn bind_record<'q>(&self, statement: Statement<'q>, record: &'q Record) -> Statement<'q> {
        statement
            .bind(record.revision.as_i64())
            .bind(record.expires_at.as_millis())
            .bind(record.deadline.as_millis())
            .bind(record.touched_at.as_millis())
            .bind(record.principal.as_ref().map(|principal| principal.as_str().as_bytes()))
            .bind(&record.meta[..])
            .bind(&record.data[..])
    }
}

/// Nothing of a client becomes SQL: what is asserted here holds a checked table name and constants.
pub(super) fn statement(sql: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}

/// Whether the statement met its row: the server counts those that it found, changed or not.
async fn changed(statement: Statement<'_>, connection: &mut MySqlConnection) -> Result<bool, Failure> {
    Ok(statement.execute(connection).await?.rows_affected() == 1)
}

fn contended() -> Failure {
    Failure::describe(ErrorKind::Contended, "the session came and went between the statements of a verb")
}

#[cfg(test)]
mod tests;
