//! Ids in their order out of a store that iterates in none: each page looks at every name and keeps those
//! that come next.

use std::collections::BTreeSet;

use redis::{Cmd, Value, from_redis_value};
use session_core::{Error, ErrorKind, Result, SessionId, Timestamp};

use crate::connection::Connection;
use crate::keys::Keys;

/// The smallest ids behind a place, at most so many.
pub(crate) struct Next {
    after: Option<SessionId>,
    limit: usize,
    ids: BTreeSet<SessionId>,
}

impl Next {
    pub(crate) fn new(after: Option<SessionId>, limit: usize) -> Self {
        Self { after, limit, ids: BTreeSet::new() }
    }

    /// Whether there may be ids behind these.
    pub(crate) fn is_full(&self) -> bool {
        self.ids.len() == self.limit
    }

    pub(crate) fn into_ids(self) -> Vec<SessionId> {
        self.ids.into_iter().collect()
    }

    fn offer(&mut self, id: SessionId) {
        if self.after.is_some_and(|after| id <= after) {
            return;
        }
        self.ids.insert(id);
        if self.ids.len() > self.limit {
            self.ids.pop_last();
        }
    }

    /// Offers the id of every record. SCAN returns what is there from its beginning to its end, in no order,
    /// some of it twice.
    pub(crate) async fn scan_records(&mut self, connection: &Connection, keys: &Keys) -> Result<()> {
        let pattern = keys.record_pattern();
        let mut cursor = START.to_vec();
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let names;
            (cursor, names) = step(connection, &command).await?;
            names.iter().filter_map(|name| keys.session_id(name)).for_each(|id| self.offer(id));
            if cursor == START {
                return Ok(());
            }
        }
    }

    /// Offers the ids in an index, but for those that have ended at `now`.
    pub(crate) async fn scan_index(
        &mut self,
        connection: &Connection,
        key: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        let mut cursor = START.to_vec();
        loop {
            let mut command = redis::cmd("ZSCAN");
            command.arg(key).arg(&cursor).arg("COUNT").arg(STEP);
            let entries;
            (cursor, entries) = step(connection, &command).await?;
            for entry in entries.chunks_exact(2) {
                let id = entry[0].as_slice().try_into().map(SessionId::from_bytes);
                let end = std::str::from_utf8(&entry[1]).ok().and_then(|score| score.parse::<f64>().ok());
                // An entry that this library did not write names no session.
                if let (Ok(id), Some(end)) = (id, end)
                    && end > now.as_millis() as f64
                {
                    self.offer(id);
                }
            }
            if cursor == START {
                return Ok(());
            }
        }
    }
}

async fn step(connection: &Connection, command: &Cmd) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    match connection.send(command).await? {
        Value::Array(mut parts) if parts.len() == 2 => {
            let (items, cursor) = (parts.pop().unwrap_or_default(), parts.pop().unwrap_or_default());
            let strange = |_| Error::describe(ErrorKind::Internal, "a scan's answer has another shape");
            Ok((from_redis_value(cursor).map_err(strange)?, from_redis_value(items).map_err(strange)?))
        }
        _ => Err(Error::describe(ErrorKind::Internal, "a scan's answer has another shape")),
    }
}

/// A scan's first cursor, and its last.
const START: &[u8] = b"0";

/// How many names the server looks at in one step: a fraction of a millisecond.
const STEP: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    #[test]
    fn the_smallest_behind_a_place_are_kept_once() {
        let mut next = Next::new(Some(id(3)), 3);
        for number in [9, 1, 5, 3, 5, 7, 4, 8, 4] {
            next.offer(id(number));
        }
        assert!(next.is_full());
        assert_eq!(next.into_ids(), [id(4), id(5), id(7)]);
    }

    #[test]
    fn fewer_than_the_limit_are_the_last() {
        let mut next = Next::new(None, usize::MAX);
        next.offer(id(0));
        assert!(!next.is_full());
        assert_eq!(next.into_ids(), [id(0)]);
    }
}
