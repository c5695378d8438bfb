//! Stores that make something else than an error of a record that they cannot read, or too much of one.

use session_core::{Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    LoadIsNone,
    LatestIsNone,
    CreateReplaces,
    UpdateIsGone,
    DeleteIsCorrupt,
    DeleteIsAbsent,
    DeleteOfRevisionRemoves,
    DeleteLeavesDamage,
    ListFails,
    ListEnds,
    PurgeFails,
    IsInternal,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::LoadIsNone, "unreadable_load_is_none", "load of a record that cannot be read is `Corrupt`"),
    (Fault::LatestIsNone, "unreadable_latest_is_none", "load_latest is as load"),
    (Fault::CreateReplaces, "unreadable_create_replaces", "create leaves a record that cannot be read"),
    (Fault::UpdateIsGone, "unreadable_update_is_gone", "update of a record that cannot be read is `Corrupt`"),
    (
        Fault::DeleteIsCorrupt,
        "unreadable_delete_is_corrupt",
        "delete without `expected` removes a record that cannot be read",
    ),
    (
        Fault::DeleteIsAbsent,
        "unreadable_delete_is_absent",
        "delete without `expected` of a record that cannot be read is `Deleted`",
    ),
    (
        Fault::DeleteOfRevisionRemoves,
        "unreadable_delete_of_revision_removes",
        "delete with a revision leaves a record that cannot be read",
    ),
    (
        Fault::DeleteLeavesDamage,
        "unreadable_delete_leaves_damage",
        "a deleted record is gone, whatever it was",
    ),
    (Fault::ListFails, "unreadable_list_fails", "list leaves out a record that cannot be read"),
    (Fault::ListEnds, "unreadable_list_ends", "list goes on behind a record that cannot be read"),
    (Fault::PurgeFails, "unreadable_purge_fails", "purge_expired passes records that cannot be read"),
    (Fault::IsInternal, "unreadable_is_internal", "what cannot be read is `Corrupt`, no other kind of error"),
];

/// The error of a verb that meets a record which cannot be read.
pub(super) fn refuse<T>(fault: Option<Fault>) -> Result<T> {
    let kind = if fault == Some(Fault::IsInternal) { ErrorKind::Internal } else { ErrorKind::Corrupt };
    Err(Error::describe(kind, "a record that cannot be read"))
}
