//! Records that the driver cannot read: a typed error where they are in the way, and nobody else suffers.

use std::fmt::Debug;

use session_core::{ErrorKind, Record, Result, SessionId, Timestamp};

use super::list::list_all;
use super::purge::purge_all;
use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, MINUTE};
use crate::harness::Damage;

pub(super) const CASES: &[Case] = &[
    case!(
        "unreadable",
        is_corrupt_and_stays,
        "a stored record that cannot be read is `Corrupt` or `UnknownFormat`, and stays as it is",
        Damage,
    ),
    case!(
        "unreadable",
        unconditional_delete_removes_it,
        "delete without `expected` removes a record that cannot be read",
        Damage,
    ),
    case!(
        "unreadable",
        list_leaves_it_out,
        "list leaves out a record that cannot be read, and goes on",
        List,
        Damage,
    ),
    case!(
        "unreadable",
        passes_damaged_records,
        "purge_expired passes records that cannot be read, and removes the other dead",
        Removal,
        Damage,
    ),
];

/// A session of alice that cannot be read, as it was before.
async fn damaged(ctx: &Context) -> CaseResult<(SessionId, Record)> {
    let record = ctx.record_of("alice")?;
    let id = ctx.create(&record).await?;
    ctx.damage(id, Damage::Unreadable).await?;
    Ok((id, record))
}

/// Fails unless this is the error of a record that cannot be read.
#[track_caller]
fn unreadable<T: Debug>(result: Result<T>, verb: &str) -> CaseResult {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat) => Ok(()),
        other => Err(Failure::new(format!("{verb}: expected Corrupt, got {other:?}"))),
    }
}

async fn is_corrupt_and_stays(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let beside = ctx.record_of("alice")?;
    let beside_id = ctx.create(&beside).await?;
    let (id, record) = damaged(&ctx).await?;
    let next = ctx.successor(&record);
    // Twice: the first round may have changed what the second one meets.
    for _ in 0..2 {
        unreadable(backend.load(id, now).await, "load")?;
        unreadable(backend.load_latest(id, now).await, "load_latest")?;
        unreadable(backend.create(id, ctx.record(), now).await, "create")?;
        unreadable(backend.update(id, next.revision, next.clone(), now).await, "update")?;
        unreadable(backend.delete(id, Some(next.revision), now).await, "delete with a revision")?;
    }
    ctx.expect(beside_id, &beside, "the session beside it").await
}

async fn unconditional_delete_removes_it(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let (id, _) = damaged(&ctx).await?;
    check::deleted(backend.delete(id, None, now).await?)?;
    ctx.expect_none(id, "load after the delete").await?;
    check::nothing_deleted(backend.delete(id, None, now).await?)?;
    let again = ctx.record_of("bob")?;
    check::created(backend.create(id, again.clone(), now).await?)?;
    ctx.expect(id, &again, "the id's second life").await
}

async fn list_leaves_it_out(ctx: Context) -> CaseResult {
    let (mut expected, mut unreadable) = (Vec::new(), Vec::new());
    // Ids are random: until one that can be read comes behind all that cannot, and at least six.
    while expected.len() < 6 || expected.iter().max() < unreadable.iter().max() {
        if unreadable.len() < 3 {
            unreadable.push(damaged(&ctx).await?.0);
        }
        expected.push(ctx.create(&ctx.record_of("alice")?).await?);
    }
    expected.sort();
    for principal in [None, Some("alice")] {
        for limit in [1, 2, 100] {
            let listed = list_all(&ctx, principal, limit).await?;
            let listed: Vec<_> = listed.into_keys().collect();
            check::ensure(listed == expected, format!("{} of {} listed", listed.len(), expected.len()))?;
        }
    }
    Ok(())
}

async fn passes_damaged_records(ctx: Context) -> CaseResult {
    let mut dead = Vec::new();
    for _ in 0..6 {
        dead.push(ctx.create(&ctx.record()).await?);
        damaged(&ctx).await?;
        ctx.clock().advance(MINUTE);
    }
    let live = ctx.record();
    let last_end = live.expires_at.saturating_sub(MINUTE);
    let live_id = ctx.create(&live).await?;
    ctx.clock().set(last_end);
    let removed = purge_all(&ctx, last_end, 4, 20).await?;
    // Whether it removes them too is the driver's affair: the expiry of some can still be read.
    check::ensure((6..=12).contains(&removed), format!("{removed} removed, of 6 dead and 6 damaged"))?;
    for id in dead {
        let found = ctx.backend().load(id, Timestamp::MIN).await?;
        check::missing(found, "a dead session after the purge, to any clock")?;
    }
    ctx.expect(live_id, &live, "a live session after the purge").await
}
