//! The verbs of the contract as SQL, on a connection. Each statement commits by itself, and each condition
//! stands in the statement that writes: under `read committed` one that has waited for another writer looks
//! again at what that has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Listing, Principal, Record, Revision, SessionId,
    Timestamp, UpdateOutcome,
};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, SqlSafeStr as _, SqlStr};

use super::table::QualifiedName;
use crate::server::{COLUMNS, Failure, Pass, live_record, session_id};

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
    purge: SqlStr,
    /// Up to where purges have gone by the order of expiry since the last one that found nothing more.
    purged_to: AtomicI64,
    list: SqlStr,
    list_of_principal: SqlStr,
    /// Whether connections keep the statements prepared.
    cached: bool,
}

/// A page of a list ends once its payload is over this, however many sessions were asked for.
const PAGE_BYTES: i64 = 4 << 20;

/// How often a verb tries again because the session came or went between its statements.
const ROUNDS: usize = 16;

impl Verbs {
    pub(super) fn new(table: &QualifiedName, cached: bool) -> Self {
        let replace = format!(
            "UPDATE {table} SET revision = $2, expires_at = $3, deadline = $4, touched_at = $5, \
             principal = $6, meta = $7, data = $8, filed_at = LEAST(filed_at, $3) WHERE id = $1 AND expires_at"
        );
        let list = |condition: &str| {
            // Adds up while it goes by id, so that neither side ever holds more than a page.
            statement(format!(
                "SELECT {COLUMNS} FROM (\
                 SELECT {COLUMNS}, size, sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM (\
                 SELECT {COLUMNS}, coalesce(octet_length(meta), 0) + coalesce(octet_length(data), 0) AS size \
                 FROM {table} WHERE id > $1 AND expires_at > $2 AND octet_length(id) = 16{condition}) AS sized \
                 ORDER BY id LIMIT $3) AS page WHERE total - size <= {PAGE_BYTES} ORDER BY id"
            ))
        };
        Self {
            create: statement(format!(
                "INSERT INTO {table} ({COLUMNS}, filed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $3) \
                 ON CONFLICT DO NOTHING"
            )),
            replace_expired: statement(format!("{replace} <= $9")),
            find: statement(format!("SELECT {COLUMNS} FROM {table} WHERE id = $1")),
            update: statement(format!("{replace} > $9 AND revision = $10")),
            // The upper end keeps damaged times out: the arithmetic would make plausible ones of them.
            touch: statement(format!(
                "UPDATE {table} SET expires_at = LEAST(deadline, GREATEST(expires_at, $2)), \
                 touched_at = GREATEST(touched_at, $3), filed_at = LEAST(filed_at, deadline, GREATEST(expires_at, $2)) \
                 WHERE id = $1 AND expires_at > $3 AND expires_at <= {}",
                Timestamp::MAX.as_millis()
            )),
            // Whatever is not dead goes, a row with an expiry that is no time too.
            delete: statement(format!(
                "DELETE FROM {table} WHERE id = $1 AND (expires_at BETWEEN 0 AND $2) IS NOT TRUE"
            )),
            delete_revision: statement(format!(
                "DELETE FROM {table} WHERE id = $1 AND expires_at > $2 AND revision = $3"
            )),
            // The arrays are made once, where a subquery might run again with another result for each row. Rows that
            // others hold are theirs to change or purge. Those of the array are locked, so each is still in its place,
            // unless somebody was at it when the statement began: then it stays for the next one. Partitions have the
            // same places each; only with the partition a place is one row. `IS TRUE` keeps that a filter: as a join it
            // could take the place of the search by `ctid`.
            purge: statement(format!(
                "WITH due AS (SELECT tableoid AS part, ctid AS place, filed_at, expires_at <= $1 AS is_dead \
                 FROM {table} \
                 WHERE filed_at BETWEEN $3 AND $1 ORDER BY filed_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
                 dead AS (DELETE FROM {table} WHERE expires_at <= $1 \
                 AND ctid = ANY (ARRAY(SELECT place FROM due WHERE is_dead)) \
                 AND ((tableoid, ctid) IN (SELECT part, place FROM due)) IS TRUE RETURNING 1), \
                 live AS (UPDATE {table} SET filed_at = expires_at \
                 WHERE ctid = ANY (ARRAY(SELECT place FROM due WHERE is_dead IS NOT TRUE)) \
                 AND ((tableoid, ctid) IN (SELECT part, place FROM due)) IS TRUE) \
                 SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM dead), (SELECT max(filed_at) FROM due)"
            )),
            purged_to: AtomicI64::new(i64::MIN),
            list: list(""),
            list_of_principal: list(" AND principal = $4"),
            cached,
        }
    }

    /// Of its statements only the first inserts, and it is sent again only if it is known to have done nothing.
    pub(super) async fn create(
        &self,
        connection: &mut PgConnection,
        id: SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<CreateOutcome, Failure> {
        for _ in 0..ROUNDS {
            if changed(self.storing(&self.create, &id, record), connection).await? {
                return Ok(CreateOutcome::Created);
            }
            let replace = self.storing(&self.replace_expired, &id, record).bind(now.as_millis());
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
        connection: &mut PgConnection,
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
        connection: &mut PgConnection,
        id: SessionId,
        expected: Revision,
        record: &Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome, Failure> {
        for _ in 0..ROUNDS {
            let update =
                self.storing(&self.update, &id, record).bind(now.as_millis()).bind(expected.as_i64());
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
        connection: &mut PgConnection,
        id: SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        for _ in 0..ROUNDS {
            let touch = self.query(&self.touch).bind(&id.as_bytes()[..]);
            if changed(touch.bind(expires_at.as_millis()).bind(now.as_millis()), connection).await? {
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
        connection: &mut PgConnection,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome, Failure> {
        let Some(expected) = expected else {
            let delete = self.query(&self.delete).bind(&id.as_bytes()[..]).bind(now.as_millis());
            let deleted = changed(delete, connection).await?;
            return Ok(if deleted { DeleteOutcome::Deleted } else { DeleteOutcome::Absent });
        };
        for _ in 0..ROUNDS {
            let delete = self.query(&self.delete_revision).bind(&id.as_bytes()[..]).bind(now.as_millis());
            if changed(delete.bind(expected.as_i64()), connection).await? {
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

    /// A pass of the purge, which looks at no more than `rows`. It goes on where the last one has ended: while somebody
    /// has a snapshot open, the index keeps an entry of every row that was removed, and a pass from the beginning would
    /// go by all of them. Only from the beginning is it known that there is no more.
    pub(super) async fn purge(
        &self,
        connection: &mut PgConnection,
        now: Timestamp,
        rows: usize,
    ) -> Result<Pass, Failure> {
        let from = self.purged_to.load(Ordering::Relaxed);
        let (mut pass, mut to) = self.purge_from(connection, from, now, rows).await?;
        if pass.due < rows && from > i64::MIN {
            let (rest, end) = self.purge_from(connection, i64::MIN, now, rows - pass.due).await?;
            pass.due += rest.due;
            pass.removed += rest.removed;
            to = end;
        }
        let to = to.filter(|_| pass.due >= rows).unwrap_or(i64::MIN);
        self.purged_to.store(to, Ordering::Relaxed);
        Ok(pass)
    }

    /// What was due from a time on, and the latest such time.
    async fn purge_from(
        &self,
        connection: &mut PgConnection,
        from: i64,
        now: Timestamp,
        rows: usize,
    ) -> Result<(Pass, Option<i64>), Failure> {
        let purge = self.query(&self.purge).bind(now.as_millis()).bind(saturated(rows)).bind(from);
        let row = purge.fetch_one(connection).await?;
        let count = |index| Ok::<_, Failure>(usize::try_from(row.try_get::<i64, _>(index)?).unwrap_or(0));
        Ok((Pass { due: count(0)?, removed: count(1)? }, row.try_get(2)?))
    }

    /// A page of live sessions behind `after`, without the damaged ones.
    pub(super) async fn list(
        &self,
        connection: &mut PgConnection,
        principal: Option<&Principal>,
        after: Option<SessionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing, Failure> {
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        let sql = if principal.is_some() { &self.list_of_principal } else { &self.list };
        // One more than wanted tells whether there is more.
        let mut query =
            self.query(sql).bind(after).bind(now.as_millis()).bind(saturated(limit.saturating_add(1)));
        if let Some(principal) = principal {
            query = query.bind(principal.as_str().as_bytes());
        }
        let mut rows = query.fetch_all(connection).await?;
        let is_cut = rows.len() > limit || payload(&rows)? > PAGE_BYTES;
        rows.truncate(limit);
        let next = match rows.last() {
            Some(last) if is_cut => Some(Cursor::after(session_id(last)?)),
            _ => None,
        };
        let mut sessions = Vec::with_capacity(rows.len());
        for row in &rows {
            match session_id(row).and_then(|id| Ok((id, live_record(row, now)?))) {
                Ok((id, Some(record))) => sessions.push((id, record)),
                Ok((_, None)) => {}
                Err(failure) if failure.kind == ErrorKind::Corrupt => {
                    let error = failure.error();
                    tracing::warn!(%error, "a session was left out of a list");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Listing::new(sessions, next))
    }

    pub(super) fn query<'q>(&self, sql: &SqlStr) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql.clone()).persistent(self.cached)
    }

    /// `sql` with the parameters 1 to 8 in the order of [`COLUMNS`].
    fn storing<'q>(
        &self,
        sql: &SqlStr,
        id: &'q SessionId,
        record: &'q Record,
    ) -> Query<'q, Postgres, PgArguments> {
        self.query(sql)
            .bind(&id.as_bytes()[..])
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

/// Whether the statement changed its row.
async fn changed(
    query: Query<'_, Postgres, PgArguments>,
    connection: &mut PgConnection,
) -> Result<bool, Failure> {
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Bytes of `meta` and `data` in the rows, as the statement counts them.
fn payload(rows: &[PgRow]) -> Result<i64, Failure> {
    let mut bytes = 0;
    for row in rows {
        for index in [6, 7] {
            let value: Option<&[u8]> = row.try_get(index)?;
            bytes += value.map_or(0, <[u8]>::len);
        }
    }
    Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn saturated(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn contended() -> Failure {
    Failure::describe(ErrorKind::Contended, "the session came and went between the statements of a verb")
}

#[cfg(test)]
mod tests;
