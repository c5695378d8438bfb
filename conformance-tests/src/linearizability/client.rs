//! Clients that race on the same sessions. Each acts on what it was told last, as a server does, so that its
//! writes now succeed and now come too late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt as _;
use rand::rngs::StdRng;
use session_core::{Principal, Record, Revision, SessionBackend, SessionId, Timestamp};

use super::call::{Answer, Call, Verb};
use super::history::Event;
use crate::check::CaseResult;
use crate::context::{Context, MINUTE};
use crate::race::{hesitate, race, racer};

/// How many calls race in one history: few enough for the checker, enough for every race of two or three.
const CLIENTS: usize = 5;
const CALLS: usize = 8;

/// Which verb clients load with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loads {
    Both,
    /// On several handles a cache may be stale, but not to `load_latest`.
    Latest,
}

/// Lets clients race on these sessions, which nobody has created yet, spread evenly over the handles.
pub(crate) async fn record_history(
    ctx: &Context,
    handles: &[Arc<dyn SessionBackend>],
    ids: &[SessionId],
    loads: Loads,
) -> CaseResult<Vec<Event>> {
    let ticks = Arc::new(AtomicU64::new(0));
    let racers = handles.iter().cycle().take(CLIENTS).enumerate().map(|(number, backend)| {
        let (client, backend, ticks) = (Client::new(ctx, ids, loads), backend.clone(), ticks.clone());
        racer(client.run(number, backend, ticks))
    });
    Ok(race(racers.collect()).await?.concat())
}

struct Client {
    rng: StdRng,
    start: Timestamp,
    loads: Loads,
    views: BTreeMap<SessionId, View>,
}

/// What a client knows of a session.
#[derive(Default)]
struct View {
    /// The record, as far as the client knows.
    current: Option<Record>,
    /// A revision that it had before.
    earlier: Option<Revision>,
}

impl Client {
    fn new(ctx: &Context, ids: &[SessionId], loads: Loads) -> Self {
        let views = ids.iter().map(|id| (*id, View::default())).collect();
        Self { rng: ctx.rng(), start: ctx.now(), loads, views }
    }

    async fn run(
        mut self,
        number: usize,
        backend: Arc<dyn SessionBackend>,
        ticks: Arc<AtomicU64>,
    ) -> CaseResult<Vec<Event>> {
        let mut events = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            hesitate(self.rng.random_range(0..3)).await;
            let call = self.next_call();
            let invoked = ticks.fetch_add(1, Ordering::SeqCst);
            let answer = call.send(&*backend).await?;
            let returned = ticks.fetch_add(1, Ordering::SeqCst);
            self.learn(&call, &answer);
            events.push(Event { client: number, call, invoked, returned, answer: Some(answer) });
        }
        Ok(events)
    }

    fn next_call(&mut self) -> Call {
        let ids: Vec<_> = self.views.keys().copied().collect();
        let id = ids[self.rng.random_range(0..ids.len())];
        let view = &self.views[&id];
        let (current, earlier) = (view.current.clone(), view.earlier);
        // Whole minutes, and ten of them to live: no store's own expiry gets near, whichever `now` it is told.
        let now = self.start.saturating_add(MINUTE * self.rng.random_range(0..5));
        let now = match &current {
            // The instant of death, to a client whose clock is ahead: everybody else sees a live session.
            Some(current) if self.rng.random_ratio(1, 8) => current.expires_at,
            _ => now,
        };
        let verb = match current {
            Some(current) => self.verb_on(&current, earlier, now),
            None => self.verb_on_nothing(earlier, now),
        };
        Call { id, now, verb }
    }

    fn verb_on(&mut self, current: &Record, earlier: Option<Revision>, now: Timestamp) -> Verb {
        let stale = earlier.unwrap_or_else(|| Revision::first(0));
        match self.rng.random_range(0..100) {
            0..9 => Verb::Create(self.record(None, now)),
            9..21 => self.load(),
            21..55 => {
                let record = self.record(Some(current.revision), now);
                Verb::Update { expected: current.revision, record }
            }
            55..62 => Verb::Update { expected: stale, record: self.record(Some(stale), now) },
            62..84 => self.touch(now),
            84..90 => Verb::Delete { expected: None },
            90..96 => Verb::Delete { expected: Some(current.revision) },
            _ => Verb::Delete { expected: Some(stale) },
        }
    }

    fn verb_on_nothing(&mut self, earlier: Option<Revision>, now: Timestamp) -> Verb {
        let old = earlier.unwrap_or_else(|| Revision::first(0));
        match self.rng.random_range(0..100) {
            0..50 => Verb::Create(self.record(None, now)),
            50..63 => self.load(),
            63..73 => Verb::Update { expected: old, record: self.record(Some(old), now) },
            73..83 => self.touch(now),
            83..92 => Verb::Delete { expected: None },
            _ => Verb::Delete { expected: Some(old) },
        }
    }

    fn load(&mut self) -> Verb {
        let latest = self.loads == Loads::Latest || self.rng.random_ratio(1, 4);
        if latest { Verb::LoadLatest } else { Verb::Load }
    }

    /// Shorter than what is there, longer, and past the deadline.
    fn touch(&mut self, now: Timestamp) -> Verb {
        Verb::Touch { expires_at: now.saturating_add(MINUTE * self.rng.random_range(10..180)) }
    }

    fn record(&mut self, after: Option<Revision>, now: Timestamp) -> Record {
        let rng = &mut self.rng;
        let random = rng.random();
        let revision = after.map_or_else(|| Revision::first(random), |after| after.next(random));
        let expires_at = now.saturating_add(MINUTE * rng.random_range(10..90));
        let deadline = expires_at.saturating_add(MINUTE * rng.random_range(0..60));
        let principal = ["alice", "bob"].get(rng.random_range(0..3_usize));
        Record::new(revision, now, expires_at, deadline)
            .with_principal(principal.and_then(|name| Principal::new(*name).ok()))
            .with_meta(format!("meta-{:08x}", rng.random::<u32>()))
            .with_data(format!("data-{:0width$x}", rng.random::<u32>(), width = rng.random_range(8..40)))
    }

    fn learn(&mut self, call: &Call, answer: &Answer) {
        let ahead = call.now > self.start.saturating_add(MINUTE * 5);
        let view = self.views.entry(call.id).or_default();
        let current = match (answer, &call.verb) {
            (Answer::Created, Verb::Create(record)) | (Answer::Updated, Verb::Update { record, .. }) => {
                Some(record.clone())
            }
            (Answer::Occupied(record) | Answer::Conflict(record) | Answer::Loaded(Some(record)), _) => {
                Some(record.clone())
            }
            (Answer::Deleted, _) => None,
            // Dead to a clock that was ahead says nothing about now.
            (Answer::Loaded(None) | Answer::Gone | Answer::Absent | Answer::Touched(false), _) if !ahead => {
                None
            }
            _ => return,
        };
        let before = view.current.take().map(|record| record.revision);
        if before != current.as_ref().map(|record| record.revision) {
            view.earlier = before.or(view.earlier);
        }
        view.current = current;
    }
}
