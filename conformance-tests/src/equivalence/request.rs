//! What a program asks of a store, and what the store replies, in a form that two stores can be compared by.

use std::collections::BTreeMap;
use std::fmt;

use session_core::{Principal, Record, SessionBackend, SessionId, Timestamp};

use crate::check::{self, CaseResult, Failure};
use crate::linearizability::{Answer, Call, Model};
use crate::recorder::time;

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Call(Call),
    /// All that is dead, in as many calls as it takes.
    Purge {
        now: Timestamp,
    },
    /// All pages.
    List {
        principal: Option<Principal>,
        limit: usize,
        now: Timestamp,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    Removed(u64),
    /// In the order of ids, whatever order the pages had: a driver has its own.
    Listed(BTreeMap<SessionId, Record>),
}

impl Request {
    pub(crate) async fn send(&self, backend: &dyn SessionBackend) -> CaseResult<Reply> {
        match self {
            Self::Call(call) => Ok(Reply::Answer(call.send(backend).await?)),
            Self::Purge { now } => purge(backend, *now).await.map(Reply::Removed),
            Self::List { principal, limit, now } => {
                list(backend, principal.as_ref(), *limit, *now).await.map(Reply::Listed)
            }
        }
    }

    /// What the contract replies.
    pub(crate) fn apply(&self, model: &mut Model) -> Reply {
        match self {
            Self::Call(call) => Reply::Answer(model.apply(call)),
            Self::Purge { now } => Reply::Removed(model.purge(*now)),
            Self::List { principal, now, .. } => Reply::Listed(model.list(principal.as_ref(), *now)),
        }
    }
}

impl Reply {
    /// Fails unless both are equal; names what is not.
    #[track_caller]
    pub(crate) fn expect(&self, expected: &Self, what: &str) -> CaseResult {
        match (self, expected) {
            (Self::Answer(actual), Self::Answer(expected)) => actual.expect(expected, what),
            (Self::Removed(actual), Self::Removed(expected)) => check::equal(actual, expected, what),
            (Self::Listed(actual), Self::Listed(expected)) => {
                let ids = |listed: &BTreeMap<SessionId, Record>| listed.keys().copied().collect::<Vec<_>>();
                check::equal(ids(actual), ids(expected), what)?;
                let mut pairs = actual.values().zip(expected.values());
                pairs.try_for_each(|(actual, expected)| check::same(actual, expected, what))
            }
            _ => Err(Failure::new(format!("{what}: expected {expected}, got {self}"))),
        }
    }
}

/// How many were removed until nothing was left to remove.
async fn purge(backend: &dyn SessionBackend, now: Timestamp) -> CaseResult<u64> {
    const CALLS: usize = 100;
    let mut removed = 0;
    for _ in 0..CALLS {
        let purged = backend.purge_expired(now, 100).await?;
        removed += purged.removed;
        if purged.removed == 0 && !purged.more {
            return Ok(removed);
        }
    }
    Err(Failure::new(format!("purge_expired has more after {CALLS} calls")))
}

async fn list(
    backend: &dyn SessionBackend,
    principal: Option<&Principal>,
    limit: usize,
    now: Timestamp,
) -> CaseResult<BTreeMap<SessionId, Record>> {
    const PAGES: usize = 1000;
    let (mut sessions, mut after) = (BTreeMap::new(), None);
    for _ in 0..PAGES {
        let page = backend.list(principal, after, limit, now).await?;
        sessions.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return Ok(sessions);
        }
    }
    Err(Failure::new(format!("the list has no end after {PAGES} pages")))
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => write!(f, "{call}"),
            Self::Purge { now } => write!(f, "purge_expired, until nothing is left, at {}", time(*now)),
            Self::List { principal, limit, now } => {
                let whose = principal.as_ref().map_or("all".into(), |name| format!("{:?}", name.as_str()));
                write!(f, "list {whose}, all pages of {limit}, at {}", time(*now))
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => write!(f, "{answer}"),
            Self::Removed(removed) => write!(f, "{removed} removed"),
            Self::Listed(sessions) => write!(f, "{} sessions", sessions.len()),
        }
    }
}
