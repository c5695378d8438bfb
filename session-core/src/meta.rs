//! The core's bookkeeping of a session: what `Record::meta` holds, once it is read.
//!
//! What damage can do: bookkeeping with a flipped bit, with up to 32 flipped bits in a row, or cut off anywhere,
//! is `Corrupt` (`UnknownFormat` where the version byte was hit) and stays as it is. So no damaged digest, time
//! or policy is ever believed: no token opens a session that it did not open before, none that was replaced
//! comes back to life, and no session outlives its limits. The other fields of a record are the driver's and the
//! store's to protect.

mod wire;

use std::collections::BTreeMap;

use crate::secrets::Secrets;
use crate::token::SecretDigest;
use crate::{Codec, Lifetime, Revision, Timestamp};

/// What the core knows of a session beside its values.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) created_at: Timestamp,
    /// The last sign-in; `None` before the first.
    pub(crate) authenticated_at: Option<Timestamp>,
    pub(crate) lifetime: Lifetime,
    pub(crate) codec: Codec,
    pub(crate) secrets: Secrets,
    earlier_revisions: History,
    /// Fields of a later release within the same version; kept on rewrite.
    unknown: BTreeMap<String, rmpv::Value>,
}

/// Whether a write that was attempted has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    Yes,
    No,
    /// Too many writes since: nobody can tell.
    Unknown,
}

const REVISIONS_KEPT: usize = 8;

/// Random parts of the revisions before this record's, newest first. Their sequences are those right below it,
/// because every update takes the next. In place, because every request decodes one.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    randoms: [u32; REVISIONS_KEPT],
    len: usize,
}

impl History {
    fn randoms(&self) -> &[u32] {
        &self.randoms[..self.len]
    }

    /// The newest of these, which come newest first.
    fn of(randoms: impl ExactSizeIterator<Item = u32>) -> Self {
        let mut history = Self { len: REVISIONS_KEPT.min(randoms.len()), ..Self::default() };
        history.randoms.iter_mut().zip(randoms).for_each(|(kept, random)| *kept = random);
        history
    }

    /// Puts one in front; the oldest gives way.
    fn push(&mut self, random: u32) {
        self.randoms.copy_within(..REVISIONS_KEPT - 1, 1);
        self.randoms[0] = random;
        self.len = REVISIONS_KEPT.min(self.len + 1);
    }
}

impl Meta {
    pub(crate) fn new(current: SecretDigest, lifetime: Lifetime, codec: Codec, now: Timestamp) -> Self {
        Self {
            created_at: now,
            authenticated_at: None,
            lifetime,
            codec,
            secrets: Secrets::new(current, now),
            earlier_revisions: History::default(),
            unknown: BTreeMap::new(),
        }
    }

    /// Leaves nothing of the session that this was but its id, secrets and history: somebody else signs in.
    pub(crate) fn start_over(&mut self, lifetime: Lifetime, now: Timestamp) {
        self.created_at = now;
        self.lifetime = lifetime;
        // Whatever a later release has noted here, it noted about somebody else.
        self.unknown.clear();
    }

    /// When the absolute lifetime began.
    pub(crate) fn period_start(&self) -> Timestamp {
        self.authenticated_at.unwrap_or(self.created_at)
    }

    /// Remembers `revision` as the one before the record that this will be part of.
    pub(crate) fn push_revision(&mut self, revision: Revision) {
        self.earlier_revisions.push(revision.random());
    }

    /// Whether the write with revision `attempted` is part of the history of the record that has
    /// `revision` and this bookkeeping.
    pub(crate) fn landed(&self, revision: Revision, attempted: Revision) -> Landed {
        if revision == attempted {
            return Landed::Yes;
        }
        let Some(writes_since) = revision.sequence().checked_sub(attempted.sequence()) else {
            return Landed::No;
        };
        match (writes_since as usize).checked_sub(1).map(|index| self.earlier_revisions.randoms().get(index))
        {
            None => Landed::No,
            Some(Some(random)) if *random == attempted.random() => Landed::Yes,
            Some(Some(_)) => Landed::No,
            Some(None) => Landed::Unknown,
        }
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
