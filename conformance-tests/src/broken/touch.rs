//! Touches that break one rule each.

use bytes::Bytes;
use session_core::{Error, ErrorKind, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    LiveIgnored,
    LiveSaysFalse,
    LiveShortens,
    LivePassesDeadline,
    LiveChangesRevision,
    LiveChangesData,
    LiveChangesPrincipal,
    LiveKeepsTouchedAt,
    LiveMovesTouchedAtBack,
    RacesUpdate,
    RacesTouch,
    RacesDelete,
    ExpiredRevived,
    ExpiredSaysTrue,
    AbsentCreates,
    AbsentSaysTrue,
    AbsentIsError,
    DeletedRevived,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::LiveIgnored, "touch_live_ignored", "touch moves `expires_at` of a live record"),
    (Fault::LiveSaysFalse, "touch_live_says_false", "touch says whether there was a live record"),
    (Fault::LiveShortens, "touch_live_shortens", "touch never moves `expires_at` back"),
    (
        Fault::LivePassesDeadline,
        "touch_live_passes_deadline",
        "no touch moves `expires_at` past the deadline",
    ),
    (Fault::LiveChangesRevision, "touch_live_changes_revision", "touch leaves the revision as it was"),
    (Fault::LiveChangesData, "touch_live_changes_data", "touch leaves the data as it was"),
    (Fault::LiveChangesPrincipal, "touch_live_changes_principal", "touch leaves the principal as it was"),
    (Fault::LiveKeepsTouchedAt, "touch_live_keeps_touched_at", "touch moves `touched_at` to `now`"),
    (
        Fault::LiveMovesTouchedAtBack,
        "touch_live_moves_touched_at_back",
        "touch never moves `touched_at` back",
    ),
    (Fault::RacesUpdate, "touch_races_update", "a touch loses nothing of an update at the same time"),
    (Fault::RacesTouch, "touch_races_touch", "of two touches at once the farther one stays"),
    (Fault::RacesDelete, "touch_races_delete", "no late touch brings a deleted session back"),
    (
        Fault::ExpiredRevived,
        "touch_expired_revived",
        "touch of an expired record is `false`, and moves nothing",
    ),
    (Fault::ExpiredSaysTrue, "touch_expired_says_true", "touch of an expired record is `false`"),
    (Fault::AbsentCreates, "touch_absent_creates", "touch of an absent id creates nothing"),
    (Fault::AbsentSaysTrue, "touch_absent_says_true", "touch of an absent id is `false`"),
    (Fault::AbsentIsError, "touch_absent_is_error", "touch of an absent id is `false`, not an error"),
    (
        Fault::DeletedRevived,
        "touch_deleted_revived",
        "touch of a deleted session is `false`, and it stays deleted",
    ),
];

pub(super) async fn touch(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let Some(current) = store.load(id, now).await? else {
        return of_dead(fault, store, id, expires_at, now).await;
    };
    let mut touched = current.clone();
    touched.touch(expires_at, now);
    match fault {
        Fault::LiveIgnored => return Ok(true),
        Fault::LiveSaysFalse => return store.touch(id, expires_at, now).await.map(|_| false),
        Fault::LiveShortens => touched.expires_at = expires_at.min(current.deadline),
        Fault::LivePassesDeadline => touched.expires_at = current.expires_at.max(expires_at),
        Fault::LiveChangesRevision => touched.revision = current.revision.next(0),
        Fault::LiveChangesData => touched.data = Bytes::new(),
        Fault::LiveChangesPrincipal => touched.principal = None,
        Fault::LiveKeepsTouchedAt => touched.touched_at = current.touched_at,
        Fault::LiveMovesTouchedAtBack => touched.touched_at = now,
        Fault::RacesUpdate => {
            pause().await;
            return replace(store, id, touched, now).await;
        }
        Fault::RacesTouch => {
            // Long enough for another touch to come and go, not only to come.
            pause().await;
            pause().await;
        }
        Fault::RacesDelete => {
            pause().await;
            if !store.touch(id, expires_at, now).await? {
                store.force(id, touched).await?;
            }
            return Ok(true);
        }
        _ => return store.touch(id, expires_at, now).await,
    }
    // As one write that nothing gets between, so that only the rule in question is broken.
    match store.update(id, current.revision, touched, now).await? {
        UpdateOutcome::Updated => Ok(true),
        UpdateOutcome::Gone => Ok(false),
        UpdateOutcome::Conflict(_) => store.touch(id, expires_at, now).await,
    }
}

/// Writes the whole record back over whatever revision is there by now.
async fn replace(store: &Store, id: SessionId, record: Record, now: Timestamp) -> Result<bool> {
    loop {
        let Some(latest) = store.load(id, now).await? else { return Ok(false) };
        let outcome = store.update(id, latest.revision, record.clone(), now).await?;
        if outcome == UpdateOutcome::Updated {
            return Ok(true);
        }
    }
}

async fn of_dead(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let (expired, deleted) = (store.dead_or_alive(id).await?, store.deleted(id));
    let absent = expired.is_none() && deleted.is_none();
    match fault {
        Fault::ExpiredRevived if expired.is_some() => store.touch(id, expires_at, Timestamp::MIN).await,
        Fault::ExpiredSaysTrue => Ok(expired.is_some()),
        Fault::AbsentCreates if absent => {
            store.force(id, Record::new(Revision::first(0), now, expires_at, expires_at)).await?;
            Ok(false)
        }
        Fault::AbsentSaysTrue => Ok(absent),
        Fault::AbsentIsError if absent => Err(Error::describe(ErrorKind::Internal, "no row")),
        Fault::DeletedRevived if expired.is_none() => match deleted {
            Some(mut record) => {
                record.touch(expires_at, now);
                store.force(id, record).await.map(|()| true)
            }
            None => Ok(false),
        },
        _ => Ok(false),
    }
}
