//! Deletes that break one rule each.

use session_core::{DeleteOutcome, Error, ErrorKind, Result, Revision, SessionId, Timestamp};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    LiveIgnored,
    LiveSaysAbsent,
    EqualIsConflict,
    DiffersDeletes,
    DiffersConflictsButDeletes,
    DiffersReturnsSnapshot,
    DiffersIsAbsent,
    ComparesSequence,
    RacesUpdate,
    RacesDelete,
    ExpiredSaysDeleted,
    ExpiredDiffersIsConflict,
    AbsentSaysDeleted,
    AbsentIsError,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::LiveIgnored, "delete_live_ignored", "delete removes a live record"),
    (Fault::LiveSaysAbsent, "delete_live_says_absent", "delete of a live record is `Deleted`"),
    (Fault::EqualIsConflict, "delete_equal_is_conflict", "delete with the current revision is `Deleted`"),
    (Fault::DiffersDeletes, "delete_differs_deletes", "delete with another revision is `Conflict`"),
    (
        Fault::DiffersConflictsButDeletes,
        "delete_differs_conflicts_but_deletes",
        "delete with another revision leaves the record where it is",
    ),
    (
        Fault::DiffersReturnsSnapshot,
        "delete_differs_returns_snapshot",
        "`Conflict` is never a stale snapshot",
    ),
    (Fault::DiffersIsAbsent, "delete_differs_is_absent", "delete with another revision is not `Absent`"),
    (
        Fault::ComparesSequence,
        "delete_compares_sequence",
        "revisions are compared whole: the random part too",
    ),
    (
        Fault::RacesUpdate,
        "delete_races_update",
        "delete with a revision leaves a record that was updated at the same time",
    ),
    (Fault::RacesDelete, "delete_races_delete", "of several deletes at once one is `Deleted`"),
    (Fault::ExpiredSaysDeleted, "delete_expired_says_deleted", "delete of an expired record is `Absent`"),
    (
        Fault::ExpiredDiffersIsConflict,
        "delete_expired_differs_is_conflict",
        "delete of an expired record is `Absent`, with another revision too",
    ),
    (Fault::AbsentSaysDeleted, "delete_absent_says_deleted", "delete of an absent id is `Absent`"),
    (Fault::AbsentIsError, "delete_absent_is_error", "delete of an absent id is `Absent`, not an error"),
];

pub(super) async fn delete(
    fault: Fault,
    store: &Store,
    id: SessionId,
    expected: Option<Revision>,
    now: Timestamp,
) -> Result<DeleteOutcome> {
    let Some(current) = store.load(id, now).await? else {
        let expired = store.dead_or_alive(id).await?;
        return match (fault, expired) {
            (Fault::ExpiredSaysDeleted, Some(_)) | (Fault::AbsentSaysDeleted, None) => {
                Ok(DeleteOutcome::Deleted)
            }
            (Fault::ExpiredDiffersIsConflict, Some(expired))
                if expected.is_some_and(|expected| expected != expired.revision) =>
            {
                Ok(DeleteOutcome::Conflict(expired))
            }
            (Fault::AbsentIsError, None) => Err(Error::describe(ErrorKind::Internal, "no row")),
            _ => Ok(DeleteOutcome::Absent),
        };
    };
    let differs = expected.is_some_and(|expected| expected != current.revision);
    let same_sequence = expected.is_some_and(|expected| expected.sequence() == current.revision.sequence());
    match fault {
        Fault::LiveIgnored if !differs => Ok(DeleteOutcome::Deleted),
        Fault::LiveSaysAbsent if !differs => {
            store.delete(id, expected, now).await.map(|_| DeleteOutcome::Absent)
        }
        Fault::EqualIsConflict if expected == Some(current.revision) => Ok(DeleteOutcome::Conflict(current)),
        Fault::DiffersDeletes => store.delete(id, None, now).await,
        Fault::ComparesSequence if same_sequence => store.delete(id, None, now).await,
        Fault::RacesUpdate if !differs => {
            pause().await;
            store.delete(id, None, now).await
        }
        Fault::RacesDelete if !differs => {
            pause().await;
            store.delete(id, expected, now).await.map(|outcome| match outcome {
                DeleteOutcome::Absent => DeleteOutcome::Deleted,
                other => other,
            })
        }
        Fault::DiffersConflictsButDeletes if differs => {
            store.delete(id, None, now).await.map(|_| DeleteOutcome::Conflict(current))
        }
        Fault::DiffersReturnsSnapshot if differs => {
            Ok(DeleteOutcome::Conflict(store.previous(id).unwrap_or(current)))
        }
        Fault::DiffersIsAbsent if differs => Ok(DeleteOutcome::Absent),
        _ => store.delete(id, expected, now).await,
    }
}
