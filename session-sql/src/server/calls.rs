//! What the calls of each verb ask for, and what it means for one that its row was changed, or left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome,
};

use crate::batching::Request;

#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) id: SessionId,
    pub(crate) now: Timestamp,
    pub(super) answers: Arc<AnswerSize>,
}

#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) id: SessionId,
    pub(crate) record: Record,
    pub(crate) now: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) id: SessionId,
    pub(crate) expected: Revision,
    pub(crate) record: Record,
    pub(crate) now: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Touch {
    pub(crate) id: SessionId,
    pub(crate) expires_at: Timestamp,
    pub(crate) now: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) id: SessionId,
    pub(crate) expected: Option<Revision>,
    pub(crate) now: Timestamp,
}

/// A call that changes its session's row, or tells why not.
pub(crate) trait Write: Request {
    fn now(&self) -> Timestamp;

    /// Its outcome if a statement has changed the row.
    fn changed(&self) -> Result<Self::Outcome>;

    /// If the statement has left the row alone and nothing else needs to be known.
    fn left_alone(&self) -> Option<Result<Self::Outcome>> {
        None
    }

    /// If the statement has left the row alone and the live record was `found` since. `None` if that does not explain
    /// it.
    fn met(&self, found: Option<Record>) -> Option<Result<Self::Outcome>>;
}

impl Write for Create {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn changed(&self) -> Result<CreateOutcome> {
        Ok(CreateOutcome::Created)
    }

    fn met(&self, found: Option<Record>) -> Option<Result<CreateOutcome>> {
        // Without one it has expired, or is gone by now: not that anybody else has done what was asked for.
        found.map(|current| Ok(CreateOutcome::Occupied(current)))
    }
}

impl Write for Update {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn changed(&self) -> Result<UpdateOutcome> {
        Ok(UpdateOutcome::Updated)
    }

    fn met(&self, found: Option<Record>) -> Option<Result<UpdateOutcome>> {
        match found {
            None => Some(Ok(UpdateOutcome::Gone)),
            Some(current) if current.revision != self.expected => Some(Ok(UpdateOutcome::Conflict(current))),
            // It matches by now.
            Some(_) => None,
        }
    }
}

impl Write for Touch {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn changed(&self) -> Result<bool> {
        Ok(true)
    }

    fn met(&self, found: Option<Record>) -> Option<Result<bool>> {
        found.is_none().then_some(Ok(false))
    }
}

impl Write for Delete {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn changed(&self) -> Result<DeleteOutcome> {
        Ok(DeleteOutcome::Deleted)
    }

    fn left_alone(&self) -> Option<Result<DeleteOutcome>> {
        self.expected.is_none().then_some(Ok(DeleteOutcome::Absent))
    }

    fn met(&self, found: Option<Record>) -> Option<Result<DeleteOutcome>> {
        match found {
            None => Some(Ok(DeleteOutcome::Absent)),
            Some(current) if Some(current.revision) != self.expected => {
                Some(Ok(DeleteOutcome::Conflict(current)))
            }
            Some(_) => None,
        }
    }
}

/// How large the answers of loads are, by those that came lately: nobody knows before.
#[derive(Debug)]
pub(crate) struct AnswerSize(AtomicUsize);

impl AnswerSize {
    /// What is assumed of the first.
    const UNKNOWN: usize = 64 << 10;

    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(Self::UNKNOWN))
    }

    /// Takes note of what came at once. A larger one counts from now on; that all are smaller, by and by.
    pub(super) fn note<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let largest = records.map(bytes_of).max().unwrap_or(ROW_BYTES);
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(largest.max(before - before / 8), Ordering::Relaxed);
    }

    fn estimate(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a row takes beside what is counted below.
const ROW_BYTES: usize = 64;

fn bytes_of(record: &Record) -> usize {
    let principal = record.principal.as_ref().map_or(0, |principal| principal.as_str().len());
    ROW_BYTES + principal + record.meta.len() + record.data.len()
}

impl Request for Load {
    type Outcome = Option<Record>;

    const ONLY_READS: bool = true;

    fn id(&self) -> SessionId {
        self.id
    }

    /// What counts is the answer.
    fn weight(&self) -> usize {
        self.answers.estimate()
    }
}

impl Request for Create {
    type Outcome = CreateOutcome;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        bytes_of(&self.record)
    }
}

impl Request for Update {
    type Outcome = UpdateOutcome;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        bytes_of(&self.record)
    }
}

impl Request for Touch {
    type Outcome = bool;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        ROW_BYTES
    }
}

impl Request for Delete {
    type Outcome = DeleteOutcome;

    const ONLY_READS: bool = false;

    fn id(&self) -> SessionId {
        self.id
    }

    fn weight(&self) -> usize {
        ROW_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(bytes: usize) -> Record {
        let time = Timestamp::from_millis(1).unwrap();
        Record::new(Revision::first(1), time, time, time).with_data(vec![b'x'; bytes])
    }

    #[test]
    fn the_largest_answer_counts_until_smaller_ones_have_come_for_a_while() {
        let answers = AnswerSize::new();
        assert_eq!(answers.estimate(), AnswerSize::UNKNOWN);
        answers.note([sized(10), sized(1 << 20), sized(20)].iter());
        let large = (1 << 20) + ROW_BYTES;
        assert_eq!(answers.estimate(), large);
        answers.note([sized(10)].iter());
        assert!(answers.estimate() < large && answers.estimate() > large / 2);
        for _ in 0..100 {
            answers.note([sized(10)].iter());
        }
        assert_eq!(answers.estimate(), 10 + ROW_BYTES);
    }
}
