//! Rows as records. Nothing is believed: a row may have been changed by hand.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use session_core::{Error, ErrorKind, Principal, Record, Revision, SessionId, Timestamp};

use super::error::Failure;

/// What the reading functions below expect, in their order.
pub(super) const COLUMNS: &str = "id, revision, expires_at, deadline, touched_at, principal, meta, data";

/// The record in `row` if it is live at `now`, else `None`: what a dead row holds matters to nobody.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt), with the column's name, never its value.
pub(super) fn live_record(row: &Row<'_>, now: Timestamp) -> Result<Option<Record>, Failure> {
    let expires_at = timestamp(row, 2, "expires_at")?;
    if now >= expires_at {
        return Ok(None);
    }
    let revision = integer(row, 1)?.and_then(Revision::from_i64).ok_or_else(|| damaged("revision"))?;
    let deadline = timestamp(row, 3, "deadline")?;
    let touched_at = timestamp(row, 4, "touched_at")?;
    let record = Record::new(revision, touched_at, expires_at, deadline)
        .with_principal(principal(row)?)
        .with_meta(blob(row, 6, "meta")?.to_vec())
        .with_data(blob(row, 7, "data")?.to_vec());
    Ok(Some(record))
}

/// The id in `row`.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt) if it is not 16 bytes.
pub(super) fn session_id(row: &Row<'_>) -> Result<SessionId, Failure> {
    let bytes = blob(row, 0, "id")?;
    Ok(SessionId::from_bytes(bytes.try_into().map_err(|_| damaged("id"))?))
}

fn principal(row: &Row<'_>) -> Result<Option<Principal>, Failure> {
    let text = match row.get_ref(5)? {
        ValueRef::Null => return Ok(None),
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    let principal = text.and_then(|text| Principal::new(text).ok());
    principal.map(Some).ok_or_else(|| damaged("principal"))
}

fn timestamp(row: &Row<'_>, index: usize, column: &'static str) -> Result<Timestamp, Failure> {
    integer(row, index)?.and_then(Timestamp::from_millis).ok_or_else(|| damaged(column))
}

fn integer(row: &Row<'_>, index: usize) -> Result<Option<i64>, Failure> {
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(value) => Some(value),
        _ => None,
    })
}

fn blob<'row>(row: &'row Row<'_>, index: usize, column: &'static str) -> Result<&'row [u8], Failure> {
    match row.get_ref(index)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(damaged(column)),
    }
}

fn damaged(column: &'static str) -> Failure {
    Failure(Error::describe(
        ErrorKind::Corrupt,
        format!("the row's `{column}` is not what this library writes"),
    ))
}
