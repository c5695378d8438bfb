//! The verbs for several sessions at once. Each statement takes its rows as arrays, by id, and tells which of them it
//! has changed.

use std::collections::HashSet;

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome,
};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, SqlStr};

use super::table::QualifiedName;
use super::verbs::{Verbs, statement};
use crate::server::{
    COLUMNS, Carries, Changes, Create, Delete, Dialect, Failure, Load, Touch, Update, session_id,
};

/// The statements of one table that take several rows.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) verbs: Verbs,
    create: SqlStr,
    find: SqlStr,
    update: SqlStr,
    touch: SqlStr,
    delete: SqlStr,
    held: SqlStr,
}

impl Batches {
    pub(super) fn new(table: &QualifiedName, cached: bool) -> Self {
        // The parameters 1 to 8 of the statements that store records, in the order of `COLUMNS`.
        const RECORDS: &str = "$1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
                               $6::bytea[], $7::bytea[], $8::bytea[]";
        Self {
            create: statement(format!(
                "INSERT INTO {table} ({COLUMNS}, filed_at) SELECT {COLUMNS}, expires_at \
                 FROM unnest({RECORDS}) AS b({COLUMNS}) ON CONFLICT DO NOTHING RETURNING id"
            )),
            find: statement(format!("SELECT {COLUMNS} FROM {table} WHERE id = ANY ($1)")),
            update: statement(format!(
                "UPDATE {table} AS s SET revision = b.revision, expires_at = b.expires_at, \
                 deadline = b.deadline, touched_at = b.touched_at, principal = b.principal, meta = b.meta, \
                 data = b.data, filed_at = LEAST(s.filed_at, b.expires_at) \
                 FROM unnest({RECORDS}, $9::bigint[], $10::bigint[]) AS b({COLUMNS}, now, expected) \
                 WHERE s.id = b.id AND s.expires_at > b.now AND s.revision = b.expected RETURNING s.id"
            )),
            touch: statement(format!(
                "UPDATE {table} AS s SET expires_at = LEAST(s.deadline, GREATEST(s.expires_at, b.expires_at)), \
                 touched_at = GREATEST(s.touched_at, b.now), \
                 filed_at = LEAST(s.filed_at, s.deadline, GREATEST(s.expires_at, b.expires_at)) \
                 FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS b(id, expires_at, now) \
                 WHERE s.id = b.id AND s.expires_at > b.now AND s.expires_at <= {} RETURNING s.id",
                Timestamp::MAX.as_millis()
            )),
            delete: statement(format!(
                "DELETE FROM {table} AS s \
                 USING unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS b(id, now, expected) \
                 WHERE s.id = b.id AND CASE WHEN b.expected IS NULL \
                 THEN (s.expires_at BETWEEN 0 AND b.now) IS NOT TRUE \
                 ELSE s.expires_at > b.now AND s.revision = b.expected END RETURNING s.id"
            )),
            // The array is made once. The locks that it takes end with the statement.
            held: statement(format!(
                "SELECT id FROM {table} WHERE id = ANY ($1) AND id <> ALL (ARRAY(\
                 SELECT id FROM {table} WHERE id = ANY ($1) FOR UPDATE SKIP LOCKED))"
            )),
            verbs: Verbs::new(table, cached),
        }
    }

    /// `sql` with the parameters 1 to 8 in the order of [`COLUMNS`].
    fn storing<'q>(
        &self,
        sql: &SqlStr,
        records: impl Iterator<Item = (&'q SessionId, &'q Record)> + Clone,
    ) -> Query<'q, Postgres, PgArguments> {
        let times = |time: fn(&Record) -> Timestamp| -> Vec<i64> {
            records.clone().map(|(_, record)| time(record).as_millis()).collect()
        };
        let bytes = |bytes: fn(&'q Record) -> &'q [u8]| -> Vec<&'q [u8]> {
            records.clone().map(|(_, record)| bytes(record)).collect()
        };
        let principals: Vec<Option<&[u8]>> = records
            .clone()
            .map(|(_, record)| record.principal.as_ref().map(|principal| principal.as_str().as_bytes()))
            .collect();
        self.verbs
            .query(sql)
            .bind(records.clone().map(|(id, _)| &id.as_bytes()[..]).collect::<Vec<_>>())
            .bind(records.clone().map(|(_, record)| record.revision.as_i64()).collect::<Vec<_>>())
            .bind(times(|record| record.expires_at))
            .bind(times(|record| record.deadline))
            .bind(times(|record| record.touched_at))
            .bind(principals)
            .bind(bytes(|record| &record.meta))
            .bind(bytes(|record| &record.data))
    }
}

impl Dialect for Batches {
    type Database = Postgres;

    async fn find(&self, connection: &mut PgConnection, ids: &[SessionId]) -> Result<Vec<PgRow>, Failure> {
        Ok(self.verbs.query(&self.find).bind(bytes(ids)).fetch_all(connection).await?)
    }

    async fn held(
        &self,
        connection: &mut PgConnection,
        ids: &[SessionId],
    ) -> Result<HashSet<SessionId>, Failure> {
        changed(self.verbs.query(&self.held).bind(bytes(ids)), connection).await
    }
}

impl Carries<Load> for Batches {
    async fn alone(&self, connection: &mut PgConnection, load: &Load) -> Result<Option<Record>, Failure> {
        self.verbs.find(connection, load.id, load.now).await
    }
}

impl Carries<Create> for Batches {
    async fn alone(&self, connection: &mut PgConnection, create: &Create) -> Result<CreateOutcome, Failure> {
        self.verbs.create(connection, create.id, &create.record, create.now).await
    }
}

impl Changes<Create> for Batches {
    async fn change(
        &self,
        connection: &mut PgConnection,
        creates: &[&Create],
    ) -> Result<HashSet<SessionId>, Failure> {
        let records = creates.iter().map(|create| (&create.id, &create.record));
        changed(self.storing(&self.create, records), connection).await
    }
}

impl Carries<Update> for Batches {
    async fn alone(&self, connection: &mut PgConnection, update: &Update) -> Result<UpdateOutcome, Failure> {
        let Update { id, expected, record, now } = update;
        self.verbs.update(connection, *id, *expected, record, *now).await
    }
}

impl Changes<Update> for Batches {
    async fn change(
        &self,
        connection: &mut PgConnection,
        updates: &[&Update],
    ) -> Result<HashSet<SessionId>, Failure> {
        let records = updates.iter().map(|update| (&update.id, &update.record));
        let update = self
            .storing(&self.update, records)
            .bind(updates.iter().map(|update| update.now.as_millis()).collect::<Vec<_>>())
            .bind(updates.iter().map(|update| update.expected.as_i64()).collect::<Vec<_>>());
        changed(update, connection).await
    }
}

impl Carries<Touch> for Batches {
    async fn alone(&self, connection: &mut PgConnection, touch: &Touch) -> Result<bool, Failure> {
        self.verbs.touch(connection, touch.id, touch.expires_at, touch.now).await
    }
}

impl Changes<Touch> for Batches {
    async fn change(
        &self,
        connection: &mut PgConnection,
        touches: &[&Touch],
    ) -> Result<HashSet<SessionId>, Failure> {
        let touch = self
            .verbs
            .query(&self.touch)
            .bind(touches.iter().map(|touch| &touch.id.as_bytes()[..]).collect::<Vec<_>>())
            .bind(touches.iter().map(|touch| touch.expires_at.as_millis()).collect::<Vec<_>>())
            .bind(touches.iter().map(|touch| touch.now.as_millis()).collect::<Vec<_>>());
        changed(touch, connection).await
    }
}

impl Carries<Delete> for Batches {
    async fn alone(&self, connection: &mut PgConnection, delete: &Delete) -> Result<DeleteOutcome, Failure> {
        self.verbs.delete(connection, delete.id, delete.expected, delete.now).await
    }
}

impl Changes<Delete> for Batches {
    async fn change(
        &self,
        connection: &mut PgConnection,
        deletes: &[&Delete],
    ) -> Result<HashSet<SessionId>, Failure> {
        let delete = self
            .verbs
            .query(&self.delete)
            .bind(deletes.iter().map(|delete| &delete.id.as_bytes()[..]).collect::<Vec<_>>())
            .bind(deletes.iter().map(|delete| delete.now.as_millis()).collect::<Vec<_>>())
            .bind(deletes.iter().map(|delete| delete.expected.map(Revision::as_i64)).collect::<Vec<_>>());
        changed(delete, connection).await
    }
}

fn bytes(ids: &[SessionId]) -> Vec<&[u8]> {
    ids.iter().map(|id| &id.as_bytes()[..]).collect()
}

/// The ids of the rows that a statement has changed, or found.
async fn changed(
    query: Query<'_, Postgres, PgArguments>,
    connection: &mut PgConnection,
) -> Result<HashSet<SessionId>, Failure> {
    query.fetch_all(connection).await?.iter().map(session_id).collect()
}
