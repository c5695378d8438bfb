//! Writes down what a case asked of the driver and what it answered, for the report of a failure.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Listing, Principal, Purged, Record, Result, Revision,
    SessionBackend, SessionId, Timestamp, UpdateOutcome,
};

use crate::context::START;

/// The last steps of a case, oldest first. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<String>,
    dropped: usize,
}

const KEPT: usize = 40;

impl Steps {
    pub(crate) fn push(&self, line: String) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.lines.len() == KEPT {
            log.lines.pop_front();
            log.dropped += 1;
        }
        log.lines.push_back(line);
    }

    pub(crate) fn report(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if log.dropped > 0 {
            let _ = writeln!(text, "    .. {} earlier steps ..", log.dropped);
        }
        for line in &log.lines {
            let _ = writeln!(text, "    {line}");
        }
        text
    }
}

/// A backend whose calls are written down when they return: in a race the order is that of returning.
#[derive(Debug)]
pub(crate) struct Recorder {
    label: &'static str,
    inner: Arc<dyn SessionBackend>,
    steps: Steps,
}

impl Recorder {
    pub(crate) fn new(label: &'static str, inner: Arc<dyn SessionBackend>, steps: Steps) -> Self {
        Self { label, inner, steps }
    }

    fn step<T>(&self, call: &str, result: Result<T>, answer: impl FnOnce(&T) -> String) -> Result<T> {
        let answer = match &result {
            Ok(value) => answer(value),
            Err(error) => format!("{error:?}"),
        };
        self.steps.push(format!("{}{call} -> {answer}", self.label));
        result
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionBackend for Recorder {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let call = format!("create {} {} at {}", key(id), brief(&record), time(now));
        self.step(&call, self.inner.create(id, record, now).await, |outcome| match outcome {
            CreateOutcome::Created => "Created".into(),
            CreateOutcome::Occupied(current) => format!("Occupied {}", brief(current)),
        })
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let call = format!("load {} at {}", key(id), time(now));
        self.step(&call, self.inner.load(id, now).await, loaded)
    }

    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let call = format!("load_latest {} at {}", key(id), time(now));
        self.step(&call, self.inner.load_latest(id, now).await, loaded)
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let new = brief(&record);
        let call = format!("update {} expecting {} to {new} at {}", key(id), revision(expected), time(now));
        self.step(&call, self.inner.update(id, expected, record, now).await, |outcome| match outcome {
            UpdateOutcome::Updated => "Updated".into(),
            UpdateOutcome::Conflict(current) => format!("Conflict {}", brief(current)),
            UpdateOutcome::Gone => "Gone".into(),
        })
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let call = format!("touch {} until {} at {}", key(id), time(expires_at), time(now));
        self.step(&call, self.inner.touch(id, expires_at, now).await, bool::to_string)
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let expecting = expected.map_or("any".into(), revision);
        let call = format!("delete {} expecting {expecting} at {}", key(id), time(now));
        self.step(&call, self.inner.delete(id, expected, now).await, |outcome| match outcome {
            DeleteOutcome::Deleted => "Deleted".into(),
            DeleteOutcome::Conflict(current) => format!("Conflict {}", brief(current)),
            DeleteOutcome::Absent => "Absent".into(),
        })
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        let call = format!("purge_expired at {} limit {limit}", time(now));
        self.step(&call, self.inner.purge_expired(now, limit).await, |purged| {
            format!("{} removed, more: {}", purged.removed, purged.more)
        })
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let whose = principal.map_or("all".into(), |principal| format!("{:?}", principal.as_str()));
        let from = if after.is_some() { " after a cursor" } else { "" };
        let call = format!("list {whose}{from} limit {limit} at {}", time(now));
        self.step(&call, self.inner.list(principal, after, limit, now).await, |listing| {
            let more = if listing.next.is_some() { ", more behind" } else { "" };
            format!("{} sessions{more}", listing.sessions.len())
        })
    }
}

fn loaded(record: &Option<Record>) -> String {
    record.as_ref().map_or("None".into(), brief)
}

/// The whole id: cases choose ids that differ in one bit.
fn key(id: SessionId) -> String {
    id.to_string()
}

/// Milliseconds since the start of the case's clock.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{:+}", at.as_millis() - START.as_millis())
}

pub(crate) fn revision(revision: Revision) -> String {
    format!("{}:{:08x}", revision.sequence(), revision.as_i64() & 0xffff_ffff)
}

pub(crate) fn brief(record: &Record) -> String {
    let Record { revision: version, expires_at, deadline, touched_at, principal, meta, data, .. } = record;
    let whose = principal.as_ref().map_or("nobody".into(), |name| format!("{:?}", name.as_str()));
    format!(
        "[{} of {whose}, until {} of {}, touched {}, {}+{} bytes]",
        revision(*version),
        time(*expires_at),
        time(*deadline),
        time(*touched_at),
        meta.len(),
        data.len(),
    )
}
