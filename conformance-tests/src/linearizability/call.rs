//! One call of a verb, and what it answered.

use std::fmt;

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionBackend, SessionId, Timestamp,
    UpdateOutcome,
};

use crate::check::{self, CaseResult};
use crate::recorder::{brief, revision, time};

/// A verb on one id, with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: SessionId,
    pub(crate) now: Timestamp,
    pub(crate) verb: Verb,
}

#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Create(Record),
    Load,
    LoadLatest,
    Update { expected: Revision, record: Record },
    Touch { expires_at: Timestamp },
    Delete { expected: Option<Revision> },
}

/// What any of the verbs answered. No answer fits two verbs with different meanings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Created,
    Occupied(Record),
    Loaded(Option<Record>),
    Updated,
    Conflict(Record),
    Gone,
    Touched(bool),
    Deleted,
    Absent,
}

impl Call {
    pub(crate) async fn send(&self, backend: &dyn SessionBackend) -> Result<Answer> {
        let Self { id, now, verb } = self;
        let (id, now) = (*id, *now);
        Ok(match verb {
            Verb::Create(record) => match backend.create(id, record.clone(), now).await? {
                CreateOutcome::Created => Answer::Created,
                CreateOutcome::Occupied(current) => Answer::Occupied(current),
            },
            Verb::Load => Answer::Loaded(backend.load(id, now).await?),
            Verb::LoadLatest => Answer::Loaded(backend.load_latest(id, now).await?),
            Verb::Update { expected, record } => {
                match backend.update(id, *expected, record.clone(), now).await? {
                    UpdateOutcome::Updated => Answer::Updated,
                    UpdateOutcome::Conflict(current) => Answer::Conflict(current),
                    UpdateOutcome::Gone => Answer::Gone,
                }
            }
            Verb::Touch { expires_at } => Answer::Touched(backend.touch(id, *expires_at, now).await?),
            Verb::Delete { expected } => match backend.delete(id, *expected, now).await? {
                DeleteOutcome::Deleted => Answer::Deleted,
                DeleteOutcome::Conflict(current) => Answer::Conflict(current),
                DeleteOutcome::Absent => Answer::Absent,
            },
        })
    }
}

impl Answer {
    /// Whether a call with this answer has left everything as it was.
    pub(crate) fn changes_nothing(&self) -> bool {
        match self {
            Self::Created | Self::Updated | Self::Touched(true) | Self::Deleted => false,
            Self::Occupied(_) | Self::Loaded(_) | Self::Conflict(_) | Self::Gone => true,
            Self::Touched(false) | Self::Absent => true,
        }
    }

    fn record(&self) -> Option<&Record> {
        match self {
            Self::Occupied(record) | Self::Conflict(record) | Self::Loaded(Some(record)) => Some(record),
            _ => None,
        }
    }

    /// Fails unless both are equal; names the fields of records that are not.
    #[track_caller]
    pub(crate) fn expect(&self, expected: &Self, what: &str) -> CaseResult {
        let same_variant = std::mem::discriminant(self) == std::mem::discriminant(expected);
        match (self.record(), expected.record()) {
            (Some(actual), Some(expected)) if same_variant => check::same(actual, expected, what),
            _ => check::ensure(self == expected, format!("{what}: expected {expected}, got {self}")),
        }
    }
}

impl fmt::Display for Call {
    /// Without the id, which means nothing to a reader.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verb {
            Verb::Create(record) => write!(f, "create {}", brief(record)),
            Verb::Load => write!(f, "load"),
            Verb::LoadLatest => write!(f, "load_latest"),
            Verb::Update { expected, record } => {
                write!(f, "update expecting {} to {}", revision(*expected), brief(record))
            }
            Verb::Touch { expires_at } => write!(f, "touch until {}", time(*expires_at)),
            Verb::Delete { expected: None } => write!(f, "delete expecting any"),
            Verb::Delete { expected: Some(expected) } => {
                write!(f, "delete expecting {}", revision(*expected))
            }
        }?;
        write!(f, " at {}", time(self.now))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("Created"),
            Self::Occupied(current) => write!(f, "Occupied {}", brief(current)),
            Self::Loaded(None) => f.write_str("None"),
            Self::Loaded(Some(record)) => f.write_str(&brief(record)),
            Self::Updated => f.write_str("Updated"),
            Self::Conflict(current) => write!(f, "Conflict {}", brief(current)),
            Self::Gone => f.write_str("Gone"),
            Self::Touched(touched) => write!(f, "{touched}"),
            Self::Deleted => f.write_str("Deleted"),
            Self::Absent => f.write_str("Absent"),
        }
    }
}
