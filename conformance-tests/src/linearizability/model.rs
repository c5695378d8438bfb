//! What each verb does and answers when nothing else runs: the table of the contract, line by line.

use std::collections::BTreeMap;

use session_core::{Principal, Record, SessionId, Timestamp};

use super::call::{Answer, Call, Verb};

/// Every record that is stored, live or dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    records: BTreeMap<SessionId, Record>,
}

impl Model {
    /// Does what the verb does, and answers.
    pub(crate) fn apply(&mut self, call: &Call) -> Answer {
        let Call { id, now, verb } = call;
        let live = self.record(*id).filter(|record| *now < record.expires_at).cloned();
        match (verb, live) {
            (Verb::Create(_), Some(current)) => Answer::Occupied(current),
            (Verb::Create(record), None) => {
                self.records.insert(*id, record.clone());
                Answer::Created
            }
            (Verb::Load | Verb::LoadLatest, live) => Answer::Loaded(live),
            (Verb::Update { .. }, None) => Answer::Gone,
            (Verb::Update { expected, .. }, Some(current)) if *expected != current.revision => {
                Answer::Conflict(current)
            }
            (Verb::Update { record, .. }, Some(_)) => {
                self.records.insert(*id, record.clone());
                Answer::Updated
            }
            (Verb::Touch { .. }, None) => Answer::Touched(false),
            (Verb::Touch { expires_at }, Some(mut current)) => {
                current.expires_at = current.deadline.min(current.expires_at.max(*expires_at));
                current.touched_at = current.touched_at.max(*now);
                self.records.insert(*id, current);
                Answer::Touched(true)
            }
            (Verb::Delete { .. }, None) => Answer::Absent,
            (Verb::Delete { expected: Some(expected) }, Some(current)) if *expected != current.revision => {
                Answer::Conflict(current)
            }
            (Verb::Delete { .. }, Some(_)) => {
                self.records.remove(id);
                Answer::Deleted
            }
        }
    }

    /// Removes what is dead; how many that were.
    pub(crate) fn purge(&mut self, now: Timestamp) -> u64 {
        let before = self.records.len();
        self.records.retain(|_, record| now < record.expires_at);
        (before - self.records.len()) as u64
    }

    /// The live records of `principal`, or all of them.
    pub(crate) fn list(&self, principal: Option<&Principal>, now: Timestamp) -> BTreeMap<SessionId, Record> {
        let is_listed = |record: &Record| {
            now < record.expires_at
                && principal.is_none_or(|wanted| record.principal.as_ref() == Some(wanted))
        };
        let listed = self.records.iter().filter(|(_, record)| is_listed(record));
        listed.map(|(id, record)| (*id, record.clone())).collect()
    }

    /// What is stored under the id, live or dead.
    pub(crate) fn record(&self, id: SessionId) -> Option<&Record> {
        self.records.get(&id)
    }
}
