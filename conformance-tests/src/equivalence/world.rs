//! What a program has done so far: its sessions, its clock and the contract's own idea of the records.

use session_core::{Principal, Record, Revision, SessionId, Timestamp};

use super::request::{Reply, Request};
use super::step::{Act, At, Content, Expected, Life, Step};
use crate::linearizability::{Call, Model, Verb};

#[derive(Debug)]
pub(crate) struct World {
    sessions: Vec<Session>,
    now: Timestamp,
    /// Whether callers may pass a `now` that lies before another's. Not on a store with an expiry of its own:
    /// it may have removed by then what is dead to one of them.
    looks_back: bool,
    model: Model,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    /// Every revision that was asked to be stored, the last one last.
    revisions: Vec<Revision>,
}

impl World {
    /// Nothing stored under any of the ids.
    pub(crate) fn new(ids: impl IntoIterator<Item = SessionId>, now: Timestamp, looks_back: bool) -> Self {
        let session = |id| Session { id, revisions: Vec::new() };
        Self { sessions: ids.into_iter().map(session).collect(), now, looks_back, model: Model::default() }
    }

    /// What the step asks for, and what the contract replies.
    pub(crate) fn take(&mut self, step: &Step) -> (Request, Reply) {
        self.now = after(self.now, i64::from(step.pause) * 60_000);
        let number = step.session % self.sessions.len();
        let now = self.time_of(step.at, self.sessions[number].id);
        if !self.looks_back {
            self.now = self.now.max(now);
        }
        let now = if self.looks_back { now } else { self.now };
        let request = self.request(&step.act, number, now);
        let reply = request.apply(&mut self.model);
        (request, reply)
    }

    /// Looks at every session once more, where possible as before the beginning: at what is dead too.
    pub(crate) fn last_looks(&mut self) -> Vec<(Request, Reply)> {
        let now = if self.looks_back { Timestamp::MIN } else { self.now };
        let looks = self.sessions.iter().map(|session| Call { id: session.id, now, verb: Verb::LoadLatest });
        let ask = |call: Call| {
            let request = Request::Call(call);
            let reply = request.apply(&mut self.model);
            (request, reply)
        };
        looks.collect::<Vec<_>>().into_iter().map(ask).collect()
    }

    /// The number of the session that the request is about.
    pub(crate) fn number(&self, request: &Request) -> Option<usize> {
        let Request::Call(call) = request else { return None };
        self.sessions.iter().position(|session| session.id == call.id)
    }

    fn time_of(&self, at: At, id: SessionId) -> Timestamp {
        match (at, self.model.record(id)) {
            (At::Behind { minutes }, _) if self.looks_back => after(self.now, -i64::from(minutes) * 60_000),
            (At::Death { offset }, Some(record)) => after(record.expires_at, i64::from(offset)),
            _ => self.now,
        }
    }

    fn request(&mut self, act: &Act, number: usize, now: Timestamp) -> Request {
        let id = self.sessions[number].id;
        let verb = match act {
            Act::Create(content) => {
                let random = content.random;
                let high = Revision::from_i64((1 << 53) + (i64::from(random) << 2));
                let revision = high.filter(|_| content.high_revision).unwrap_or(Revision::first(random));
                Verb::Create(self.write(number, content, revision, now))
            }
            Act::Load => Verb::Load,
            Act::LoadLatest => Verb::LoadLatest,
            Act::Update { expected, content } => {
                let expected = self.revision(*expected, number);
                let record = self.write(number, content, expected.next(content.random), now);
                Verb::Update { expected, record }
            }
            Act::Touch { life } => Verb::Touch { expires_at: after(now, life.millis) },
            Act::Delete { expected } => {
                Verb::Delete { expected: expected.map(|expected| self.revision(expected, number)) }
            }
            Act::Purge => return Request::Purge { now },
            Act::List { principal, limit } => {
                return Request::List { principal: principal.and_then(name), limit: *limit, now };
            }
        };
        Request::Call(Call { id, now, verb })
    }

    fn revision(&self, expected: Expected, number: usize) -> Revision {
        let Session { id, revisions } = &self.sessions[number];
        let last = revisions.last().copied().unwrap_or(Revision::first(0));
        let current = self.model.record(*id).map_or(last, |record| record.revision);
        match expected {
            Expected::Current => current,
            Expected::Earlier { writes } => {
                let earlier = revisions.iter().rev().filter(|revision| **revision != current);
                earlier.take(writes).last().copied().unwrap_or(Revision::first(0))
            }
            Expected::OtherRandomPart => Revision::from_i64(current.as_i64() ^ 1).unwrap_or(current),
            Expected::OtherSequence => current.next((current.as_i64() & 0xffff_ffff) as u32),
        }
    }

    fn write(&mut self, number: usize, content: &Content, revision: Revision, now: Timestamp) -> Record {
        self.sessions[number].revisions.push(revision);
        let Content { principal, life: Life { millis, more }, meta, data, random, .. } = content;
        let expires_at = after(now, *millis);
        let text = |len: u8| {
            (0..len).map(|index| char::from(b'a' + (*random as u8 ^ index) % 26)).collect::<String>()
        };
        Record::new(revision, now, expires_at, after(expires_at, *more))
            .with_principal(principal.and_then(name))
            .with_meta(text(*meta))
            .with_data(text(*data))
    }
}

fn name(number: u8) -> Option<Principal> {
    Principal::new(["alice", "bob", "carol"][usize::from(number) % 3]).ok()
}

fn after(at: Timestamp, millis: i64) -> Timestamp {
    let millis = at.as_millis().saturating_add(millis);
    Timestamp::from_millis(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
