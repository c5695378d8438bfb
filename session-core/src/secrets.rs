//! The secrets that a session has and had: what a presented one is worth, and what rotating does.
//!
//! Pure rules over digests and times. Each of them answers a way in which a browser could be signed
//! out, or a thief stay signed in; `tests/token_model.rs` searches for more.

use std::time::Duration;

use crate::Timestamp;
use crate::token::SecretDigest;

/// The digests of the current secret and of the last replaced ones.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    pub(crate) current: SecretDigest,
    pub(crate) issued_at: Timestamp,
    /// Newest first.
    pub(crate) replaced: Vec<Replaced>,
}

#[derive(Clone, Debug)]
pub(crate) struct Replaced {
    pub(crate) digest: SecretDigest,
    pub(crate) by: Rotation,
    /// When it died or will; `None` while none of its successors has been presented.
    pub(crate) valid_until: Option<Timestamp>,
}

/// Why a secret is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Somebody's rights changed: every earlier secret is dead at once (OWASP ASVS 7.2.4).
    Privilege,
    /// Time went by: the replaced secret stays valid until the browser has shown that it has the new
    /// one, and for `grace` after that, for requests in flight.
    Periodic,
}

/// What a presented secret is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// The one that opens it.
    Current,
    /// Replaced by a periodic rotation, and still valid.
    Replaced,
    /// Dead for less than `grace`: a request that was in flight.
    Superseded,
    /// Replaced by a periodic rotation, and dead for longer: somebody has kept a copy.
    Replayed,
    /// Dead for longer by a privilege rotation, never issued, or forgotten.
    Unknown,
}

impl Secrets {
    /// How many replaced digests are kept.
    const KEPT: usize = 4;

    pub(crate) fn new(current: SecretDigest, now: Timestamp) -> Self {
        Self { current, issued_at: now, replaced: Vec::new() }
    }

    pub(crate) fn classify(&self, digest: SecretDigest, now: Timestamp, grace: Duration) -> Presented {
        if self.current == digest {
            return Presented::Current;
        }
        let Some(old) = self.replaced.iter().find(|old| old.digest == digest) else {
            return Presented::Unknown;
        };
        match (old.valid_until, old.by) {
            (None, _) => Presented::Replaced,
            (Some(death), _) if now < death => Presented::Replaced,
            (Some(death), _) if now < death.saturating_add(grace) => Presented::Superseded,
            (Some(_), Rotation::Periodic) => Presented::Replayed,
            (Some(_), Rotation::Privilege) => Presented::Unknown,
        }
    }

    /// Notes that a valid secret was presented: those before it die `grace` from now, unless they
    /// were to die already. Whether there is anything to note.
    pub(crate) fn present(&mut self, digest: SecretDigest, now: Timestamp, grace: Duration) -> bool {
        if self.replaced.iter().all(|old| old.valid_until.is_some()) {
            return false;
        }
        let older = match self.replaced.iter().position(|old| old.digest == digest) {
            _ if self.current == digest => 0,
            Some(index) => index + 1,
            None => return false,
        };
        let mut noted = false;
        for old in self.replaced[older..].iter_mut().filter(|old| old.valid_until.is_none()) {
            old.valid_until = Some(now.saturating_add(grace));
            noted = true;
        }
        noted
    }

    pub(crate) fn rotate(&mut self, by: Rotation, fresh: SecretDigest, now: Timestamp) {
        let digest = std::mem::replace(&mut self.current, fresh);
        self.issued_at = now;
        self.replaced.insert(0, Replaced { digest, by, valid_until: None });
        self.replaced.truncate(Self::KEPT);
        if by == Rotation::Privilege {
            for old in &mut self.replaced {
                old.by = Rotation::Privilege;
                old.valid_until = Some(old.valid_until.map_or(now, |death| death.min(now)));
            }
        }
    }

    /// Whether a periodic rotation would forget no digest that still means something.
    pub(crate) fn has_room(&self, now: Timestamp, grace: Duration) -> bool {
        self.replaced.len() < Self::KEPT
            || self
                .replaced
                .last()
                .is_some_and(|old| old.valid_until.is_some_and(|death| now >= death.saturating_add(grace)))
    }

    /// Whether the answer that carried the current secret must have been lost: `digest` is valid, none
    /// of its successors has been presented, and there was time enough.
    pub(crate) fn is_reissue_due(&self, digest: SecretDigest, now: Timestamp, grace: Duration) -> bool {
        now >= self.issued_at.saturating_add(grace)
            && self.replaced.iter().any(|old| old.digest == digest && old.valid_until.is_none())
    }

    /// Whether a request that came with `digest` may write: every rotation since was periodic. A digest
    /// that was forgotten counts as replaced for privilege.
    pub(crate) fn may_write(&self, digest: SecretDigest) -> bool {
        self.current == digest
            || self.replaced.iter().any(|old| old.digest == digest && old.by == Rotation::Periodic)
    }

    /// Whether a request that came with `digest` may replace every secret.
    ///
    /// Not while the answer that carries the current one may be under way: if it arrived after this
    /// one's, the browser would be left with a dead secret.
    pub(crate) fn may_change_privilege(&self, digest: SecretDigest, now: Timestamp, grace: Duration) -> bool {
        let arrived = self.replaced.first().is_none_or(|old| old.valid_until.is_some());
        let lost = now >= self.issued_at.saturating_add(grace);
        self.may_write(digest) && (self.current == digest || arrived || lost)
    }
}

#[cfg(test)]
mod tests;
