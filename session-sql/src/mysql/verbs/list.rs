//! Pages of sessions. First their ids and sizes, then the rows up to the page's end: a window over sizes would make
//! the server put all rows aside, with their data, before it sends the first.

use session_core::{Cursor, ErrorKind, Listing, Principal, SessionId, Timestamp};
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row as _, SqlStr};

use super::{Statement, Verbs, statement};
use crate::mysql::table::QualifiedName;
use crate::server::{COLUMNS, Failure, live_record, session_id};

/// A page of a list ends once its payload is over this, however many sessions were asked for.
const PAGE_BYTES: i64 = 4 << 20;

/// The most sessions in a page.
const PAGE_SESSIONS: usize = 1000;

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) sizes: SqlStr,
    pub(super) sizes_of_principal: SqlStr,
    pub(super) rows: SqlStr,
    pub(super) rows_of_principal: SqlStr,
}

impl Statements {
    /// The index is named: that of the ids is a long way round to the few sessions of one principal.
    pub(super) fn new(table: &QualifiedName) -> Self {
        let select = |what: &str, index: &str, condition: &str| {
            statement(format!(
                "SELECT {what} FROM {table} FORCE INDEX ({index}) \
                 WHERE id > ? AND expires_at > ?{condition} ORDER BY id LIMIT ?"
            ))
        };
        let sizes = "id, CAST(COALESCE(LENGTH(meta), 0) + COALESCE(LENGTH(data), 0) AS SIGNED)";
        let of_principal = " AND principal = ?";
        Self {
            sizes: select(sizes, "PRIMARY", ""),
            sizes_of_principal: select(sizes, "principal", of_principal),
            rows: select(COLUMNS, "PRIMARY", " AND id <= ?"),
            rows_of_principal: select(COLUMNS, "principal", &format!(" AND id <= ?{of_principal}")),
        }
    }
}

impl Verbs {
    /// A page of live sessions behind `after`, without the damaged ones.
    pub(in super::super) async fn list(
        &self,
        connection: &mut MySqlConnection,
        principal: Option<&Principal>,
        after: Option<SessionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing, Failure> {
        let Statements { sizes, sizes_of_principal, rows, rows_of_principal } = &self.list;
        let (sizes, rows) =
            if principal.is_some() { (sizes_of_principal, rows_of_principal) } else { (sizes, rows) };
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        let begin = |sql| self.query(sql).bind(after).bind(now.as_millis());

        // One more than wanted tells whether there is more.
        let limit = limit.min(PAGE_SESSIONS);
        let sizes = of(begin(sizes), principal).bind(count(limit + 1)).fetch_all(&mut *connection).await?;
        let Some(end) = Page::cut(&sizes, limit)? else { return Ok(Listing::default()) };

        let rows = of(begin(rows).bind(&end.last.as_bytes()[..]), principal).bind(count(end.sessions));
        let rows = rows.fetch_all(connection).await?;
        let next = match rows.last() {
            // As many as were to come, and not yet at the end: others have come in between.
            Some(last) if rows.len() == end.sessions && session_id(last)? != end.last => {
                Some(session_id(last)?)
            }
            _ => end.is_cut.then_some(end.last),
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
        Ok(Listing::new(sessions, next.map(Cursor::after)))
    }
}

/// Where a page ends.
struct Page {
    last: SessionId,
    sessions: usize,
    is_cut: bool,
}

impl Page {
    /// The longest page of at most `limit` sessions within the payload, or one session; `None` without any.
    fn cut(sizes: &[MySqlRow], limit: usize) -> Result<Option<Self>, Failure> {
        let mut sessions: usize = 0;
        let mut payload: i64 = 0;
        for row in sizes.iter().take(limit) {
            payload = payload.saturating_add(row.try_get(1)?);
            sessions += 1;
            if payload > PAGE_BYTES {
                break;
            }
        }
        let Some(last) = sessions.checked_sub(1).and_then(|last| sizes.get(last)) else { return Ok(None) };
        Ok(Some(Self { last: session_id(last)?, sessions, is_cut: sessions < sizes.len() }))
    }
}

fn of<'q>(query: Statement<'q>, principal: Option<&'q Principal>) -> Statement<'q> {
    match principal {
        Some(principal) => query.bind(principal.as_str().as_bytes()),
        None => query,
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
