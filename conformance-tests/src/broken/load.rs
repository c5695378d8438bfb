//! Loads that break one rule each.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use session_core::{Error, ErrorKind, Record, Result, Revision, SessionBackend as _, SessionId, Timestamp};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    LiveDiesEarly,
    LiveLosesMeta,
    LiveProlonged,
    ExpiredVisible,
    ExpiredVisibleAtTheInstant,
    ExpiredRemoved,
    AbsentIsError,
    AbsentInvented,
    DeletedVisible,
    LatestIsPrevious,
    SometimesPrevious,
    Tears,
    AsksTheSystemClock,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::LiveDiesEarly, "load_live_dies_early", "a record is alive while `now < expires_at`"),
    (Fault::LiveLosesMeta, "load_live_loses_meta", "load returns the record, every field of it"),
    (Fault::LiveProlonged, "load_live_prolonged", "load changes nothing"),
    (Fault::ExpiredVisible, "load_expired_visible", "load of an expired record is `None`"),
    (
        Fault::ExpiredVisibleAtTheInstant,
        "load_expired_visible_at_the_instant",
        "a record is dead exactly when `now >= expires_at`",
    ),
    (Fault::ExpiredRemoved, "load_expired_removed", "load changes nothing, an expired record neither"),
    (Fault::AbsentIsError, "load_absent_is_error", "an absent session is `Ok(None)`"),
    (Fault::AbsentInvented, "load_absent_invented", "load of an absent id is `None`"),
    (Fault::DeletedVisible, "load_deleted_visible", "load of a deleted session is `None`"),
    (Fault::LatestIsPrevious, "load_latest_is_previous", "load_latest is never older than the last write"),
    (
        Fault::SometimesPrevious,
        "load_sometimes_previous",
        "load is never older than the last write, at the twentieth time neither",
    ),
    (Fault::Tears, "load_tears", "load shows a record as it was at one moment"),
    (
        Fault::AsksTheSystemClock,
        "load_asks_the_system_clock",
        "the caller's `now` decides, never another clock",
    ),
];

pub(super) async fn load(
    fault: Fault,
    store: &Store,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<Record>> {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let live = store.load(id, now).await?;
    match fault {
        Fault::LiveDiesEarly => store.load(id, now.saturating_add(MILLISECOND)).await,
        Fault::LiveLosesMeta => Ok(live.map(|record| record.with_meta(Bytes::new()))),
        Fault::LiveProlonged => {
            store.touch(id, now.saturating_add(Duration::from_secs(7200)), Timestamp::MIN).await?;
            Ok(live)
        }
        Fault::ExpiredVisible => store.dead_or_alive(id).await,
        Fault::ExpiredVisibleAtTheInstant => {
            let dead = store.expired(id, now).await?;
            Ok(live.or(dead.filter(|record| record.expires_at == now)))
        }
        Fault::ExpiredRemoved => {
            if store.expired(id, now).await?.is_some() {
                let _ = store.memory.delete(id, None, Timestamp::MIN).await?;
            }
            Ok(live)
        }
        Fault::AbsentIsError if store.dead_or_alive(id).await?.is_none() => {
            Err(Error::describe(ErrorKind::Internal, "no row"))
        }
        Fault::AbsentInvented if store.dead_or_alive(id).await?.is_none() => {
            Ok(Some(Record::new(Revision::first(0), now, Timestamp::MAX, Timestamp::MAX)))
        }
        Fault::DeletedVisible => Ok(live.or_else(|| store.deleted(id))),
        Fault::SometimesPrevious if store.is_nth(20) => {
            Ok(live.map(|current| store.previous(id).unwrap_or(current)))
        }
        Fault::Tears => {
            pause().await;
            let later = store.load(id, now).await?;
            Ok(later.zip(live).map(|(later, live)| later.with_data(live.data)))
        }
        Fault::AsksTheSystemClock => store.load(id, SystemTime::now().into()).await,
        Fault::AbsentIsError | Fault::AbsentInvented | Fault::LatestIsPrevious | Fault::SometimesPrevious => {
            Ok(live)
        }
    }
}

pub(super) async fn load_latest(
    fault: Fault,
    store: &Store,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<Record>> {
    match fault {
        Fault::LatestIsPrevious => {
            let live = store.load(id, now).await?;
            Ok(live.map(|current| store.previous(id).unwrap_or(current)))
        }
        _ => load(fault, store, id, now).await,
    }
}
