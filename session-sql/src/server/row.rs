//! Rows as records. Nothing is believed: a row may have been changed by hand.

use super::failure::Failure;
use session_core::{ErrorKind, Principal, Record, Revision, SessionId, Timestamp};

/// A row of a dialect.
pub(crate) trait Columns: Send {
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error>;

    fn bytes(&self, index: usize) -> Result<Option<&[u8]>, sqlx::Error>;
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
                sqlx::Row::try_get(self, index)
            }

            fn bytes(&self, index: usize) -> Result<Option<&[u8]>, sqlx::Error> {
                sqlx::Row::try_get(self, index)
            }
        }
    };
}

#[cfg(feature = "mysql")]
columns_of!(sqlx::mysql::MySqlRow);
#[cfg(feature = "postgres")]
columns_of!(sqlx::postgres::PgRow);

/// What the reading functions below expect, in their order.
pub(crate) const COLUMNS: &str = "id, revision, expires_at, deadline, touched_at, principal, meta, data";

/// The record in `row` if it is live at `now`, else `None`: what a dead row holds matters to nobody.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt), with the column's name, never its value.
pub(crate) fn live_record(row: &impl Columns, now: Timestamp) -> Result<Option<Record>, Failure> {
    let expires_at = timestamp(row, 2, "expires_at")?;
    if now >= expires_at {
        return Ok(None);
    }
    let revision = row.integer(1)?.and_then(Revision::from_i64).ok_or_else(|| damaged("revision"))?;
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
pub(crate) fn session_id(row: &impl Columns) -> Result<SessionId, Failure> {
    let bytes = row.bytes(0)?.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| damaged("id"))?;
    Ok(SessionId::from_bytes(bytes))
}

fn principal(row: &impl Columns) -> Result<Option<Principal>, Failure> {
    let Some(bytes) = row.bytes(5)? else { return Ok(None) };
    let principal = std::str::from_utf8(bytes).ok().and_then(|text| Principal::new(text).ok());
    principal.map(Some).ok_or_else(|| damaged("principal"))
}

fn timestamp(row: &impl Columns, index: usize, column: &'static str) -> Result<Timestamp, Failure> {
    row.integer(index)?.and_then(Timestamp::from_millis).ok_or_else(|| damaged(column))
}

fn bytes<'row>(row: &'row impl Columns, index: usize, column: &'static str) -> Result<&'row [u8], Failure> {
    row.bytes(index)?.ok_or_else(|| damaged(column))
}

fn damaged(column: &'static str) -> Failure {
    Failure::describe(ErrorKind::Corrupt, format!("the row's `{column}` is not what this library writes"))
}
