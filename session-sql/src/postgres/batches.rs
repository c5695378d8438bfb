//! The verbs for several sessions at once. Each statement takes its rows as arrays, by id, and tells which of them it
//! has changed; why it has not changed the others is read by a second one, whose snapshot is newer.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome,
};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, SqlStr};

use super::error::Failure;
use super::row::{COLUMNS, live_record, session_id};
use super::table::QualifiedName;
use super::verbs::{Verbs, statement};
use crate::batching::{Batch, Request, Verb};

#[derive(Debug)]
pub(super) struct Load {
    pub(super) id: SessionId,
    pub(super) now: Timestamp,
}

#[derive(Debug)]
pub(super) struct Create {
    pub(super) id: SessionId,
    pub(super) record: Record,
    pub(super) now: Timestamp,
}

#[derive(Debug)]
pub(super) struct Update {
    pub(super) id: SessionId,
    pub(super) expected: Revision,
    pub(super) record: Record,
    pub(super) now: Timestamp,
}

#[derive(Debug)]
pub(super) struct Touch {
    pub(super) id: SessionId,
    pub(super) expires_at: Timestamp,
    pub(super) now: Timestamp,
}

#[derive(Debug)]
pub(super) struct Delete {
    pub(super) id: SessionId,
    pub(super) expected: Option<Revision>,
    pub(super) now: Timestamp,
}

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
                "INSERT INTO {table} ({COLUMNS}) SELECT * FROM unnest({RECORDS}) \
                 ON CONFLICT DO NOTHING RETURNING id"
            )),
            find: statement(format!("SELECT {COLUMNS} FROM {table} WHERE id = ANY ($1)")),
            update: statement(format!(
                "UPDATE {table} AS s SET revision = b.revision, expires_at = b.expires_at, \
                 deadline = b.deadline, touched_at = b.touched_at, principal = b.principal, meta = b.meta, \
                 data = b.data FROM unnest({RECORDS}, $9::bigint[], $10::bigint[]) AS b({COLUMNS}, now, expected) \
                 WHERE s.id = b.id AND s.expires_at > b.now AND s.revision = b.expected RETURNING s.id"
            )),
            touch: statement(format!(
                "UPDATE {table} AS s SET expires_at = LEAST(s.deadline, GREATEST(s.expires_at, b.expires_at)), \
                 touched_at = GREATEST(s.touched_at, b.now) \
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

    /// Which rows of `batch` somebody keeps locked.
    async fn held<R: Request>(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<R>,
    ) -> Result<HashSet<SessionId>, Failure> {
        let ids: Vec<SessionId> = batch.requests().map(Request::id).collect();
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.as_bytes()[..]).collect();
        changed(self.verbs.query(&self.held).bind(ids), connection).await
    }

    /// The rows of these sessions.
    async fn find<R: Request>(
        &self,
        connection: &mut PgConnection,
        requests: impl Iterator<Item = &R>,
    ) -> Result<HashMap<SessionId, PgRow>, Failure> {
        let mut ids: Vec<SessionId> = requests.map(Request::id).collect();
        ids.dedup();
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.as_bytes()[..]).collect();
        let rows = self.verbs.query(&self.find).bind(ids).fetch_all(connection).await?;
        rows.into_iter().map(|row| Ok((session_id(&row)?, row))).collect()
    }

    /// The rows of what is left of `batch`.
    async fn find_left<R: Request>(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<R>,
    ) -> Result<Found, Failure> {
        if batch.requests().len() == 0 {
            return Ok(Found(HashMap::new()));
        }
        self.find(connection, batch.requests()).await.map(Found)
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

/// What a second statement has found of the sessions that the first has left alone.
struct Found(HashMap<SessionId, PgRow>);

impl Found {
    /// The live record of a session, or that there is none. A row that cannot be read is for the verb that takes
    /// one session to judge: an error may be one there and none here.
    fn live(&self, id: SessionId, now: Timestamp) -> Option<Option<Record>> {
        match self.0.get(&id) {
            Some(row) => live_record(row, now).ok(),
            None => Some(None),
        }
    }
}

/// The ids of the rows that a statement has changed, or found.
async fn changed(
    query: Query<'_, Postgres, PgArguments>,
    connection: &mut PgConnection,
) -> Result<HashSet<SessionId>, Failure> {
    query.fetch_all(connection).await?.iter().map(session_id).collect()
}

/// Carries out the calls of one verb.
#[derive(Debug)]
pub(super) struct Batched<R> {
    batches: Arc<Batches>,
    verb: PhantomData<fn(R)>,
}

impl<R> Batched<R> {
    pub(super) fn new(batches: &Arc<Batches>) -> Self {
        Self { batches: Arc::clone(batches), verb: PhantomData }
    }
}

impl Verb for Batched<Load> {
    type Request = Load;
    type Connection = PgConnection;
    type Fault = Failure;

    async fn together(&self, connection: &mut PgConnection, batch: &mut Batch<Load>) -> Result<(), Failure> {
        let rows = self.batches.find(connection, batch.requests()).await?;
        batch.settle(|_, load| {
            let record = rows.get(&load.id).map_or(Ok(None), |row| live_record(row, load.now));
            Some(record.map_err(|failure| failure.error()))
        });
        Ok(())
    }

    async fn alone(&self, connection: &mut PgConnection, load: &Load) -> Result<Option<Record>, Failure> {
        self.batches.verbs.find(connection, load.id, load.now).await
    }
}

impl Verb for Batched<Create> {
    type Request = Create;
    type Connection = PgConnection;
    type Fault = Failure;

    async fn together(
        &self,
        connection: &mut PgConnection,
        batch: &mut Batch<Create>,
    ) -> Result<(), Failure> {
        let records = batch.requests().map(|create| (&create.id, &create.record));
        let created = changed(self.batches.storing(&self.batches.create, records), connection).await?;
        batch.settle(|_, create| created.contains(&create.id).then_some(Ok(CreateOutcome::Created)));
        let found = self.batches.find_left(connection, batch).await?;
        batch.settle(|_, create| match found.live(create.id, create.now) {
            Some(Some(current)) => Some(Ok(CreateOutcome::Occupied(current))),
            // It has expired, or is gone by now: not that anybody else has done what was asked for.
            Some(None) | None => None,
        });
        Ok(())
    }

    async fn alone(&self, connection: &mut PgConnection, create: &Create) -> Result<CreateOutcome, Failure> {
        self.batches.verbs.create(connection, create.id, &create.record, create.now).await
    }
}

impl Verb for Batched<Update> {
    type Request = Update;
    type Connection = PgConnection;
    type Fault = Failure;

    async fn together(
        &self,
        connection: &mut PgConnection,
        batch: &mut Batch<Update>,
    ) -> Result<(), Failure> {
        let updates = batch.requests();
        let records = updates.clone().map(|update| (&update.id, &update.record));
        let statement = self
            .batches
            .storing(&self.batches.update, records)
            .bind(updates.clone().map(|update| update.now.as_millis()).collect::<Vec<_>>())
            .bind(updates.map(|update| update.expected.as_i64()).collect::<Vec<_>>());
        let updated = changed(statement, connection).await?;
        batch.settle(|_, update| updated.contains(&update.id).then_some(Ok(UpdateOutcome::Updated)));
        let found = self.batches.find_left(connection, batch).await?;
        batch.settle(|_, update| match found.live(update.id, update.now)? {
            None => Some(Ok(UpdateOutcome::Gone)),
            Some(current) if current.revision != update.expected => {
                Some(Ok(UpdateOutcome::Conflict(current)))
            }
            // It matches by now.
            Some(_) => None,
        });
        Ok(())
    }

    async fn alone(&self, connection: &mut PgConnection, update: &Update) -> Result<UpdateOutcome, Failure> {
        let Update { id, expected, record, now } = update;
        self.batches.verbs.update(connection, *id, *expected, record, *now).await
    }

    async fn held(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<Update>,
    ) -> Result<HashSet<SessionId>, Failure> {
        self.batches.held(connection, batch).await
    }
}

impl Verb for Batched<Touch> {
    type Request = Touch;
    type Connection = PgConnection;
    type Fault = Failure;

    async fn together(&self, connection: &mut PgConnection, batch: &mut Batch<Touch>) -> Result<(), Failure> {
        let touches = batch.requests();
        let statement = self
            .batches
            .verbs
            .query(&self.batches.touch)
            .bind(touches.clone().map(|touch| &touch.id.as_bytes()[..]).collect::<Vec<_>>())
            .bind(touches.clone().map(|touch| touch.expires_at.as_millis()).collect::<Vec<_>>())
            .bind(touches.map(|touch| touch.now.as_millis()).collect::<Vec<_>>());
        let touched = changed(statement, connection).await?;
        batch.settle(|_, touch| touched.contains(&touch.id).then_some(Ok(true)));
        let found = self.batches.find_left(connection, batch).await?;
        batch.settle(|_, touch| match found.live(touch.id, touch.now)? {
            None => Some(Ok(false)),
            Some(_) => None,
        });
        Ok(())
    }

    async fn alone(&self, connection: &mut PgConnection, touch: &Touch) -> Result<bool, Failure> {
        self.batches.verbs.touch(connection, touch.id, touch.expires_at, touch.now).await
    }

    async fn held(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<Touch>,
    ) -> Result<HashSet<SessionId>, Failure> {
        self.batches.held(connection, batch).await
    }
}

impl Verb for Batched<Delete> {
    type Request = Delete;
    type Connection = PgConnection;
    type Fault = Failure;

    async fn together(
        &self,
        connection: &mut PgConnection,
        batch: &mut Batch<Delete>,
    ) -> Result<(), Failure> {
        let deletes = batch.requests();
        let statement = self
            .batches
            .verbs
            .query(&self.batches.delete)
            .bind(deletes.clone().map(|delete| &delete.id.as_bytes()[..]).collect::<Vec<_>>())
            .bind(deletes.clone().map(|delete| delete.now.as_millis()).collect::<Vec<_>>())
            .bind(deletes.map(|delete| delete.expected.map(Revision::as_i64)).collect::<Vec<_>>());
        let deleted = changed(statement, connection).await?;
        batch.settle(|_, delete| {
            if deleted.contains(&delete.id) {
                return Some(Ok(DeleteOutcome::Deleted));
            }
            delete.expected.is_none().then_some(Ok(DeleteOutcome::Absent))
        });
        let found = self.batches.find_left(connection, batch).await?;
        batch.settle(|_, delete| match found.live(delete.id, delete.now)? {
            None => Some(Ok(DeleteOutcome::Absent)),
            Some(current) if Some(current.revision) != delete.expected => {
                Some(Ok(DeleteOutcome::Conflict(current)))
            }
            Some(_) => None,
        });
        Ok(())
    }

    async fn alone(&self, connection: &mut PgConnection, delete: &Delete) -> Result<DeleteOutcome, Failure> {
        self.batches.verbs.delete(connection, delete.id, delete.expected, delete.now).await
    }

    async fn held(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<Delete>,
    ) -> Result<HashSet<SessionId>, Failure> {
        self.batches.held(connection, batch).await
    }
}

/// What a row takes beside what is counted below.
const ROW_BYTES: usize = 64;

fn bytes_of(record: &Record) -> usize {
    let principal = record.principal.as_ref().map_or(0, |principal| principal.as_str().len());
    ROW_BYTES + principal + record.meta.len() + record.data.len()
}

impl Request for Load {
    type Outcome = Option<Record>;

    const ONLY_READS: bool = true;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        ROW_BYTES
    }
}

impl Request for Create {
    type Outcome = CreateOutcome;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        bytes_of(&self.record)
    }
}

impl Request for Update {
    type Outcome = UpdateOutcome;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        bytes_of(&self.record)
    }
}

impl Request for Touch {
    type Outcome = bool;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        ROW_BYTES
    }
}

impl Request for Delete {
    type Outcome = DeleteOutcome;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        ROW_BYTES
    }
}
