//! Stores that remove records by themselves, each with another idea of when.

use std::time::{Duration, SystemTime};

use session_core::{Record, Timestamp};

use super::store::Store;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoSlack,
    WallClock,
    Forever,
    CreateOnly,
    TouchForgotten,
    PastTheDeadline,
    RealTime,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::NoSlack, "kept_without_slack", "a store keeps a record for the slack after its end"),
    (Fault::WallClock, "kept_by_the_wall_clock", "a store's own expiry is relative to the caller's `now`"),
    (Fault::Forever, "kept_for_ever", "a store that removes records by itself removes all of them"),
    (Fault::CreateOnly, "kept_as_long_as_first_asked", "an update moves the store's own expiry"),
    (Fault::TouchForgotten, "kept_as_long_as_before_the_touch", "a touch moves the store's own expiry"),
    (
        Fault::PastTheDeadline,
        "kept_as_long_as_a_touch_asked",
        "a touch past the deadline moves the store's own expiry to the deadline",
    ),
    (Fault::RealTime, "kept_by_a_stopwatch", "a session lives by its caller's clock, not by real time"),
];

/// Which verb has stored a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Update,
    Touch { until: Timestamp },
}

/// Moves the store's own expiry after a verb.
pub(super) fn keep(
    fault: Option<Fault>,
    store: &Store,
    id: session_core::SessionId,
    record: Option<&Record>,
    verb: Verb,
    now: Timestamp,
) {
    let end = record.map_or(now, |record| record.expires_at);
    let life = end.saturating_duration_since(now).max(Duration::from_millis(1));
    let whole = life + store.slack();
    let left = match (fault, verb) {
        (Some(Fault::CreateOnly), Verb::Update) | (Some(Fault::TouchForgotten), Verb::Touch { .. }) => return,
        (Some(Fault::NoSlack | Fault::RealTime), _) => life,
        (Some(Fault::WallClock), _) => end.saturating_duration_since(SystemTime::now().into()),
        (Some(Fault::Forever), _) => Duration::MAX,
        (Some(Fault::PastTheDeadline), Verb::Touch { until }) => {
            until.max(end).saturating_duration_since(now) + store.slack()
        }
        _ => whole,
    };
    store.keep(id, left);
}
