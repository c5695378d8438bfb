//! Counts what histories were made of: a check that never meets a conflict checks no conflicts.

use std::collections::BTreeMap;

use super::call::{Answer, Verb};
use super::history::Event;
use crate::check::{self, CaseResult};

/// How often each verb gave each of its answers, and how many calls met another client's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<&'static str, usize>,
    pub(crate) calls: usize,
    pub(crate) overlapping: usize,
}

/// Every cell of the contract's table that a history can show.
const OUTCOMES: [&str; 14] = [
    "create: Created",
    "create: Occupied",
    "load: Some",
    "load: None",
    "update: Updated",
    "update: Conflict",
    "update: Gone",
    "touch: true",
    "touch: false",
    "delete of any: Deleted",
    "delete of any: Absent",
    "delete of one: Deleted",
    "delete of one: Conflict",
    "delete of one: Absent",
];

impl Tally {
    pub(crate) fn add(&mut self, events: &[Event]) {
        for event in events {
            let meets = |other: &Event| other.client != event.client && other.overlaps(event);
            self.calls += 1;
            self.overlapping += usize::from(events.iter().any(meets));
            if let Some(outcome) = outcome(event) {
                *self.outcomes.entry(outcome).or_default() += 1;
            }
        }
    }

    pub(crate) fn count(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    /// Fails unless every answer came, and not only once in a thousand calls.
    pub(crate) fn expect_every_outcome(&self) -> CaseResult {
        let rare: Vec<_> =
            OUTCOMES.iter().filter(|outcome| self.count(outcome) * 1000 < self.calls).collect();
        check::ensure(rare.is_empty(), format!("the histories hardly show {rare:?}: {self:?}"))
    }
}

fn outcome(event: &Event) -> Option<&'static str> {
    Some(match (&event.call.verb, event.answer.as_ref()?) {
        (Verb::Create(_), Answer::Created) => "create: Created",
        (Verb::Create(_), _) => "create: Occupied",
        (Verb::Load | Verb::LoadLatest, Answer::Loaded(None)) => "load: None",
        (Verb::Load | Verb::LoadLatest, _) => "load: Some",
        (Verb::Update { .. }, Answer::Updated) => "update: Updated",
        (Verb::Update { .. }, Answer::Conflict(_)) => "update: Conflict",
        (Verb::Update { .. }, _) => "update: Gone",
        (Verb::Touch { .. }, Answer::Touched(true)) => "touch: true",
        (Verb::Touch { .. }, _) => "touch: false",
        (Verb::Delete { expected: None }, Answer::Deleted) => "delete of any: Deleted",
        (Verb::Delete { expected: None }, _) => "delete of any: Absent",
        (Verb::Delete { expected: Some(_) }, Answer::Deleted) => "delete of one: Deleted",
        (Verb::Delete { expected: Some(_) }, Answer::Conflict(_)) => "delete of one: Conflict",
        (Verb::Delete { expected: Some(_) }, _) => "delete of one: Absent",
    })
}
