//! The walk through the names of records, a step at a time, with a cursor that says where it goes on: in a SCAN of
//! one server after the other, or behind an entry of an index.

use redis::{Cmd, Value, from_redis_value};
use session_core::{Cursor, Error, ErrorKind, Result, SessionId, Timestamp};

use crate::connection::{Connection, With};
use crate::keys::Keys;
use crate::servers::Servers;

/// A place in a walk. What is there from its beginning to its end comes at least once, in no order.
#[derive(Debug, PartialEq)]
pub(crate) struct Walk {
    /// Found, and on no page yet.
    pending: Vec<SessionId>,
    /// Where the next step begins; `None` after the last.
    next: Option<Place>,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Start,
    /// In the server's own cursor. Another layout means that sessions may have changed their server: then all
    /// of it begins again.
    Scan {
        layout: u64,
        server: u16,
        cursor: u64,
    },
    /// Behind this entry. A cursor of ZSCAN would mean nothing to the replica that takes over.
    Index(Entry),
}

/// A score's bits and a member, in the index's own order.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    score: f64,
    member: Vec<u8>,
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
            return Ok(Self { pending: Vec::new(), next: Some(Place::Start) });
        };
        Self::parse(cursor.as_bytes()).ok_or_else(foreign)
    }

    /// The cursor for this place; `None` at the end.
    pub(crate) fn into_cursor(self) -> Option<Cursor> {
        let mut bytes = match self.next {
            None if self.pending.is_empty() => return None,
            None => vec![END],
            Some(Place::Start) => vec![START],
            Some(Place::Scan { layout, server, cursor }) => {
                let (layout, cursor) = (layout.to_be_bytes(), cursor.to_be_bytes());
                [&[SCAN][..], &layout, &server.to_be_bytes(), &cursor].concat()
            }
            Some(Place::Index(Entry { score, member })) => {
                // A member has 16 bytes, unless somebody else has written it; a server takes none over 512 MiB.
                let length = (member.len() as u32).to_be_bytes();
                [&[INDEX][..], &score.to_be_bytes(), &length, &member].concat()
            }
        };
        self.pending.iter().for_each(|id| bytes.extend(id.as_bytes()));
        Some(Cursor::from_bytes(bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (next, pending) = match *kind {
            END => (None, rest),
            START => (Some(Place::Start), rest),
            SCAN => {
                let (layout, rest) = rest.split_first_chunk()?;
                let (server, rest) = rest.split_first_chunk()?;
                let (cursor, rest) = rest.split_first_chunk()?;
                let (layout, cursor) = (u64::from_be_bytes(*layout), u64::from_be_bytes(*cursor));
                (Some(Place::Scan { layout, server: u16::from_be_bytes(*server), cursor }), rest)
            }
            INDEX => {
                let (score, rest) = rest.split_first_chunk()?;
                let (length, rest) = rest.split_first_chunk()?;
                let (member, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                let score = Some(f64::from_be_bytes(*score)).filter(|score| !score.is_nan())?;
                (Some(Place::Index(Entry { score, member: member.to_vec() })), rest)
            }
            _ => return None,
        };
        let (ids, []) = pending.as_chunks::<16>() else { return None };
        Some(Self { pending: ids.iter().copied().map(SessionId::from_bytes).collect(), next })
    }

    /// The next ids, at most `limit`. Fewer, or none, where much of what the server looked at is something
    /// else: a page must not take longer than a verb may.
    pub(crate) async fn advance(
        &mut self,
        servers: &Servers,
        names: &Names<'_>,
        limit: usize,
    ) -> Result<Vec<SessionId>> {
        // Close to what is wanted: what is found beyond it travels in the cursor.
        let count = limit.clamp(MIN_COUNT, MAX_COUNT);
        match names {
            Names::Records(keys) => self.scan(servers, keys, limit, count).await?,
            Names::Index(key, now) => self.range(servers, key, *now, limit, count).await?,
        }
        let rest = self.pending.split_off(self.pending.len().min(limit));
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    async fn scan(&mut self, servers: &Servers, keys: &Keys, limit: usize, count: usize) -> Result<()> {
        if self.pending.len() >= limit || self.next.is_none() {
            return Ok(());
        }
        let (layout, masters) = servers.masters().await?;
        let first = || Place::Scan { layout, server: 0, cursor: 0 };
        for _ in 0..STEPS {
            let Some(place) = self.next.take_if(|_| self.pending.len() < limit) else { break };
            let (server, cursor) = match place {
                Place::Scan { layout: same, server, cursor } if same == layout => (server, cursor),
                Place::Start | Place::Scan { .. } => (0, 0),
                Place::Index(_) => return Err(foreign()),
            };
            let master = masters.get(usize::from(server)).ok_or_else(foreign)?;
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(keys.record_pattern()).arg("COUNT").arg(count);
            let (cursor, names) = ask(master, &command).await?;
            self.pending.extend(names.iter().filter_map(|name| keys.session_id(name)));
            self.next = if cursor != 0 {
                Some(Place::Scan { layout, server, cursor })
            } else if usize::from(server) + 1 < masters.len() {
                Some(Place::Scan { layout, server: server + 1, cursor: 0 })
            } else if servers.masters().await?.0 != layout {
                // Sessions may have gone from a server yet to be walked through to one that had been.
                Some(first())
            } else {
                None
            };
        }
        Ok(())
    }

    async fn range(
        &mut self,
        servers: &Servers,
        key: &[u8],
        now: Timestamp,
        limit: usize,
        mut count: usize,
    ) -> Result<()> {
        for _ in 0..STEPS {
            let Some(place) = self.next.take_if(|_| self.pending.len() < limit) else { break };
            let (least, last) = match place {
                Place::Start => (format!("({}", now.as_millis()), None),
                Place::Index(entry) => (entry.score.to_string(), Some(entry)),
                Place::Scan { .. } => return Err(foreign()),
            };
            let mut command = redis::cmd("ZRANGE");
            command.arg(key).arg(least).arg("+inf").arg("BYSCORE");
            command.arg("LIMIT").arg(0).arg(count).arg("WITHSCORES");
            let reply = servers.send(key, &command).await?;
            let entries: Vec<(Vec<u8>, f64)> = from_redis_value(reply).map_err(|_| strange())?;
            let is_last = entries.len() < count;
            let mut new: Vec<_> =
                entries.into_iter().map(|(member, score)| Entry { score, member }).collect();
            if let Some(last) = &last {
                new.retain(|entry| entry.is_behind(last));
            }
            if new.is_empty() {
                // Only entries of one time, as of sessions made at once: those behind them are out of reach.
                self.next = last.filter(|_| !is_last).map(Place::Index);
                count = count.saturating_mul(2);
                continue;
            }
            self.next = new.last().filter(|_| !is_last).cloned().map(Place::Index);
            let ids = new.iter().filter_map(|entry| <[u8; 16]>::try_from(entry.member.as_slice()).ok());
            self.pending.extend(ids.map(SessionId::from_bytes));
        }
        Ok(())
    }

    /// Puts ids back that `advance` has returned.
    pub(crate) fn put_back(&mut self, ids: &[SessionId]) {
        self.pending.extend(ids);
    }
}

impl Entry {
    fn is_behind(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.member > other.member)
    }
}

async fn ask(connection: &Connection, command: &Cmd) -> Result<(u64, Vec<Vec<u8>>)> {
    let Value::Array(parts) = connection.send(command, With::default()).await? else { return Err(strange()) };
    let [cursor, items] = <[Value; 2]>::try_from(parts).map_err(|_| strange())?;
    let cursor = from_redis_value(cursor).map_err(|_| strange())?;
    Ok((cursor, from_redis_value(items).map_err(|_| strange())?))
}

fn strange() -> Error {
    Error::describe(ErrorKind::Internal, "a walk's answer has another shape")
}

fn foreign() -> Error {
    Error::describe(ErrorKind::Config, "a foreign cursor")
}

/// What a cursor begins with.
const END: u8 = 0;
const START: u8 = 1;
const SCAN: u8 = 2;
const INDEX: u8 = 3;

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
    fn a_cursor_brings_back_its_place() {
        let entry = |member: &[u8]| Place::Index(Entry { score: 1.5e12, member: member.to_vec() });
        for next in [
            None,
            Some(Place::Start),
            Some(Place::Scan { layout: u64::MAX, server: 2, cursor: u64::MAX - 1 }),
            Some(entry(id(9).as_bytes())),
            Some(entry(b"")),
        ] {
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
        assert_eq!(Walk::from(None).unwrap().next, Some(Place::Start));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        let not_a_number = [&[INDEX][..], &f64::NAN.to_be_bytes(), &[0; 4]].concat();
        for foreign in [
            &b""[..],
            b"?",
            b"\x01a",
            b"\x02-1",
            b"\x0212345678901234567",
            b"\x0312345678\0\0\0\x10short",
            b"\x04",
            b"\x00123456789012345",
            &not_a_number,
        ] {
            let error = Walk::from(Some(&Cursor::from_bytes(foreign.to_vec()))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{}", foreign.escape_ascii());
        }
    }

    #[test]
    fn what_did_not_fit_comes_next() {
        let mut walk = Walk { pending: vec![id(3)], next: None };
        walk.put_back(&[id(1), id(2)]);
        assert_eq!(walk.pending, [id(3), id(1), id(2)]);
    }

    #[test]
    fn entries_of_one_time_stand_by_their_members() {
        let entry = |score, member: &[u8]| Entry { score, member: member.to_vec() };
        assert!(entry(2.0, b"a").is_behind(&entry(1.0, b"b")));
        assert!(entry(1.0, b"b").is_behind(&entry(1.0, b"a")));
        assert!(!entry(1.0, b"a").is_behind(&entry(1.0, b"a")));
        assert!(!entry(1.0, b"b").is_behind(&entry(2.0, b"a")));
    }
}
