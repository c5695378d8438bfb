//! How a case says what it expects. A failure is a value with the place where it was noticed, never a
//! panic: hundreds of them are expected when the suite runs on broken backends.

use std::fmt::{self, Debug};
use std::panic::Location;

use session_core::{CreateOutcome, DeleteOutcome, Error, Record, UpdateOutcome};

/// The result of a case, or of a step of one.
pub(crate) type CaseResult<T = ()> = Result<T, Failure>;

/// Why a case failed, and where.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    location: &'static Location<'static>,
}

impl Failure {
    #[track_caller]
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), location: Location::caller() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.message, self.location.file(), self.location.line())
    }
}

impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("the verb failed: {error:?}"))
    }
}

impl From<std::io::Error> for Failure {
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        Self::new(format!("the suite's own network failed: {error}"))
    }
}

impl From<tokio::task::JoinError> for Failure {
    #[track_caller]
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(format!("a task panicked: {error}"))
    }
}

/// Fails with `message` unless `condition` holds.
#[track_caller]
pub(crate) fn ensure(condition: bool, message: impl Into<String>) -> CaseResult {
    if condition { Ok(()) } else { Err(Failure::new(message)) }
}

/// Fails unless both are equal.
#[track_caller]
pub(crate) fn equal<T: PartialEq + Debug>(actual: T, expected: T, what: &str) -> CaseResult {
    ensure(actual == expected, format!("{what}: expected {expected:?}, got {actual:?}"))
}

/// Fails unless both records are equal in every field; names the fields that are not.
#[track_caller]
pub(crate) fn same(actual: &Record, expected: &Record, what: &str) -> CaseResult {
    let mut wrong = Vec::new();
    let mut field = |name: &str, equal: bool, actual: &dyn Debug, expected: &dyn Debug| {
        if !equal {
            wrong.push(format!("{name} is {actual:?} instead of {expected:?}"));
        }
    };
    let (a, e) = (actual, expected);
    field("revision", a.revision == e.revision, &a.revision, &e.revision);
    field("expires_at", a.expires_at == e.expires_at, &a.expires_at, &e.expires_at);
    field("deadline", a.deadline == e.deadline, &a.deadline, &e.deadline);
    field("touched_at", a.touched_at == e.touched_at, &a.touched_at, &e.touched_at);
    let (a_name, e_name) = (a.principal.as_ref(), e.principal.as_ref());
    let (a_name, e_name) = (a_name.map(|name| name.as_str()), e_name.map(|name| name.as_str()));
    field("principal", a_name == e_name, &a_name, &e_name);
    field("meta", a.meta == e.meta, &excerpt(&a.meta), &excerpt(&e.meta));
    field("data", a.data == e.data, &excerpt(&a.data), &excerpt(&e.data));
    ensure(wrong.is_empty(), format!("{what}: {}", wrong.join("; ")))?;
    // What the list above may have forgotten.
    ensure(actual == expected, format!("{what}: the records differ"))
}

fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(24)];
    format!("{} bytes, {}", bytes.len(), start.escape_ascii())
}

/// Fails unless a load found this record.
#[track_caller]
pub(crate) fn found(actual: Option<Record>, expected: &Record, what: &str) -> CaseResult {
    match actual {
        Some(actual) => same(&actual, expected, what),
        None => Err(Failure::new(format!("{what}: the record is missing"))),
    }
}

/// Fails unless a load found nothing.
#[track_caller]
pub(crate) fn missing(actual: Option<Record>, what: &str) -> CaseResult {
    ensure(actual.is_none(), format!("{what}: expected no record, got {actual:?}"))
}

/// Fails unless a create stored its record.
#[track_caller]
pub(crate) fn created(outcome: CreateOutcome) -> CaseResult {
    equal(outcome, CreateOutcome::Created, "create")
}

/// Fails unless a create met this record.
#[track_caller]
pub(crate) fn occupied(outcome: CreateOutcome, current: &Record) -> CaseResult {
    match outcome {
        CreateOutcome::Occupied(actual) => same(&actual, current, "create's Occupied"),
        CreateOutcome::Created => Err(Failure::new("create: expected Occupied, got Created")),
    }
}

/// Fails unless an update stored its record.
#[track_caller]
pub(crate) fn updated(outcome: UpdateOutcome) -> CaseResult {
    equal(outcome, UpdateOutcome::Updated, "update")
}

/// Fails unless an update met this record.
#[track_caller]
pub(crate) fn conflict(outcome: UpdateOutcome, current: &Record) -> CaseResult {
    match outcome {
        UpdateOutcome::Conflict(actual) => same(&actual, current, "update's Conflict"),
        other => Err(Failure::new(format!("update: expected Conflict, got {other:?}"))),
    }
}

/// Fails unless an update found no live record.
#[track_caller]
pub(crate) fn gone(outcome: UpdateOutcome) -> CaseResult {
    equal(outcome, UpdateOutcome::Gone, "update")
}

/// Fails unless a delete removed a record.
#[track_caller]
pub(crate) fn deleted(outcome: DeleteOutcome) -> CaseResult {
    equal(outcome, DeleteOutcome::Deleted, "delete")
}

/// Fails unless a delete met this record.
#[track_caller]
pub(crate) fn delete_conflict(outcome: DeleteOutcome, current: &Record) -> CaseResult {
    match outcome {
        DeleteOutcome::Conflict(actual) => same(&actual, current, "delete's Conflict"),
        other => Err(Failure::new(format!("delete: expected Conflict, got {other:?}"))),
    }
}

/// Fails unless a delete found no live record.
#[track_caller]
pub(crate) fn nothing_deleted(outcome: DeleteOutcome) -> CaseResult {
    equal(outcome, DeleteOutcome::Absent, "delete")
}
