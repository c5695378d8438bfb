//! The verbs for several sessions at once. The server tells of an `UPDATE` or `DELETE` only how many rows it has met. An
//! update's own revision tells which, if not all; for the others a transaction locks the rows, decides by what it has
//! read which of them match, and changes those. `docs/adr/0015-batches-on-mariadb-are-transactions.md` says why.

use std::collections::{HashMap, HashSet};
use std::fmt;

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Result, SessionId, Timestamp, UpdateOutcome,
};
use sqlx::mysql::MySqlRow;
use sqlx::{Encode, Executor as _, MySql, MySqlConnection, SqlStr, Type};

use super::error::is_duplicate;
use super::packet::PacketLimit;
use super::table::QualifiedName;
use super::verbs::purge::BEGIN;
use super::verbs::{Statement, Verbs, statement};
use crate::batching::{Fault as _, Remedy, Request};
use crate::server::{
    COLUMNS, Carries, Changes, Columns as _, Create, Delete, Dialect, Failure, Load, Touch, Update, Write,
    session_id,
};

/// The statements of one table that take several rows.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) verbs: Verbs,
    insert: Sizes,
    find: Sizes,
    there: Sizes,
    lock: Sizes,
    revisions: Sizes,
    unheld: Sizes,
    update: Sizes,
    touch: Sizes,
    remove: Sizes,
}

/// One statement for each of some numbers of places: connections keep what they have prepared, a bounded number.
struct Sizes(Vec<(usize, SqlStr)>);

/// As many as a batch has at most, and each half of that.
const SIZES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// What sets an expiry ends with this, which sees the new one: a purge is to find the session by then.
const FILED: &str = "filed_at = LEAST(filed_at, expires_at)";

/// What an update sets, in the order in which its values are bound.
const VALUES: [&str; 7] = ["revision", "expires_at", "deadline", "touched_at", "principal", "meta", "data"];

impl Batches {
    /// The index is named throughout: whoever scans a small table locks rows, or waits for rows, that are not asked for,
    /// and in another order than by id.
    pub(super) fn new(table: &QualifiedName, cached: bool, packet: PacketLimit) -> Self {
        let select = |what: &str, end: &str| {
            Sizes::new(|places| {
                format!("SELECT {what} FROM {table} FORCE INDEX (PRIMARY) WHERE id IN ({places}){end}")
            })
        };
        // The value at the id's place. For the numbers it comes as text; comparing needs a number.
        let value = |places: &str| format!("ELT(FIELD(id, {places}), {places})");
        let number = |places: &str| format!("CAST({} AS SIGNED)", value(places));
        let update = |places: &str, values: &str| {
            format!("UPDATE {table} FORCE INDEX (PRIMARY) SET {values} WHERE id IN ({places})")
        };
        Self {
            insert: Sizes::new(|places| {
                let rows = places.replace('?', "(?, ?, ?, ?, ?, ?, ?, ?, expires_at)");
                format!("INSERT INTO {table} ({COLUMNS}, filed_at) VALUES {rows}")
            }),
            find: select(COLUMNS, ""),
            there: select("id", ""),
            lock: select("id, revision, expires_at", " ORDER BY id FOR UPDATE"),
            revisions: select("id, revision", ""),
            unheld: select("id", " ORDER BY id FOR UPDATE SKIP LOCKED"),
            update: Sizes::new(|places| {
                let values = VALUES.map(|column| format!("{column} = {}", value(places)));
                let update = update(places, &format!("{}, {FILED}", values.join(", ")));
                let number = number(places);
                format!("{update} AND expires_at > {number} AND revision = {number}")
            }),
            touch: Sizes::new(|places| {
                let number = number(places);
                let values = format!(
                    "expires_at = LEAST(deadline, GREATEST(expires_at, {number})), \
                     touched_at = GREATEST(touched_at, {number}), {FILED}"
                );
                update(places, &values)
            }),
            // The name `gone` allows the hint.
            remove: Sizes::new(|places| {
                format!("DELETE gone FROM {table} AS gone FORCE INDEX (PRIMARY) WHERE gone.id IN ({places})")
            }),
            verbs: Verbs::new(table, cached, packet),
        }
    }

    /// Every statement, in the size of so many.
    #[cfg(test)]
    pub(super) fn with_places(&self, count: usize) -> impl Iterator<Item = &SqlStr> {
        let Self { verbs: _, insert: _, find, there, lock, revisions, unheld, update, touch, remove } = self;
        let all = [find, there, lock, revisions, unheld, update, touch, remove];
        all.into_iter().map(move |sizes| sizes.of(count).1)
    }

    /// `sql` for these ids, with places to spare.
    fn query<'q>(&self, sql: &Sizes, ids: &'q [SessionId]) -> Places<'q> {
        let (size, sql) = sql.of(ids.len());
        Places { statement: self.verbs.query(sql), ids, spare: size.saturating_sub(ids.len()) }
    }

    /// The ids that a statement finds among these.
    async fn ids(
        &self,
        connection: &mut MySqlConnection,
        sql: &Sizes,
        ids: &[SessionId],
    ) -> Result<HashSet<SessionId>, Failure> {
        let rows = self.query(sql, ids).ids().statement.fetch_all(connection).await?;
        rows.iter().map(session_id).collect()
    }

    /// Inserts all, or fails. The transaction is to be ended.
    async fn insert(&self, connection: &mut MySqlConnection, creates: &[&Create]) -> Result<(), sqlx::Error> {
        connection.execute(sqlx::raw_sql(BEGIN)).await?;
        let mut rest = creates;
        while !rest.is_empty() {
            // There is no row to fill a place with: as many as a statement has places, then the rest.
            let (size, sql) = self.insert.within(rest.len());
            let (creates, others) = rest.split_at(size);
            let insert = creates.iter().fold(self.verbs.query(sql), |insert, create| {
                self.verbs.bind_record(insert.bind(&create.id.as_bytes()[..]), &create.record)
            });
            insert.execute(&mut *connection).await?;
            rest = others;
        }
        Ok(())
    }

    /// Updates the rows that match. The transaction is to be ended.
    async fn update_matching(
        &self,
        connection: &mut MySqlConnection,
        updates: &[&Update],
    ) -> Result<HashSet<SessionId>, Failure> {
        connection.execute(sqlx::raw_sql(BEGIN)).await?;
        let ids: Vec<SessionId> = updates.iter().map(|update| update.id).collect();
        let updated = self.update(updates, &ids).execute(&mut *connection).await?.rows_affected();
        if updated == ids.len() as u64 {
            return Ok(ids.into_iter().collect());
        }
        // What it has changed stays locked until the end, and shows by its revision.
        let rows = self.query(&self.revisions, &ids).ids().statement.fetch_all(connection).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            found.insert(session_id(row)?, row.integer(1)?);
        }
        let is_there = |update: &&&Update| {
            found.get(&update.id).is_some_and(|revision| *revision == Some(update.record.revision.as_i64()))
        };
        let there: HashSet<SessionId> = updates.iter().filter(is_there).map(|update| update.id).collect();
        if there.len() as u64 == updated {
            return Ok(there);
        }
        let detail = "a session had the revision already that an update brings";
        Err(Failure::describe(ErrorKind::Internal, detail).with_remedy(Remedy::Singly))
    }

    /// The statement for these updates, whose ids these are.
    fn update<'q>(&self, updates: &[&'q Update], ids: &'q [SessionId]) -> Statement<'q> {
        let records = updates.iter().map(|update| &update.record);
        let numbers = |places: Places<'q>, number: fn(&Record) -> i64| {
            places.ids().values(records.clone().map(|record| Some(number(record))))
        };
        let bytes = |places: Places<'q>, bytes: fn(&'q Record) -> Option<&'q [u8]>| {
            places.ids().values(records.clone().map(bytes))
        };
        let places = self.query(&self.update, ids);
        let places = numbers(places, |record| record.revision.as_i64());
        let places = numbers(places, |record| record.expires_at.as_millis());
        let places = numbers(places, |record| record.deadline.as_millis());
        let places = numbers(places, |record| record.touched_at.as_millis());
        let places = bytes(places, |record| record.principal.as_ref().map(|name| name.as_str().as_bytes()));
        let places = bytes(places, |record| Some(&record.meta));
        let places = bytes(places, |record| Some(&record.data));
        let places = places.ids();
        let places = places.ids().values(updates.iter().map(|update| Some(update.now.as_millis())));
        places.ids().values(updates.iter().map(|update| Some(update.expected.as_i64()))).statement
    }

    /// Locks the rows of `calls` and changes those that match. The transaction is to be ended.
    async fn change_locked<C: Locking>(
        &self,
        connection: &mut MySqlConnection,
        calls: &[&C],
    ) -> Result<HashSet<SessionId>, Failure> {
        connection.execute(sqlx::raw_sql(BEGIN)).await?;
        let ids: Vec<SessionId> = calls.iter().map(|call| call.id()).collect();
        let rows = self.query(&self.lock, &ids).ids().statement.fetch_all(&mut *connection).await?;
        let mut locked = HashMap::with_capacity(rows.len());
        for row in &rows {
            locked
                .insert(session_id(row)?, Locked { revision: row.integer(1)?, expires_at: row.integer(2)? });
        }
        let is_match = |call: &&&C| locked.get(&call.id()).is_some_and(|row| call.matches(row));
        let calls: Vec<&C> = calls.iter().filter(is_match).copied().collect();
        if !calls.is_empty() {
            let ids: Vec<SessionId> = calls.iter().map(|call| call.id()).collect();
            C::change(self, &calls, &ids).execute(connection).await?;
        }
        Ok(calls.iter().map(|call| call.id()).collect())
    }
}

/// Commits what has succeeded, and takes back what has not.
async fn end<T>(connection: &mut MySqlConnection, result: Result<T, Failure>) -> Result<T, Failure> {
    let failure = match result {
        Ok(done) => {
            return match connection.execute("COMMIT").await.map_err(Failure::from) {
                Ok(_) => Ok(done),
                // A cluster has rolled it back, and says so.
                Err(failure) if failure.remedy() == Remedy::Again => Err(failure),
                Err(failure) => Err(failure.with_remedy(Remedy::None).spoiling()),
            };
        }
        Err(failure) => failure,
    };
    if !failure.spoils_connection {
        connection.execute("ROLLBACK").await.map_err(|error| Failure::from(error).spoiling())?;
    }
    Err(failure)
}

impl Sizes {
    /// Of `sql` with so many places in a list.
    fn new(sql: impl Fn(&str) -> String) -> Self {
        Self(SIZES.map(|size| (size, statement(sql(&vec!["?"; size].join(", "))))).into())
    }

    /// The largest that takes no more than so many.
    fn within(&self, count: usize) -> (usize, &SqlStr) {
        let sizes = self.0.iter().rfind(|(size, _)| *size <= count).or(self.0.first());
        sizes.map_or_else(|| unreachable!("there are sizes"), |(size, sql)| (*size, sql))
    }

    /// The smallest that takes so many, and how many it takes.
    fn of(&self, count: usize) -> (usize, &SqlStr) {
        let sizes = self.0.iter().find(|(size, _)| *size >= count).or(self.0.last());
        sizes.map_or_else(|| unreachable!("there are sizes"), |(size, sql)| (*size, sql))
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(sizes) = self;
        // The others say the same with more places.
        f.debug_tuple("Sizes").field(&sizes.first()).finish()
    }
}

/// A statement with lists of as many places as its size.
struct Places<'q> {
    statement: Statement<'q>,
    ids: &'q [SessionId],
    spare: usize,
}

impl<'q> Places<'q> {
    /// The ids, the last one in the places to spare as well.
    fn ids(mut self) -> Self {
        let last = std::iter::repeat_n(self.ids.last(), self.spare).flatten();
        for id in self.ids.iter().chain(last) {
            self.statement = self.statement.bind(&id.as_bytes()[..]);
        }
        self
    }

    /// A value for each id. Those to spare belong to none: an id has its first place.
    fn values<T>(mut self, values: impl Iterator<Item = Option<T>>) -> Self
    where
        Option<T>: Encode<'q, MySql> + Type<MySql> + 'q,
    {
        let spare = std::iter::repeat_with(|| None).take(self.spare);
        for value in values.chain(spare) {
            self.statement = self.statement.bind(value);
        }
        self
    }
}

/// What decides whether a row matches.
struct Locked {
    revision: Option<i64>,
    expires_at: Option<i64>,
}

impl Locked {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at > now.as_millis())
    }
}

/// A call whose row is locked before it is changed.
trait Locking: Request {
    /// As the condition of the statement for one session.
    fn matches(&self, row: &Locked) -> bool;

    /// The statement for calls that match, whose ids these are.
    fn change<'q>(batches: &Batches, calls: &[&'q Self], ids: &'q [SessionId]) -> Statement<'q>;
}

impl Locking for Touch {
    fn matches(&self, row: &Locked) -> bool {
        let is_time = row.expires_at.is_some_and(|expires_at| expires_at <= Timestamp::MAX.as_millis());
        row.is_live(self.now) && is_time
    }

    fn change<'q>(batches: &Batches, calls: &[&'q Self], ids: &'q [SessionId]) -> Statement<'q> {
        let places = batches.query(&batches.touch, ids);
        let places = places.ids().values(calls.iter().map(|touch| Some(touch.expires_at.as_millis())));
        places.ids().values(calls.iter().map(|touch| Some(touch.now.as_millis()))).ids().statement
    }
}

impl Locking for Delete {
    fn matches(&self, row: &Locked) -> bool {
        match self.expected {
            Some(expected) => row.is_live(self.now) && row.revision == Some(expected.as_i64()),
            // Whatever is not dead goes, a row with an expiry that is no time too.
            None => !row.expires_at.is_some_and(|expiry| (0..=self.now.as_millis()).contains(&expiry)),
        }
    }

    fn change<'q>(batches: &Batches, _: &[&'q Self], ids: &'q [SessionId]) -> Statement<'q> {
        batches.query(&batches.remove, ids).ids().statement
    }
}

impl Dialect for Batches {
    type Database = MySql;

    async fn find(
        &self,
        connection: &mut MySqlConnection,
        ids: &[SessionId],
    ) -> Result<Vec<MySqlRow>, Failure> {
        Ok(self.query(&self.find, ids).ids().statement.fetch_all(connection).await?)
    }

    /// The locks end with the statement that takes them.
    async fn held(
        &self,
        connection: &mut MySqlConnection,
        ids: &[SessionId],
    ) -> Result<HashSet<SessionId>, Failure> {
        let there = self.ids(connection, &self.there, ids).await?;
        let unheld = self.ids(connection, &self.unheld, ids).await?;
        Ok(&there - &unheld)
    }
}

impl<C: Locking + Write> Changes<C> for Batches
where
    Self: Carries<C>,
{
    async fn change(
        &self,
        connection: &mut MySqlConnection,
        calls: &[&C],
    ) -> Result<HashSet<SessionId>, Failure> {
        let result = self.change_locked(connection, calls).await;
        end(connection, result).await
    }
}

impl Changes<Update> for Batches {
    async fn change(
        &self,
        connection: &mut MySqlConnection,
        updates: &[&Update],
    ) -> Result<HashSet<SessionId>, Failure> {
        let result = self.update_matching(connection, updates).await;
        end(connection, result).await
    }
}

impl Changes<Create> for Batches {
    /// All at once unless some are there already, and those that are not then.
    async fn change(
        &self,
        connection: &mut MySqlConnection,
        creates: &[&Create],
    ) -> Result<HashSet<SessionId>, Failure> {
        let mut creates = creates.to_vec();
        for _ in 0..2 {
            let inserted = self.insert(connection, &creates).await;
            let is_duplicate = inserted.as_ref().is_err_and(is_duplicate);
            match end(connection, inserted.map_err(Failure::from)).await {
                Ok(()) => return Ok(creates.iter().map(|create| create.id).collect()),
                Err(failure) if is_duplicate && !failure.spoils_connection => {}
                Err(failure) => return Err(failure),
            }
            let ids: Vec<SessionId> = creates.iter().map(|create| create.id).collect();
            let there = self.ids(connection, &self.there, &ids).await?;
            creates.retain(|create| !there.contains(&create.id));
            if creates.is_empty() {
                break;
            }
        }
        Ok(HashSet::new())
    }
}

impl Carries<Load> for Batches {
    async fn alone(&self, connection: &mut MySqlConnection, load: &Load) -> Result<Option<Record>, Failure> {
        self.verbs.find(connection, load.id, load.now).await
    }
}

impl Carries<Create> for Batches {
    async fn alone(
        &self,
        connection: &mut MySqlConnection,
        create: &Create,
    ) -> Result<CreateOutcome, Failure> {
        self.verbs.create(connection, create.id, &create.record, create.now).await
    }
}

impl Carries<Update> for Batches {
    async fn alone(
        &self,
        connection: &mut MySqlConnection,
        update: &Update,
    ) -> Result<UpdateOutcome, Failure> {
        let Update { id, expected, record, now } = update;
        self.verbs.update(connection, *id, *expected, record, *now).await
    }
}

impl Carries<Touch> for Batches {
    async fn alone(&self, connection: &mut MySqlConnection, touch: &Touch) -> Result<bool, Failure> {
        self.verbs.touch(connection, touch.id, touch.expires_at, touch.now).await
    }
}

impl Carries<Delete> for Batches {
    async fn alone(
        &self,
        connection: &mut MySqlConnection,
        delete: &Delete,
    ) -> Result<DeleteOutcome, Failure> {
        self.verbs.delete(connection, delete.id, delete.expected, delete.now).await
    }
}
