//! The verbs of the contract as SQL, on a connection. Writing ones expect to be inside a transaction that
//! holds the write lock, so that what they read after an attempt is what the attempt met.

use rusqlite::types::{Null, ToSqlOutput};
use rusqlite::{Connection, params, params_from_iter};
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Error, ErrorKind, Listing, Principal, Purged, Record, Revision,
    SessionId, Timestamp, UpdateOutcome,
};

use super::error::{Failure, is_duplicate_key};
use super::row::{COLUMNS, live_record, session_id};
use crate::table_name::TableName;

/// The statements of one table, each prepared once per connection.
///
/// The indexes cost more than the row: an entry there is on a page of its own. So writes leave them alone where
/// they can. The principal seldom changes, and `filed_at`, by which a purge finds what is dead, may be earlier
/// than `expires_at`, never later: what puts the expiry off leaves it, to be moved by the purge that meets it.
/// SQLite writes to an index whenever its column is assigned, whatever the value, hence two statements each.
#[derive(Debug)]
pub(super) struct Verbs {
    create: String,
    replace_expired: String,
    find: String,
    update: String,
    update_and_file: String,
    touch: String,
    touch_and_file: String,
    delete: String,
    delete_revision: String,
    file_again: String,
    purge: String,
    list: String,
    list_of_principal: String,
}

/// A page of a list ends once its payload is over this, however many sessions were asked for.
const PAGE_BYTES: usize = 4 << 20;

impl Verbs {
    pub(super) fn new(table: &TableName) -> Self {
        let (touched, latest) = ("min(deadline, max(expires_at, ?2))", Timestamp::MAX.as_millis());
        let due = format!("SELECT rowid FROM \"{table}\" WHERE filed_at <= ?1 ORDER BY filed_at LIMIT ?2");
        Self {
            create: format!(
                "INSERT INTO \"{table}\" ({COLUMNS}, filed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?3)"
            ),
            replace_expired: format!(
                "UPDATE \"{table}\" SET revision = ?2, expires_at = ?3, deadline = ?4, touched_at = ?5, \
                 principal = ?6, meta = ?7, data = ?8, filed_at = ?3 WHERE id = ?1 AND expires_at <= ?9"
            ),
            find: format!("SELECT {COLUMNS} FROM \"{table}\" WHERE id = ?1"),
            // Fails to match what the other one would have to file anew, too.
            update: format!(
                "UPDATE \"{table}\" SET revision = ?2, expires_at = ?3, deadline = ?4, touched_at = ?5, \
                 meta = ?7, data = ?8 \
                 WHERE id = ?1 AND expires_at > ?9 AND revision = ?10 AND filed_at <= ?3 AND principal IS ?6"
            ),
            update_and_file: format!(
                "UPDATE \"{table}\" SET revision = ?2, expires_at = ?3, deadline = ?4, touched_at = ?5, \
                 principal = ?6, meta = ?7, data = ?8, filed_at = ?3 \
                 WHERE id = ?1 AND expires_at > ?9 AND revision = ?10"
            ),
            // The upper end keeps damaged times out, also those that are text: the arithmetic would make
            // plausible ones of them.
            touch: format!(
                "UPDATE \"{table}\" SET expires_at = {touched}, touched_at = max(touched_at, ?3) \
                 WHERE id = ?1 AND expires_at > ?3 AND expires_at <= {latest} AND filed_at <= {touched}"
            ),
            touch_and_file: format!(
                "UPDATE \"{table}\" SET expires_at = {touched}, touched_at = max(touched_at, ?3), \
                 filed_at = {touched} WHERE id = ?1 AND expires_at > ?3 AND expires_at <= {latest}"
            ),
            // Whatever is not dead goes, a row with an expiry that is no time too.
            delete: format!(
                "DELETE FROM \"{table}\" WHERE id = ?1 AND (expires_at BETWEEN 0 AND ?2) IS NOT TRUE"
            ),
            delete_revision: format!(
                "DELETE FROM \"{table}\" WHERE id = ?1 AND expires_at > ?2 AND revision = ?3"
            ),
            // Of the rows that are due each matches one of the next two, also if its expiry is no time.
            file_again: format!(
                "UPDATE \"{table}\" SET filed_at = expires_at \
                 WHERE rowid IN ({due}) AND (expires_at <= ?1) IS NOT TRUE"
            ),
            purge: format!("DELETE FROM \"{table}\" WHERE rowid IN ({due}) AND expires_at <= ?1"),
            list: format!("SELECT {COLUMNS} FROM \"{table}\" WHERE id > ?1 ORDER BY id"),
            list_of_principal: format!(
                "SELECT {COLUMNS} FROM \"{table}\" WHERE id > ?1 AND principal = ?2 ORDER BY id"
            ),
        }
    }

    pub(super) fn create(
        &self,
        connection: &Connection,
        id: SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<CreateOutcome, Failure> {
        let columns = columns(&id, record);
        let inserted = connection.prepare_cached(&self.create)?.execute(params_from_iter(columns.iter()));
        match inserted {
            Ok(_) => return Ok(CreateOutcome::Created),
            Err(error) if is_duplicate_key(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let condition = [now.as_millis().into()];
        let replaced = connection
            .prepare_cached(&self.replace_expired)?
            .execute(params_from_iter(columns.iter().chain(&condition)))?;
        if replaced == 1 {
            return Ok(CreateOutcome::Created);
        }
        match self.find(connection, id, now)? {
            Some(current) => Ok(CreateOutcome::Occupied(current)),
            None => Err(unmatched()),
        }
    }

    /// The live record of `id`: what `load` answers, and what a write that did not match has met.
    pub(super) fn find(
        &self,
        connection: &Connection,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<Record>, Failure> {
        let mut statement = connection.prepare_cached(&self.find)?;
        let mut rows = statement.query([id.as_bytes()])?;
        match rows.next()? {
            Some(row) => live_record(row, now),
            None => Ok(None),
        }
    }

    pub(super) fn update(
        &self,
        connection: &Connection,
        id: SessionId,
        expected: Revision,
        record: &Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome, Failure> {
        let (columns, condition) = (columns(&id, record), [now.as_millis().into(), expected.as_i64().into()]);
        for sql in [&self.update, &self.update_and_file] {
            let parameters = params_from_iter(columns.iter().chain(&condition));
            if connection.prepare_cached(sql)?.execute(parameters)? == 1 {
                return Ok(UpdateOutcome::Updated);
            }
        }
        Ok(match self.find(connection, id, now)? {
            Some(current) => UpdateOutcome::Conflict(current),
            None => UpdateOutcome::Gone,
        })
    }

    pub(super) fn touch(
        &self,
        connection: &Connection,
        id: SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        for sql in [&self.touch, &self.touch_and_file] {
            let parameters = params![id.as_bytes(), expires_at.as_millis(), now.as_millis()];
            if connection.prepare_cached(sql)?.execute(parameters)? == 1 {
                return Ok(true);
            }
        }
        match self.find(connection, id, now)? {
            Some(_) => Err(unmatched()),
            None => Ok(false),
        }
    }

    pub(super) fn delete(
        &self,
        connection: &Connection,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome, Failure> {
        let (id_bytes, now_millis) = (id.as_bytes(), now.as_millis());
        let deleted = match expected {
            None => connection.prepare_cached(&self.delete)?.execute(params![id_bytes, now_millis])?,
            Some(expected) => connection.prepare_cached(&self.delete_revision)?.execute(params![
                id_bytes,
                now_millis,
                expected.as_i64(),
            ])?,
        };
        if deleted == 1 {
            return Ok(DeleteOutcome::Deleted);
        }
        Ok(match self.find(connection, id, now)? {
            Some(current) => DeleteOutcome::Conflict(current),
            None => DeleteOutcome::Absent,
        })
    }

    /// Removes expired rows, looking at no more than `limit` that may be: `more` of them may be left.
    pub(super) fn purge(
        &self,
        connection: &Connection,
        now: Timestamp,
        limit: usize,
    ) -> Result<Purged, Failure> {
        let execute = |sql: &str, limit: usize| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection.prepare_cached(sql)?.execute(params![now.as_millis(), limit])
        };
        let live = execute(&self.file_again, limit)?;
        let removed = execute(&self.purge, limit.saturating_sub(live))?;
        Ok(Purged::new(removed as u64, live + removed >= limit))
    }

    /// A page of live sessions behind `after`, without the damaged ones.
    pub(super) fn list(
        &self,
        connection: &Connection,
        principal: Option<&Principal>,
        after: Option<SessionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing, Failure> {
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        let sql = if principal.is_some() { &self.list_of_principal } else { &self.list };
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = match principal {
            Some(principal) => statement.query(params![after, principal.as_str()])?,
            None => statement.query(params![after])?,
        };
        let mut sessions: Vec<(SessionId, Record)> = Vec::new();
        let mut bytes = 0;
        // Without a LIMIT, as rows that are dead or damaged do not count: the statement is stopped instead.
        while let Some(row) = rows.next()? {
            match session_id(row).and_then(|id| Ok((id, live_record(row, now)?))) {
                Ok((_, Some(_))) if sessions.len() >= limit || bytes >= PAGE_BYTES => {
                    let next = sessions.last().map(|(last, _)| Cursor::after(*last));
                    return Ok(Listing::new(sessions, next));
                }
                Ok((id, Some(record))) => {
                    bytes += record.data.len() + record.meta.len();
                    sessions.push((id, record));
                }
                Ok((_, None)) => {}
                Err(Failure(error)) => tracing::warn!(%error, "a session was left out of a list"),
            }
        }
        Ok(Listing::new(sessions, None))
    }
}

/// The parameters 1 to 8 of the statements that store a record, in the order of [`COLUMNS`].
fn columns<'a>(id: &'a SessionId, record: &'a Record) -> [ToSqlOutput<'a>; 8] {
    let principal = record.principal.as_ref();
    [
        id.as_bytes().as_slice().into(),
        record.revision.as_i64().into(),
        record.expires_at.as_millis().into(),
        record.deadline.as_millis().into(),
        record.touched_at.as_millis().into(),
        principal.map_or(Null.into(), |principal| principal.as_str().into()),
        (&record.meta[..]).into(),
        (&record.data[..]).into(),
    ]
}

/// A statement passed a row by that the next one, under the same lock, found to be what it was after.
fn unmatched() -> Failure {
    Failure(Error::describe(ErrorKind::Internal, "a row matched one statement and not the other"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    /// How SQLite goes about `sql`, which it also checks against the schema.
    fn plan(connection: &Connection, sql: &str) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.raw_query().mapped(|row| row.get::<_, String>("detail"));
        rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn every_statement_takes_its_index() {
        let connection = Connection::open_in_memory().unwrap();
        let table = TableName::parse("s").unwrap();
        connection.execute_batch(&schema::schema_sql("s").unwrap()).unwrap();
        let verbs = Verbs::new(&table);
        let by_id = [
            &verbs.replace_expired,
            &verbs.find,
            &verbs.update,
            &verbs.update_and_file,
            &verbs.touch,
            &verbs.touch_and_file,
            &verbs.delete,
            &verbs.delete_revision,
        ];
        for sql in by_id {
            assert!(plan(&connection, sql).contains("USING INDEX sqlite_autoindex_s_1 (id=?)"), "{sql}");
        }
        for sql in [&verbs.file_again, &verbs.purge] {
            let purge = plan(&connection, sql);
            assert!(purge.contains("USING COVERING INDEX s_filed_at (filed_at<?)"), "{purge}");
        }
        let list = plan(&connection, &verbs.list);
        assert_eq!(list, "SEARCH s USING INDEX sqlite_autoindex_s_1 (id>?)");
        let list = plan(&connection, &verbs.list_of_principal);
        assert_eq!(list, "SEARCH s USING INDEX s_principal (principal=? AND id>?)");
    }

    #[test]
    fn what_can_leave_the_indexes_alone_does() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&schema::schema_sql("s").unwrap()).unwrap();
        let verbs = Verbs::new(&TableName::parse("s").unwrap());
        let writes_to = |sql: &str, index: &str| {
            let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
            let root: i64 = connection.query_row(root, [index], |row| row.get(0)).unwrap();
            let mut statement = connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
            statement
                .raw_query()
                .mapped(|row| Ok((row.get::<_, String>("opcode")?, row.get::<_, i64>("p2")?)))
                .map(Result::unwrap)
                .any(|(opcode, page)| opcode == "OpenWrite" && page == root)
        };
        for (sql, files, names) in [
            (&verbs.update, false, false),
            (&verbs.update_and_file, true, true),
            (&verbs.touch, false, false),
            (&verbs.touch_and_file, true, false),
            (&verbs.file_again, true, false),
        ] {
            assert_eq!(writes_to(sql, "s_filed_at"), files, "{sql}");
            assert_eq!(writes_to(sql, "s_principal"), names, "{sql}");
        }
    }
}
