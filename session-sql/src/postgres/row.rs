//! Rows as records. Nothing is believed: a row may have been changed by hand.

use session_core::{ErrorKind, Principal, Record, Revision, SessionId, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::error::Failure;

/// What the reading functions below expect, in their order.
pub(super) const COLUMNS: &str = "id, revision, expires_at, deadline, touched_at, principal, meta, data";

/// The record in `row` if it is live at `now`, else `None`: what a dead row holds matters to nobody.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt), with the column's name, never its value.
pub(super) fn live_record(row: &PgRow, now: Timestamp) -> Result<Option<Record>, Failure> {
    let expires_at = timestamp(row, 2, "expires_at")?;
    if now >= expires_at {
        return Ok(None);
    }
    let revision = integer(row, 1)?.and_then(Revision::from_i64).ok_or_else(|| damaged("revision"))?;
    let deadline = timestamp(row, 3, "deadline")?;
    let touched_at = timestamp(row, 4, "touched_at")?;
    let record = Record::new(revision, touched_at, expires_at, deadline)
        .with_principal(principal(row)?)
        .with_meta(bytes(row, 6, "meta")?.to_vec())
        .with_data(bytes(row, 7, "data")?.to_vec());
    Ok(Some(record))
}

/// The id in `row`.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt) if it is not 16 bytes.
pub(super) fn session_id(row: &PgRow) -> Result<SessionId, Failure> {
    let bytes: Option<&[u8]> = row.try_get(0)?;
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| damaged("id"))?;
    Ok(SessionId::from_bytes(bytes))
}

fn principal(row: &PgRow) -> Result<Option<Principal>, Failure> {
    let Some(bytes) = row.try_get::<Option<&[u8]>, _>(5)? else { return Ok(None) };
    let principal = std::str::from_utf8(bytes).ok().and_then(|text| Principal::new(text).ok());
    principal.map(Some).ok_or_else(|| damaged("principal"))
}

fn timestamp(row: &PgRow, index: usize, column: &'static str) -> Result<Timestamp, Failure> {
    integer(row, index)?.and_then(Timestamp::from_millis).ok_or_else(|| damaged(column))
}

fn integer(row: &PgRow, index: usize) -> Result<Option<i64>, Failure> {
    Ok(row.try_get(index)?)
}

fn bytes<'row>(row: &'row PgRow, index: usize, column: &'static str) -> Result<&'row [u8], Failure> {
    row.try_get::<Option<&[u8]>, _>(index)?.ok_or_else(|| damaged(column))
}

fn damaged(column: &'static str) -> Failure {
    Failure::describe(ErrorKind::Corrupt, format!("the row's `{column}` is not what this library writes"))
}
