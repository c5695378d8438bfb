//! What happens to sessions, counted and told: see [`SessionEvents`] and [`Stats`].

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::{Error, ErrorKind, Result, SessionId};

/// Hears what happens to sessions: for audit logs and alarms.
///
/// It is called on a thread of its own, one event after the other, so it may block, and can neither fail
/// nor delay an operation. It may also panic: the event is lost, nothing else. An event that comes while
/// 1024 others wait is dropped, and counted in [`Stats::events_dropped`].
pub trait SessionEvents: Debug + Send + Sync + 'static {
    /// Something happened, a moment ago.
    fn on_event(&self, event: &SessionEvent);
}

/// Something that happened to a session in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A session was stored for the first time.
    Created(SessionId),
    /// Its secret was replaced.
    Rotated(SessionId),
    /// A request came with a secret that was replaced a moment ago, and was refused.
    Superseded(SessionId),
    /// A request came with the id of a live session and a secret that is not its: never issued,
    /// forgotten, or replaced at a sign-in.
    Forged(SessionId),
    /// A request came with a secret that was replaced periodically, long ago: somebody has kept a copy.
    Replayed(SessionId),
    /// A request came with the tokens of these two live sessions, and got neither: somebody may have planted
    /// one of them.
    Ambiguous(SessionId, SessionId),
    /// A request ended its session.
    Destroyed(SessionId),
    /// A session was ended from outside: by its principal, an operator, a limit or a replay.
    Revoked(SessionId),
    /// So many expired sessions were removed.
    Expired(u64),
    /// A commit met the commit of another request, and went on from there.
    Conflict(SessionId),
}

/// How often each [`SessionEvent`] has happened in this process, since the manager was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// [`Created`](SessionEvent::Created).
    pub created_total: u64,
    /// [`Rotated`](SessionEvent::Rotated).
    pub rotated_total: u64,
    /// [`Superseded`](SessionEvent::Superseded).
    pub superseded_total: u64,
    /// [`Forged`](SessionEvent::Forged).
    pub forged_total: u64,
    /// [`Replayed`](SessionEvent::Replayed).
    pub replayed_total: u64,
    /// [`Ambiguous`](SessionEvent::Ambiguous).
    pub ambiguous_total: u64,
    /// [`Destroyed`](SessionEvent::Destroyed).
    pub destroyed_total: u64,
    /// [`Revoked`](SessionEvent::Revoked).
    pub revoked_total: u64,
    /// Sessions of [`Expired`](SessionEvent::Expired).
    pub expired_total: u64,
    /// [`Conflict`](SessionEvent::Conflict).
    pub conflict_total: u64,
    /// Events that the listener was too slow for.
    pub events_dropped: u64,
}

/// Counts events and passes them on.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    counters: Counters,
    listener: Option<SyncSender<SessionEvent>>,
}

#[derive(Debug, Default)]
struct Counters {
    created: AtomicU64,
    rotated: AtomicU64,
    superseded: AtomicU64,
    forged: AtomicU64,
    replayed: AtomicU64,
    ambiguous: AtomicU64,
    destroyed: AtomicU64,
    revoked: AtomicU64,
    expired: AtomicU64,
    conflict: AtomicU64,
    dropped: AtomicU64,
}

const BACKLOG: usize = 1024;

impl Observer {
    /// An observer that tells `listener`, on a thread that ends with the observer.
    pub(crate) fn telling(listener: Arc<dyn SessionEvents>) -> Result<Self> {
        let (sender, receiver) = sync_channel(BACKLOG);
        thread::Builder::new()
            .name("session-events".into())
            .spawn(move || tell(&*listener, &receiver))
            .map_err(|error| Error::new(ErrorKind::Internal, error).with_detail("no thread for events"))?;
        Ok(Self { counters: Counters::default(), listener: Some(sender) })
    }

    pub(crate) fn notice(&self, event: SessionEvent) {
        let counters = &self.counters;
        let (counter, times) = match event {
            SessionEvent::Created(_) => (&counters.created, 1),
            SessionEvent::Rotated(_) => (&counters.rotated, 1),
            SessionEvent::Superseded(_) => (&counters.superseded, 1),
            SessionEvent::Forged(_) => (&counters.forged, 1),
            SessionEvent::Replayed(_) => (&counters.replayed, 1),
            SessionEvent::Ambiguous(..) => (&counters.ambiguous, 1),
            SessionEvent::Destroyed(_) => (&counters.destroyed, 1),
            SessionEvent::Revoked(_) => (&counters.revoked, 1),
            SessionEvent::Expired(removed) => (&counters.expired, removed),
            SessionEvent::Conflict(_) => (&counters.conflict, 1),
        };
        counter.fetch_add(times, Ordering::Relaxed);
        if let Some(listener) = &self.listener
            && listener.try_send(event).is_err()
        {
            counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Taken apart, so that a new counter is shown.
        let Counters {
            created,
            rotated,
            superseded,
            forged,
            replayed,
            ambiguous,
            destroyed,
            revoked,
            expired,
            conflict,
            dropped,
        } = &self.counters;
        Stats {
            created_total: read(created),
            rotated_total: read(rotated),
            superseded_total: read(superseded),
            forged_total: read(forged),
            replayed_total: read(replayed),
            ambiguous_total: read(ambiguous),
            destroyed_total: read(destroyed),
            revoked_total: read(revoked),
            expired_total: read(expired),
            conflict_total: read(conflict),
            events_dropped: read(dropped),
        }
    }
}

fn tell(listener: &dyn SessionEvents, events: &Receiver<SessionEvent>) {
    while let Ok(event) = events.recv() {
        // The panic hook has told of it; the next event is none of its business.
        let _panicked = catch_unwind(AssertUnwindSafe(|| listener.on_event(&event))).is_err();
    }
}
