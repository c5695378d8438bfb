//! Updates that break one rule each.

use session_core::{Error, ErrorKind, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    EqualIsConflict,
    EqualStoresNothing,
    EqualKeepsPrincipal,
    EqualKeepsMeta,
    EqualKeepsData,
    EqualKeepsExpiry,
    EqualNeverShortens,
    EqualKeepsDeadline,
    EqualKeepsTouchedAt,
    EqualKeepsRevision,
    EqualLeavesTail,
    EqualTears,
    DiffersStores,
    DiffersConflictsButStores,
    DiffersReturnsItsOwn,
    DiffersReturnsSnapshot,
    DiffersReadsLater,
    DiffersIsGone,
    ComparesSequence,
    ComparesRandomPart,
    ComparesAsDouble,
    AcceptsNewer,
    RacesUpdate,
    RarelyRacesUpdate,
    RacesDelete,
    ExpiredRevived,
    ExpiredDiffersRevived,
    ExpiredIsConflict,
    ExpiredDiffersIsConflict,
    ExpiredGoneButStored,
    AbsentCreates,
    AbsentGoneButCreates,
    AbsentSaysUpdated,
    AbsentIsError,
    DeletedRevived,
    TooLargeRemoves,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::EqualIsConflict, "update_equal_is_conflict", "update with the current revision is `Updated`"),
    (Fault::EqualStoresNothing, "update_equal_stores_nothing", "update stores the record"),
    (Fault::EqualKeepsPrincipal, "update_keeps_principal", "update stores the principal as given"),
    (Fault::EqualKeepsMeta, "update_keeps_meta", "update stores the meta as given"),
    (Fault::EqualKeepsData, "update_keeps_data", "update stores the data as given"),
    (Fault::EqualKeepsExpiry, "update_keeps_expiry", "update stores `expires_at` as given"),
    (
        Fault::EqualNeverShortens,
        "update_never_shortens",
        "update stores `expires_at` as given, a nearer one too",
    ),
    (Fault::EqualKeepsDeadline, "update_keeps_deadline", "update stores the deadline as given"),
    (Fault::EqualKeepsTouchedAt, "update_keeps_touched_at", "update stores `touched_at` as given"),
    (Fault::EqualKeepsRevision, "update_keeps_revision", "update stores the revision as given"),
    (Fault::EqualLeavesTail, "update_leaves_tail", "a shorter record leaves nothing of the longer one"),
    (Fault::EqualTears, "update_tears", "a partial record is never visible"),
    (Fault::DiffersStores, "update_differs_stores", "update with another revision is `Conflict`"),
    (
        Fault::DiffersConflictsButStores,
        "update_differs_conflicts_but_stores",
        "update with another revision leaves the record as it is",
    ),
    (Fault::DiffersReturnsItsOwn, "update_differs_returns_its_own", "`Conflict` carries what is stored"),
    (
        Fault::DiffersReturnsSnapshot,
        "update_differs_returns_snapshot",
        "`Conflict` is never a stale snapshot",
    ),
    (
        Fault::DiffersReadsLater,
        "update_differs_reads_later",
        "`Conflict` carries another revision than the expected one",
    ),
    (
        Fault::DiffersIsGone,
        "update_differs_is_gone",
        "update with another revision is `Conflict`, not `Gone`",
    ),
    (
        Fault::ComparesSequence,
        "update_compares_sequence",
        "revisions are compared whole: the random part too",
    ),
    (
        Fault::ComparesRandomPart,
        "update_compares_random_part",
        "revisions are compared whole: the sequence too",
    ),
    (Fault::ComparesAsDouble, "update_compares_as_double", "revisions are compared exactly"),
    (Fault::AcceptsNewer, "update_accepts_newer", "revisions are compared for equality, not for order"),
    (Fault::RacesUpdate, "update_races_update", "of several updates with one expected revision, one wins"),
    (
        Fault::RarelyRacesUpdate,
        "update_rarely_races_update",
        "of several updates with one expected revision, one wins, each time",
    ),
    (Fault::RacesDelete, "update_races_delete", "no late update brings a deleted session back"),
    (Fault::ExpiredRevived, "update_expired_revived", "update of an expired record is `Gone`"),
    (
        Fault::ExpiredDiffersRevived,
        "update_expired_differs_revived",
        "update of an expired record is `Gone`, with another revision too",
    ),
    (Fault::ExpiredIsConflict, "update_expired_is_conflict", "update of an expired record is `Gone`"),
    (
        Fault::ExpiredDiffersIsConflict,
        "update_expired_differs_is_conflict",
        "update of an expired record is `Gone`, with another revision too",
    ),
    (
        Fault::ExpiredGoneButStored,
        "update_expired_gone_but_stored",
        "update of an expired record stores nothing",
    ),
    (Fault::AbsentCreates, "update_absent_creates", "update of an absent id is `Gone`, nothing created"),
    (Fault::AbsentGoneButCreates, "update_absent_gone_but_creates", "update of an absent id creates nothing"),
    (Fault::AbsentSaysUpdated, "update_absent_says_updated", "update of an absent id is `Gone`"),
    (Fault::AbsentIsError, "update_absent_is_error", "update of an absent id is `Gone`, not an error"),
    (Fault::DeletedRevived, "update_deleted_revived", "update of a deleted session is `Gone`"),
    (Fault::TooLargeRemoves, "update_too_large_removes", "an update that is `TooLarge` leaves the record"),
];

pub(super) async fn update(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expected: Revision,
    record: Record,
    now: Timestamp,
) -> Result<UpdateOutcome> {
    let Some(current) = store.load(id, now).await? else {
        return match store.dead_or_alive(id).await? {
            Some(expired) => of_expired(fault, store, id, expected, record, expired).await,
            None => of_absent(fault, store, id, record).await,
        };
    };
    if current.revision == expected {
        of_equal(fault, store, id, current, record, now).await
    } else {
        of_different(fault, store, id, expected, current, record, now).await
    }
}

async fn of_equal(
    fault: Fault,
    store: &Store,
    id: SessionId,
    current: Record,
    mut record: Record,
    now: Timestamp,
) -> Result<UpdateOutcome> {
    let expected = current.revision;
    match fault {
        Fault::EqualIsConflict => return Ok(UpdateOutcome::Conflict(current)),
        Fault::EqualStoresNothing => return Ok(UpdateOutcome::Updated),
        Fault::EqualKeepsPrincipal => record.principal = current.principal,
        Fault::EqualKeepsMeta => record.meta = current.meta,
        Fault::EqualKeepsData => record.data = current.data,
        Fault::EqualKeepsExpiry => record.expires_at = current.expires_at,
        Fault::EqualNeverShortens => record.expires_at = record.expires_at.max(current.expires_at),
        Fault::EqualKeepsDeadline => record.deadline = current.deadline,
        Fault::EqualKeepsTouchedAt => record.touched_at = current.touched_at,
        Fault::EqualKeepsRevision => record.revision = expected,
        Fault::EqualLeavesTail => {
            let tail = current.data.get(record.data.len()..).unwrap_or_default();
            record.data = [&record.data, tail].concat().into();
        }
        Fault::EqualTears => {
            let half = record.clone().with_data(current.data);
            let outcome = store.update(id, expected, half, now).await?;
            if outcome == UpdateOutcome::Updated {
                pause().await;
                // Whoever was quicker has overwritten this update, which had its turn before.
                let _ = store.update(id, record.revision, record, now).await?;
            }
            return Ok(outcome);
        }
        Fault::RarelyRacesUpdate if !store.is_nth(8) => {}
        Fault::RacesUpdate | Fault::RarelyRacesUpdate => {
            pause().await;
            // Compares with whatever is there by now.
            loop {
                let Some(latest) = store.load(id, now).await? else { return Ok(UpdateOutcome::Gone) };
                let outcome = store.update(id, latest.revision, record.clone(), now).await?;
                if outcome == UpdateOutcome::Updated {
                    return Ok(outcome);
                }
            }
        }
        Fault::RacesDelete => {
            pause().await;
            let outcome = store.update(id, expected, record.clone(), now).await?;
            if outcome == UpdateOutcome::Gone {
                store.force(id, record).await?;
                return Ok(UpdateOutcome::Updated);
            }
            return Ok(outcome);
        }
        _ => {}
    }
    store.update(id, expected, record, now).await
}

async fn of_different(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expected: Revision,
    current: Record,
    record: Record,
    now: Timestamp,
) -> Result<UpdateOutcome> {
    let random = |revision: Revision| revision.as_i64() & 0xffff_ffff;
    let double = |revision: Revision| revision.as_i64() as f64;
    let stores = match fault {
        Fault::DiffersStores => true,
        Fault::ComparesSequence => expected.sequence() == current.revision.sequence(),
        Fault::ComparesRandomPart => random(expected) == random(current.revision),
        Fault::ComparesAsDouble => double(expected) == double(current.revision),
        Fault::AcceptsNewer => record.revision > current.revision,
        _ => false,
    };
    match fault {
        _ if stores => store.update(id, current.revision, record, now).await,
        Fault::DiffersConflictsButStores => {
            let _ = store.update(id, current.revision, record, now).await?;
            Ok(UpdateOutcome::Conflict(current))
        }
        Fault::DiffersReturnsItsOwn => Ok(UpdateOutcome::Conflict(record)),
        Fault::DiffersReturnsSnapshot => Ok(UpdateOutcome::Conflict(store.previous(id).unwrap_or(current))),
        Fault::DiffersReadsLater => {
            for _ in 0..20 {
                pause().await;
            }
            Ok(store.load(id, now).await?.map_or(UpdateOutcome::Gone, UpdateOutcome::Conflict))
        }
        Fault::DiffersIsGone => Ok(UpdateOutcome::Gone),
        _ => store.update(id, expected, record, now).await,
    }
}

async fn of_expired(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expected: Revision,
    record: Record,
    expired: Record,
) -> Result<UpdateOutcome> {
    let equal = expired.revision == expected;
    match fault {
        Fault::ExpiredRevived if equal => store.force(id, record).await.map(|()| UpdateOutcome::Updated),
        Fault::ExpiredDiffersRevived if !equal => {
            store.force(id, record).await.map(|()| UpdateOutcome::Updated)
        }
        Fault::ExpiredIsConflict if equal => Ok(UpdateOutcome::Conflict(expired)),
        Fault::ExpiredDiffersIsConflict if !equal => Ok(UpdateOutcome::Conflict(expired)),
        Fault::ExpiredGoneButStored if equal => store.force(id, record).await.map(|()| UpdateOutcome::Gone),
        _ => Ok(UpdateOutcome::Gone),
    }
}

async fn of_absent(fault: Fault, store: &Store, id: SessionId, record: Record) -> Result<UpdateOutcome> {
    let deleted = store.deleted(id);
    match fault {
        Fault::AbsentCreates if deleted.is_none() => {
            store.force(id, record).await.map(|()| UpdateOutcome::Updated)
        }
        Fault::AbsentGoneButCreates if deleted.is_none() => {
            store.force(id, record).await.map(|()| UpdateOutcome::Gone)
        }
        Fault::AbsentSaysUpdated if deleted.is_none() => Ok(UpdateOutcome::Updated),
        Fault::AbsentIsError if deleted.is_none() => Err(Error::describe(ErrorKind::Internal, "no row")),
        Fault::DeletedRevived if deleted.is_some() => {
            store.force(id, record).await.map(|()| UpdateOutcome::Updated)
        }
        _ => Ok(UpdateOutcome::Gone),
    }
}
