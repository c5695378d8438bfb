//! The limit on how many sessions one principal may have at a time.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use crate::manager::Pages;
use crate::meta::Meta;
use crate::{
    DeleteOutcome, ErrorKind, Principal, Result, Revision, SessionEvent, SessionId, SessionManager, Timestamp,
};

/// Who gives way when a principal has too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLimit {
    /// The sessions that signed in longest ago are ended.
    EvictOldest,
    /// The sign-in fails with [`LimitReached`](ErrorKind::LimitReached), as a rule before anything is written. Where
    /// several at once are one too many, some fail later, and then what they wrote is gone: the session of a
    /// visitor who signed in with them, too. A sign-in whose answer was lost takes its place until it expires
    /// or is revoked.
    Reject,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap {
    pub(crate) sessions: usize,
    pub(crate) policy: OnLimit,
}

/// How long a newcomer waits for others to give way.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks.
const STEP: Duration = Duration::from_millis(20);

/// A session's place in the order in which sessions give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    authenticated_at: Option<Timestamp>,
    id: SessionId,
}

impl Cap {
    /// Refuses a sign-in that is one too many before anything is written. A courtesy: two that look at the
    /// same time both pass, and [`enforce`](Self::enforce) settles it. Those in `own` are the request's: it ends
    /// them or signs in to them anew.
    pub(crate) async fn refuse_newcomer(
        self,
        manager: &SessionManager,
        principal: &Principal,
        own: &[SessionId],
    ) -> Result<()> {
        if self.policy == OnLimit::EvictOldest {
            return Ok(());
        }
        let others = ranked(manager, principal).await?;
        let others = others.iter().filter(|(rank, _)| !own.contains(&rank.id)).count();
        if others >= self.sessions { Err(ErrorKind::LimitReached.into()) } else { Ok(()) }
    }

    /// Settles the surplus, now that the session `own` is written: whoever looks last sees everybody.
    pub(crate) async fn enforce(
        self,
        manager: &SessionManager,
        principal: &Principal,
        own: SessionId,
    ) -> Result<()> {
        match self.policy {
            OnLimit::EvictOldest => self.evict_oldest(manager, principal).await,
            OnLimit::Reject => self.undo_newcomer(manager, principal, own).await,
        }
    }

    async fn evict_oldest(self, manager: &SessionManager, principal: &Principal) -> Result<()> {
        loop {
            let ranked = ranked(manager, principal).await?;
            let surplus = ranked.len().saturating_sub(self.sessions);
            let mut settled = true;
            for (rank, revision) in &ranked[..surplus] {
                // Not if it was written since it was ranked: it may have signed in anew.
                settled &= evict(manager, rank.id, *revision).await?;
            }
            if settled {
                return Ok(());
            }
        }
    }

    /// Stays only where a look finds no surplus at all: of any that stay, the one that was written last has
    /// seen the others. Those of the highest rank go at once. The others wait for them, but not for ever: one
    /// that was written earlier, by a clock that is ahead, may have looked by then and stay.
    async fn undo_newcomer(
        self,
        manager: &SessionManager,
        principal: &Principal,
        own: SessionId,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ranked = ranked(manager, principal).await?;
            let place = ranked.iter().position(|(rank, _)| rank.id == own);
            let Some(place) = place.filter(|_| ranked.len() > self.sessions) else { return Ok(()) };
            if place < self.sessions && Instant::now() < deadline {
                tokio::time::sleep(STEP).await;
            } else if evict(manager, own, ranked[place].1).await? {
                return Err(ErrorKind::LimitReached.into());
            }
        }
    }
}

/// The live sessions of a principal, those that give way first in front.
async fn ranked(manager: &SessionManager, principal: &Principal) -> Result<Vec<(Rank, Revision)>> {
    let mut ranked = Vec::new();
    let mut pages = Pages::of(manager, Some(principal));
    while let Some(page) = pages.advance().await? {
        for (id, record) in page {
            let authenticated_at = match Meta::decode(&record.meta) {
                Ok(meta) => meta.authenticated_at,
                // A later release opens it: it signed in no later than it was last used.
                Err(error) if error.kind() == ErrorKind::UnknownFormat => Some(record.touched_at),
                // It opens for nobody: it gives way first.
                Err(_) => None,
            };
            ranked.push((Rank { authenticated_at, id }, record.revision));
        }
    }
    // A session that signed in anew between two pages may be here with both ranks: the later one counts.
    ranked.sort_unstable_by_key(|(rank, _)| (rank.id, Reverse(rank.authenticated_at)));
    ranked.dedup_by_key(|(rank, _)| rank.id);
    ranked.sort_unstable();
    Ok(ranked)
}

/// Ends a session unless it was written since; whether it is gone.
async fn evict(manager: &SessionManager, id: SessionId, revision: Revision) -> Result<bool> {
    match manager.store().delete(id, Some(revision), manager.now()).await? {
        DeleteOutcome::Deleted => {
            manager.notice(SessionEvent::Revoked(id));
            Ok(true)
        }
        DeleteOutcome::Absent => Ok(true),
        DeleteOutcome::Conflict(_) => Ok(false),
    }
}
