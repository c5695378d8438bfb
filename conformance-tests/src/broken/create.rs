//! Creates that break one rule each.

use session_core::{CreateOutcome, Record, Result, SessionId, Timestamp};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    LiveOverwritten,
    LiveUpserted,
    LiveSaysCreated,
    LiveReturnsItsOwn,
    ExpiredIsOccupied,
    ExpiredKept,
    ExpiredLeavesMeta,
    ExpiredRaces,
    AbsentStoresNothing,
    AbsentSaysOccupied,
    AbsentRaces,
    DeletedIsOccupied,
    DeletedLeavesPrincipal,
    BornDeadIsImmortal,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::LiveOverwritten, "create_live_overwritten", "create on a live id leaves the original untouched"),
    (
        Fault::LiveUpserted,
        "create_live_upserted",
        "create on a live id is `Occupied`, the original untouched",
    ),
    (Fault::LiveSaysCreated, "create_live_says_created", "create on a live id is `Occupied`"),
    (Fault::LiveReturnsItsOwn, "create_live_returns_its_own", "`Occupied` carries what is stored"),
    (Fault::ExpiredIsOccupied, "create_expired_is_occupied", "create over an expired record replaces it"),
    (Fault::ExpiredKept, "create_expired_kept", "create over an expired record stores the new one"),
    (
        Fault::ExpiredLeavesMeta,
        "create_expired_leaves_meta",
        "create over an expired record replaces all of it",
    ),
    (Fault::ExpiredRaces, "create_expired_races", "create replaces an expired record atomically"),
    (Fault::AbsentStoresNothing, "create_absent_stores_nothing", "create on an absent id stores the record"),
    (Fault::AbsentSaysOccupied, "create_absent_says_occupied", "create on an absent id is `Created`"),
    (Fault::AbsentRaces, "create_absent_races", "of several creates with one id, one wins"),
    (Fault::DeletedIsOccupied, "create_deleted_is_occupied", "create on a deleted id stores the record"),
    (
        Fault::DeletedLeavesPrincipal,
        "create_deleted_leaves_principal",
        "create on a deleted id keeps nothing of the old record",
    ),
    (
        Fault::BornDeadIsImmortal,
        "create_dead_is_immortal",
        "a record that is dead when it is stored stays dead",
    ),
];

pub(super) async fn create(
    fault: Fault,
    store: &Store,
    id: SessionId,
    mut record: Record,
    now: Timestamp,
) -> Result<CreateOutcome> {
    let live = store.load(id, now).await?;
    let expired = store.expired(id, now).await?;
    match (fault, live, expired) {
        (Fault::LiveOverwritten, Some(current), _) => {
            store.force(id, record).await?;
            return Ok(CreateOutcome::Occupied(current));
        }
        (Fault::LiveUpserted, Some(_), _) => {
            store.force(id, record).await?;
            return Ok(CreateOutcome::Created);
        }
        (Fault::LiveSaysCreated, Some(_), _) | (Fault::ExpiredKept, _, Some(_)) => {
            return Ok(CreateOutcome::Created);
        }
        (Fault::LiveReturnsItsOwn, Some(_), _) => return Ok(CreateOutcome::Occupied(record)),
        (Fault::ExpiredIsOccupied, _, Some(expired)) => return Ok(CreateOutcome::Occupied(expired)),
        (Fault::ExpiredLeavesMeta, _, Some(expired)) => record.meta = expired.meta,
        (Fault::ExpiredRaces, None, Some(_)) | (Fault::AbsentRaces, None, None) => {
            pause().await;
            store.force(id, record).await?;
            return Ok(CreateOutcome::Created);
        }
        (Fault::AbsentStoresNothing, None, None) => return Ok(CreateOutcome::Created),
        (Fault::AbsentSaysOccupied, None, None) => {
            store.force(id, record.clone()).await?;
            return Ok(CreateOutcome::Occupied(record));
        }
        (Fault::DeletedIsOccupied, None, None) => {
            if let Some(deleted) = store.deleted(id) {
                return Ok(CreateOutcome::Occupied(deleted));
            }
        }
        (Fault::DeletedLeavesPrincipal, None, None) => {
            record.principal = record.principal.or(store.deleted(id).and_then(|deleted| deleted.principal));
        }
        (Fault::BornDeadIsImmortal, None, _) if !record.is_live(now) => record.expires_at = Timestamp::MAX,
        _ => {}
    }
    store.create(id, record, now).await
}
