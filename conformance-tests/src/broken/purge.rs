//! Purges that break one rule each.

use std::sync::atomic::Ordering;
use std::time::Duration;

use session_core::{
    DeleteOutcome, Error, ErrorKind, Purged, Record, Result, SessionBackend as _, SessionId, Timestamp,
};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    RemovesLive,
    RemovesEarly,
    RemovesNothing,
    RemovesLate,
    SparesPrincipals,
    IgnoresLimit,
    SaysNoMore,
    AlwaysMore,
    CountsNothing,
    CountsWhatOthersRemoved,
    SelectsThenRemoves,
    Limit0IsNone,
    LocksEverybodyOut,
    IsUnsupported,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::RemovesLive, "purge_removes_live", "purge_expired never removes a live record"),
    (
        Fault::RemovesEarly,
        "purge_removes_early",
        "a record is alive while `now < expires_at`, to a purge too",
    ),
    (Fault::RemovesNothing, "purge_removes_nothing", "purge_expired removes what is dead"),
    (Fault::RemovesLate, "purge_removes_late", "purge_expired removes what is dead, at the instant too"),
    (Fault::SparesPrincipals, "purge_spares_principals", "purge_expired removes whatever is dead"),
    (Fault::IgnoresLimit, "purge_ignores_limit", "purge_expired removes at most `limit`"),
    (Fault::SaysNoMore, "purge_says_no_more", "`more` is true while dead records are left"),
    (Fault::AlwaysMore, "purge_always_more", "purge_expired ends when called again and again"),
    (Fault::CountsNothing, "purge_counts_nothing", "purge_expired counts what it removed"),
    (
        Fault::CountsWhatOthersRemoved,
        "purge_counts_what_others_removed",
        "purge_expired counts what it removed itself",
    ),
    (
        Fault::SelectsThenRemoves,
        "purge_selects_then_removes",
        "purge_expired carries its predicate into the deletion",
    ),
    (Fault::Limit0IsNone, "purge_limit_0_is_none", "a purge with a limit of 0 removes nothing"),
    (Fault::LocksEverybodyOut, "purge_locks_everybody_out", "a purge keeps no writer from its work"),
    (Fault::IsUnsupported, "purge_is_unsupported", "a verb that the driver promises is not `Unsupported`"),
];

pub(super) async fn purge_expired(
    fault: Fault,
    store: &Store,
    now: Timestamp,
    limit: usize,
) -> Result<Purged> {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let memory = &store.memory;
    match fault {
        Fault::RemovesLive => memory.purge_expired(Timestamp::MAX, limit).await,
        Fault::RemovesEarly => memory.purge_expired(now.saturating_add(MILLISECOND), limit).await,
        Fault::RemovesNothing => Ok(Purged::default()),
        Fault::RemovesLate => memory.purge_expired(now.saturating_sub(MILLISECOND), limit).await,
        Fault::SparesPrincipals => remove(store, now, limit, |record| record.principal.is_none()).await,
        Fault::IgnoresLimit => memory.purge_expired(now, usize::MAX).await,
        Fault::SaysNoMore => {
            memory.purge_expired(now, limit).await.map(|purged| Purged::new(purged.removed, false))
        }
        Fault::AlwaysMore => {
            memory.purge_expired(now, limit).await.map(|purged| Purged::new(purged.removed, true))
        }
        Fault::CountsNothing => {
            memory.purge_expired(now, limit).await.map(|purged| Purged::new(0, purged.more))
        }
        Fault::CountsWhatOthersRemoved => {
            let (selected, more) = select(store, now, limit, |_| true).await?;
            pause().await;
            for (id, _) in &selected {
                if store.expired(*id, now).await?.is_some() {
                    let _ = memory.delete(*id, None, Timestamp::MIN).await?;
                }
            }
            Ok(Purged::new(selected.len() as u64, more))
        }
        Fault::SelectsThenRemoves => remove(store, now, limit, |_| true).await,
        Fault::Limit0IsNone => memory.purge_expired(now, if limit == 0 { usize::MAX } else { limit }).await,
        Fault::LocksEverybodyOut => {
            store.is_locked.store(true, Ordering::SeqCst);
            let purged = memory.purge_expired(now, limit).await;
            // Until somebody has come, if anybody comes.
            for _ in 0..100 {
                if !store.is_locked.load(Ordering::SeqCst) {
                    break;
                }
                pause().await;
            }
            store.is_locked.store(false, Ordering::SeqCst);
            purged
        }
        Fault::IsUnsupported => Err(Error::from(ErrorKind::Unsupported)),
    }
}

/// Removes dead records, whatever becomes of them between the look and the blow.
async fn remove(
    store: &Store,
    now: Timestamp,
    limit: usize,
    wanted: impl Fn(&Record) -> bool + Send,
) -> Result<Purged> {
    let (selected, more) = select(store, now, limit, wanted).await?;
    // Long enough for whoever else is at it.
    for _ in 0..4 {
        pause().await;
    }
    let mut removed = 0;
    for (id, _) in selected {
        let outcome = store.memory.delete(id, None, Timestamp::MIN).await?;
        removed += u64::from(outcome == DeleteOutcome::Deleted);
    }
    Ok(Purged::new(removed, more))
}

async fn select(
    store: &Store,
    now: Timestamp,
    limit: usize,
    wanted: impl Fn(&Record) -> bool + Send,
) -> Result<(Vec<(SessionId, Record)>, bool)> {
    let mut dead = store.memory.list(None, None, usize::MAX, Timestamp::MIN).await?.sessions;
    dead.retain(|(_, record)| !record.is_live(now) && wanted(record));
    let more = limit > 0 && dead.len() > limit;
    dead.truncate(limit);
    Ok((dead, more))
}
