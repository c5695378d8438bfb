//! What each verb does and answers when nothing else runs: the table of the contract, line by line.

use std::collections::BTreeMap;

use session_core::{Record, SessionId};

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

    /// What is stored under the id, live or dead.
    fn record(&self, id: SessionId) -> Option<&Record> {
        self.records.get(&id)
    }
}
