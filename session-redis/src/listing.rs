//! The walk through the names of records: SCAN and ZSCAN, a step at a time, with a cursor that remembers what a
//! page had no room for.

use redis::{Cmd, Value, from_redis_value};
use session_core::{Cursor, Error, ErrorKind, Result, SessionId, Timestamp};

use crate::connection::Connection;
use crate::keys::Keys;

/// A place in a scan. What is there from a scan's beginning to its end comes at least once, in no order.
#[derive(Debug, PartialEq)]
pub(crate) struct Walk {
    /// Found, and on no page yet.
    pending: Vec<SessionId>,
    /// The server's own cursor for the next step; `None` after the last.
    next: Option<Vec<u8>>,
}

/// What a walk goes through.
pub(crate) enum Names<'a> {
    /// Every record under the prefix.
    Records(&'a Keys),
    /// The index with this key, but for the entries that have ended at this time.
    Index(&'a [u8], Timestamp),
}

impl Walk {
    /// The place that a cursor stands for; the beginning without one.
    pub(crate) fn from(cursor: Option<&Cursor>) -> Result<Self> {
        let Some(cursor) = cursor else {
            return Ok(Self { pending: Vec::new(), next: Some(START.to_vec()) });
        };
        Self::parse(cursor.as_bytes()).ok_or_else(|| Error::describe(ErrorKind::Config, "a foreign cursor"))
    }

    /// The cursor for this place; `None` at the end.
    pub(crate) fn into_cursor(self) -> Option<Cursor> {
        if self.pending.is_empty() && self.next.is_none() {
            return None;
        }
        let next = self.next.unwrap_or_default();
        // The server's cursors are 64-bit numbers, so their length fits.
        let mut bytes = vec![next.len() as u8];
        bytes.extend(next);
        self.pending.iter().for_each(|id| bytes.extend(id.as_bytes()));
        Some(Cursor::from_bytes(bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first()?;
        let (next, pending) = rest.split_at_checked(usize::from(*length))?;
        let (ids, []) = pending.as_chunks::<16>() else { return None };
        let is_number = next.len() <= 20 && next.iter().all(u8::is_ascii_digit);
        let next = (!next.is_empty()).then(|| next.to_vec());
        is_number.then(|| Self { pending: ids.iter().copied().map(SessionId::from_bytes).collect(), next })
    }

    /// The next ids, at most `limit`. Fewer, or none, where much of what the server looked at is something
    /// else: a page must not take longer than a verb may.
    pub(crate) async fn advance(
        &mut self,
        connection: &Connection,
        names: &Names<'_>,
        limit: usize,
    ) -> Result<Vec<SessionId>> {
        for _ in 0..STEPS {
            let Some(cursor) = self.next.take_if(|_| self.pending.len() < limit) else { break };
            let found;
            (self.next, found) = names.step(connection, cursor, limit).await?;
            self.pending.extend(found);
        }
        let rest = self.pending.split_off(self.pending.len().min(limit));
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    /// Puts ids back that `advance` has returned.
    pub(crate) fn put_back(&mut self, ids: &[SessionId]) {
        self.pending.extend(ids);
    }
}

impl Names<'_> {
    async fn step(
        &self,
        connection: &Connection,
        cursor: Vec<u8>,
        limit: usize,
    ) -> Result<(Option<Vec<u8>>, Vec<SessionId>)> {
        // Close to what is wanted: what is found beyond it travels in the cursor.
        let count = limit.clamp(MIN_COUNT, MAX_COUNT);
        let (next, ids) = match self {
            Self::Records(keys) => {
                let mut command = redis::cmd("SCAN");
                command.arg(cursor).arg("MATCH").arg(keys.record_pattern()).arg("COUNT").arg(count);
                let (next, names) = ask(connection, &command).await?;
                (next, names.iter().filter_map(|name| keys.session_id(name)).collect())
            }
            Self::Index(key, now) => {
                let mut command = redis::cmd("ZSCAN");
                command.arg(*key).arg(cursor).arg("COUNT").arg(count);
                let (next, entries) = ask(connection, &command).await?;
                (next, entries.chunks_exact(2).filter_map(|entry| indexed(entry, *now)).collect())
            }
        };
        Ok(((next != START).then_some(next), ids))
    }
}

/// The session of a member and its score. An entry that this library did not write names none.
fn indexed(entry: &[Vec<u8>], now: Timestamp) -> Option<SessionId> {
    let id = <[u8; 16]>::try_from(entry[0].as_slice()).ok()?;
    let end = std::str::from_utf8(&entry[1]).ok()?.parse::<f64>().ok()?;
    (end > now.as_millis() as f64).then(|| SessionId::from_bytes(id))
}

async fn ask(connection: &Connection, command: &Cmd) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let strange = || Error::describe(ErrorKind::Internal, "a scan's answer has another shape");
    let Value::Array(parts) = connection.send(command).await? else { return Err(strange()) };
    let [cursor, items] = <[Value; 2]>::try_from(parts).map_err(|_| strange())?;
    let cursor = from_redis_value::<Vec<u8>>(cursor).map_err(|_| strange())?;
    if cursor.len() > 20 || !cursor.iter().all(u8::is_ascii_digit) {
        return Err(strange());
    }
    Ok((cursor, from_redis_value(items).map_err(|_| strange())?))
}

/// A scan's first cursor, and its last.
const START: &[u8] = b"0";

/// How many names the server looks at in one step: a fraction of a millisecond.
const MAX_COUNT: usize = 1000;
const MIN_COUNT: usize = 10;

/// How many steps a page takes at most.
const STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    #[test]
    fn a_cursor_is_the_place_that_it_was_made_of() {
        for next in [None, Some(b"7".to_vec()), Some(b"18446744073709551615".to_vec())] {
            for pending in [vec![], vec![id(1)], vec![id(0), id(48), id(255)]] {
                let walk = Walk { pending: pending.clone(), next: next.clone() };
                let is_end = pending.is_empty() && next.is_none();
                let cursor = Walk { pending, next: next.clone() }.into_cursor();
                assert_eq!(cursor.is_none(), is_end);
                if cursor.is_some() {
                    assert_eq!(Walk::from(cursor.as_ref()).unwrap(), walk);
                }
            }
        }
        assert_eq!(Walk::from(None).unwrap().next.as_deref(), Some(START));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for foreign in [&b""[..], b"?", b"\x01", b"\x01a", b"\x02-1", b"\x0112345", b"\x00123456789012345"] {
            let error = Walk::from(Some(&Cursor::from_bytes(foreign.to_vec()))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{}", foreign.escape_ascii());
        }
        let too_long = [&[21][..], &[b'1'; 21]].concat();
        assert!(Walk::from(Some(&Cursor::from_bytes(too_long))).is_err());
    }

    #[test]
    fn what_did_not_fit_comes_next() {
        let mut walk = Walk { pending: vec![id(3)], next: None };
        walk.put_back(&[id(1), id(2)]);
        assert_eq!(walk.pending, [id(3), id(1), id(2)]);
    }
}
