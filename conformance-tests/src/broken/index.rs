//! Stores with an index of principals beside the records, which is not always right.

use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Listing, Principal, Purged, Record, Result, Revision,
    SessionBackend as _, SessionId, Timestamp, UpdateOutcome,
};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    CleanedByLists,
    EndsWithTheFirstExpiry,
    LeftByDelete,
    LeftByPurge,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (
        Fault::CleanedByLists,
        "index_cleaned_by_lists",
        "a list takes no session off the index whose create is still under way",
    ),
    (
        Fault::EndsWithTheFirstExpiry,
        "index_ends_with_the_first_expiry",
        "a touched session stays on the list of its principal",
    ),
    (Fault::LeftByDelete, "index_left_by_delete", "a deleted session leaves nothing in the store"),
    (Fault::LeftByPurge, "index_left_by_purge", "a purged session leaves nothing in the store"),
];

/// The entry comes first, as it must: a record without one would be in no list.
async fn enter(fault: Fault, store: &Store, id: SessionId, record: &Record) {
    if let Some(principal) = &record.principal {
        store.index(id, principal, record.expires_at);
        if matches!(fault, Fault::CleanedByLists) {
            pause().await;
        }
    }
}

pub(super) async fn create(
    fault: Fault,
    store: &Store,
    id: SessionId,
    record: Record,
    now: Timestamp,
) -> Result<CreateOutcome> {
    if store.load(id, now).await?.is_none() {
        enter(fault, store, id, &record).await;
    }
    store.create(id, record, now).await
}

pub(super) async fn update(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expected: Revision,
    record: Record,
    now: Timestamp,
) -> Result<UpdateOutcome> {
    if store.load(id, now).await?.is_some_and(|current| current.revision == expected) {
        enter(fault, store, id, &record).await;
    }
    store.update(id, expected, record, now).await
}

pub(super) async fn delete(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expected: Option<Revision>,
    now: Timestamp,
) -> Result<DeleteOutcome> {
    let outcome = store.delete(id, expected, now).await?;
    if outcome == DeleteOutcome::Deleted && !matches!(fault, Fault::LeftByDelete) {
        store.unindex(id);
    }
    Ok(outcome)
}

pub(super) async fn purge_expired(
    fault: Fault,
    store: &Store,
    now: Timestamp,
    limit: usize,
) -> Result<Purged> {
    let purged = store.memory.purge_expired(now, limit).await?;
    if !matches!(fault, Fault::LeftByPurge) {
        for id in store.indexed() {
            if store.dead_or_alive(id).await?.is_none() {
                store.unindex(id);
            }
        }
    }
    Ok(purged)
}

pub(super) async fn list(
    fault: Fault,
    store: &Store,
    principal: Option<&Principal>,
    after: Option<Cursor>,
    limit: usize,
    now: Timestamp,
) -> Result<Listing> {
    let mut page = store.memory.list(principal, after, limit, now).await?;
    let Some(principal) = principal else { return Ok(page) };
    match fault {
        Fault::CleanedByLists => {
            for id in store.indexed() {
                let record = store.dead_or_alive(id).await?;
                if record.is_none_or(|record| record.principal.is_none()) {
                    store.unindex(id);
                }
            }
            page.sessions.retain(|(id, _)| store.is_indexed(*id, principal, Timestamp::MIN));
        }
        Fault::EndsWithTheFirstExpiry => {
            page.sessions.retain(|(id, _)| store.is_indexed(*id, principal, now));
        }
        Fault::LeftByDelete | Fault::LeftByPurge => {}
    }
    Ok(page)
}
