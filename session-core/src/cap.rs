//! The limit on how many sessions one principal may have at a time.

use std::cmp::Reverse;

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
    /// The sign-in fails with [`LimitReached`](ErrorKind::LimitReached).
    Reject,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap {
    pub(crate) sessions: usize,
    pub(crate) policy: OnLimit,
}

/// A session's place in the order in which sessions give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    authenticated_at: Option<Timestamp>,
    id: SessionId,
}

impl Cap {
    /// Refuses a sign-in that is one too many before anything is written. A courtesy: two that look at the
    /// same time both pass, and [`enforce`](Self::enforce) settles it.
    pub(crate) async fn refuse_newcomer(
        self,
        manager: &SessionManager,
        principal: &Principal,
        own: Option<SessionId>,
    ) -> Result<()> {
        if self.policy == OnLimit::EvictOldest {
            return Ok(());
        }
        let others = ranked(manager, principal).await?;
        let others = others.iter().filter(|(rank, _)| Some(rank.id) != own).count();
        if others >= self.sessions { Err(ErrorKind::LimitReached.into()) } else { Ok(()) }
    }

    /// Ends the surplus, now that the session `own` is written: whoever looks last sees everybody.
    pub(crate) async fn enforce(
        self,
        manager: &SessionManager,
        principal: &Principal,
        own: SessionId,
    ) -> Result<()> {
        loop {
            let ranked = ranked(manager, principal).await?;
            let surplus = ranked.len().saturating_sub(self.sessions);
            let evicted = match self.policy {
                OnLimit::EvictOldest => &ranked[..surplus],
                OnLimit::Reject => {
                    let newest = &ranked[ranked.len() - surplus..];
                    match newest.iter().position(|(rank, _)| rank.id == own) {
                        Some(index) => &newest[index..=index],
                        None => return Ok(()),
                    }
                }
            };
            let mut changed = false;
            for (rank, revision) in evicted {
                changed |= !evict(manager, rank.id, *revision).await?;
            }
            match self.policy {
                // Written since it was ranked: it may have signed in anew.
                _ if changed => {}
                OnLimit::EvictOldest => return Ok(()),
                OnLimit::Reject => return Err(ErrorKind::LimitReached.into()),
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
            // One whose bookkeeping is damaged opens for nobody: it gives way first.
            let authenticated_at = Meta::decode(&record.meta).ok().and_then(|meta| meta.authenticated_at);
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
