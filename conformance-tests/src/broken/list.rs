//! Lists that break one rule each.

use std::time::Duration;

use session_core::{
    Cursor, Error, ErrorKind, Listing, Principal, Record, Result, SessionBackend as _, SessionId, Timestamp,
};

use super::store::{Store, pause};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    MissesUpdated,
    MissesAnonymous,
    MissesLastOfPage,
    IgnoresPrincipal,
    MatchesPrefix,
    FoldsCase,
    TrimsSpaces,
    NobodyIsEmpty,
    ShowsExpired,
    ShowsDeleted,
    ShowsPreviousRecord,
    RepeatsAtTheBorder,
    EndsEarly,
    NeverEnds,
    IgnoresLimit,
    NeedsTheCursorsSession,
    TakesForeignCursor,
    ForgetsTheUntouched,
    CrossesNamespaces,
    FailsOnTheVanished,
    Limit0IsOne,
    Limit0NeverEnds,
    IsUnsupported,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::MissesUpdated, "list_misses_updated", "list contains sessions updated with the principal"),
    (Fault::MissesAnonymous, "list_misses_anonymous", "list of all contains sessions without a principal"),
    (
        Fault::MissesLastOfPage,
        "list_misses_last_of_page",
        "list contains every live session of the principal",
    ),
    (Fault::IgnoresPrincipal, "list_ignores_principal", "list of a principal holds nobody else's sessions"),
    (Fault::MatchesPrefix, "list_matches_prefix", "principals are compared whole"),
    (Fault::FoldsCase, "list_folds_case", "principals are compared byte by byte: case matters"),
    (Fault::TrimsSpaces, "list_trims_spaces", "principals are compared byte by byte: spaces matter"),
    (Fault::NobodyIsEmpty, "list_nobody_is_empty", "the empty principal is somebody, and not `None`"),
    (Fault::ShowsExpired, "list_shows_expired", "list holds live records only"),
    (Fault::ShowsDeleted, "list_shows_deleted", "a deleted session is in no list"),
    (Fault::ShowsPreviousRecord, "list_shows_previous_record", "list holds records as they are stored"),
    (
        Fault::RepeatsAtTheBorder,
        "list_repeats_at_the_border",
        "list goes on from a cursor, whatever the limit",
    ),
    (Fault::EndsEarly, "list_ends_early", "list goes on until `next` is `None`"),
    (Fault::NeverEnds, "list_never_ends", "`next` is `None` after the last page"),
    (Fault::IgnoresLimit, "list_ignores_limit", "a page has at most `limit` sessions"),
    (
        Fault::NeedsTheCursorsSession,
        "list_needs_the_cursors_session",
        "list goes on from a cursor though its session is gone",
    ),
    (Fault::TakesForeignCursor, "list_takes_foreign_cursor", "a foreign cursor is `Config`"),
    (
        Fault::ForgetsTheUntouched,
        "list_forgets_the_untouched",
        "list contains every live session, however long nobody has touched it",
    ),
    (Fault::CrossesNamespaces, "list_crosses_namespaces", "list never shows another namespace's sessions"),
    (Fault::FailsOnTheVanished, "list_fails_on_the_vanished", "a session that goes meanwhile is no error"),
    (Fault::Limit0IsOne, "list_limit_0_is_one", "list with a limit of 0 is an empty page"),
    (Fault::Limit0NeverEnds, "list_limit_0_never_ends", "list with a limit of 0 has no `next`"),
    (Fault::IsUnsupported, "list_is_unsupported", "a verb that the driver promises is not `Unsupported`"),
];

pub(super) async fn list(
    fault: Fault,
    store: &Store,
    principal: Option<&Principal>,
    after: Option<Cursor>,
    limit: usize,
    now: Timestamp,
) -> Result<Listing> {
    let cursor = after.as_ref().map(Cursor::session_id).transpose();
    let start = match fault {
        Fault::TakesForeignCursor => cursor.unwrap_or_default(),
        _ => cursor?,
    };
    if matches!(fault, Fault::IsUnsupported) {
        return Err(Error::from(ErrorKind::Unsupported));
    }
    if let (Fault::NeedsTheCursorsSession, Some(id)) = (fault, start)
        && store.load(id, now).await?.is_none()
    {
        return Ok(Listing::default());
    }
    let since = if matches!(fault, Fault::ShowsExpired) { Timestamp::MIN } else { now };
    let mut sessions = store.memory.list(None, None, usize::MAX, since).await?.sessions;
    if matches!(fault, Fault::ShowsDeleted) {
        sessions.extend(store.all_deleted());
        sessions.sort_by_key(|(id, _)| *id);
    }
    if matches!(fault, Fault::CrossesNamespaces) {
        for other in store.others() {
            sessions.extend(other.memory.list(None, None, usize::MAX, now).await?.sessions);
        }
        sessions.sort_by_key(|(id, _)| *id);
        sessions.dedup_by_key(|(id, _)| *id);
    }
    if matches!(fault, Fault::ForgetsTheUntouched) {
        let forgotten = Duration::from_secs(20 * 3600);
        sessions.retain(|(_, record)| now.saturating_duration_since(record.touched_at) < forgotten);
    }
    if matches!(fault, Fault::FailsOnTheVanished) {
        for _ in 0..20 {
            pause().await;
        }
        for (id, _) in &sessions {
            if store.load(*id, now).await?.is_none() {
                return Err(Error::describe(ErrorKind::Internal, "no row"));
            }
        }
    }
    sessions.retain(|(id, record)| {
        let behind = start.is_none_or(|start| match fault {
            Fault::RepeatsAtTheBorder => *id >= start,
            _ => *id > start,
        });
        behind && principal.map_or(!misses(fault, record), |principal| is_of(fault, record, principal))
    });
    Ok(page(fault, store, sessions, limit))
}

fn page(fault: Fault, store: &Store, mut sessions: Vec<(SessionId, Record)>, limit: usize) -> Listing {
    let limit = if matches!(fault, Fault::Limit0IsOne) { limit.max(1) } else { limit };
    let more = sessions.len() > limit;
    if !matches!(fault, Fault::IgnoresLimit) {
        sessions.truncate(limit);
    }
    let last = sessions.last().map(|(id, _)| Cursor::after(*id));
    let next = match fault {
        Fault::EndsEarly => None,
        Fault::NeverEnds => last.or_else(|| Some(Cursor::after(SessionId::from_bytes([0xff; 16])))),
        Fault::IgnoresLimit => None,
        Fault::Limit0NeverEnds if limit == 0 => Some(Cursor::after(SessionId::from_bytes([0; 16]))),
        _ => last.filter(|_| more),
    };
    match fault {
        Fault::MissesLastOfPage if more => drop(sessions.pop()),
        Fault::ShowsPreviousRecord => {
            for (id, record) in &mut sessions {
                let current = record.clone();
                *record = store.previous(*id).unwrap_or(current);
            }
        }
        _ => {}
    }
    Listing::new(sessions, next)
}

/// Whether the list of all leaves this record out.
fn misses(fault: Fault, record: &Record) -> bool {
    matches!(fault, Fault::MissesAnonymous) && record.principal.is_none()
}

/// Whether the list of `principal` holds this record.
fn is_of(fault: Fault, record: &Record, principal: &Principal) -> bool {
    let (owner, wanted) = (record.principal.as_ref().map(Principal::as_str), principal.as_str());
    match fault {
        Fault::MissesUpdated if record.revision.sequence() > 1 => false,
        Fault::IgnoresPrincipal => owner.is_some(),
        Fault::MatchesPrefix => owner.is_some_and(|owner| owner.starts_with(wanted)),
        Fault::FoldsCase => owner.is_some_and(|owner| owner.eq_ignore_ascii_case(wanted)),
        Fault::TrimsSpaces => owner.is_some_and(|owner| owner.trim_end() == wanted.trim_end()),
        Fault::NobodyIsEmpty => owner.unwrap_or_default() == wanted,
        _ => owner == Some(wanted),
    }
}
