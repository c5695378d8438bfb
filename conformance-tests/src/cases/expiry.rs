//! Group E: a record is dead exactly when `now >= expires_at`, and what a touch may do about it.

use std::time::Duration;

use session_core::{Record, Revision, SessionId, Timestamp};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::race::{hesitate, race_two};

pub(super) const CASES: &[Case] = &[
    case!(
        "expiry",
        touch_changes_only_expiry,
        "touch moves `expires_at` and `touched_at`; revision and data stay as they were",
    ),
    case!(
        "expiry",
        touch_never_shortens,
        "a touch moves `expires_at` to max(old, new) and `touched_at` to max(old, now)",
    ),
    case!("expiry", touch_never_passes_deadline, "no touch moves `expires_at` past the deadline"),
    case!(
        "expiry",
        touch_races_update,
        "a touch and an update of one record happen one after the other, in either order",
    ),
    case!("expiry", alive_1ms_before, "a record is alive while `now < expires_at`, in every verb"),
    case!("expiry", dead_at_exactly, "a record is dead from `now == expires_at` on, in every verb"),
    case!(
        "expiry",
        born_expired_never_immortal,
        "a record that is dead when it is stored is never seen, now or later",
    ),
    case!("expiry", below_resolution_rounds_up, "times are kept to the millisecond, however short the life"),
    case!("expiry", timestamp_bounds, "every timestamp from 1970 to 9999 is kept exactly"),
    case!(
        "expiry",
        expired_invisible_in_every_verb_before_purge,
        "an expired record that nobody has purged does not exist for any verb",
    ),
];

const MILLISECOND: Duration = Duration::from_millis(1);

async fn touch_changes_only_expiry(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let mut record = ctx.record_of("alice")?;
    let id = ctx.create(&record).await?;
    for _ in 0..2 {
        ctx.clock().advance(MINUTE);
        let later = ctx.now().saturating_add(2 * HOUR);
        check::equal(backend.touch(id, later, ctx.now()).await?, true, "touch of a live session")?;
        (record.expires_at, record.touched_at) = (later, ctx.now());
        ctx.expect(id, &record, "the record after a touch").await?;
        let latest = backend.load_latest(id, ctx.now()).await?;
        check::found(latest, &record, "load_latest after a touch")?;
    }
    // Idempotent: a client may have sent it twice.
    check::equal(backend.touch(id, record.expires_at, ctx.now()).await?, true, "a repeated touch")?;
    ctx.expect(id, &record, "the record after a repeated touch").await?;
    // A writer that has seen the session before the touch is not in conflict with it.
    let next = ctx.successor(&record);
    check::updated(backend.update(id, record.revision, next.clone(), ctx.now()).await?)?;
    ctx.expect(id, &next, "an update after a touch").await
}

async fn touch_never_shortens(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let mut record = ctx.record();
    let id = ctx.create(&record).await?;
    ctx.clock().advance(MINUTE);
    let sooner = [record.expires_at.saturating_sub(MILLISECOND), ctx.now(), Timestamp::MIN];
    for expires_at in sooner {
        check::equal(backend.touch(id, expires_at, ctx.now()).await?, true, "touch of a live session")?;
        record.touched_at = ctx.now();
        ctx.expect(id, &record, "the record after a touch that would shorten it").await?;
    }
    // A node whose clock is behind touches last.
    let behind = ctx.now().saturating_sub(2 * MINUTE);
    let later = record.expires_at.saturating_add(MINUTE);
    check::equal(backend.touch(id, later, behind).await?, true, "touch of a live session")?;
    record.expires_at = later;
    ctx.expect(id, &record, "the record after a touch by a clock that is behind").await
}

async fn touch_never_passes_deadline(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let mut record = ctx.record();
    let id = ctx.create(&record).await?;
    let beyond = [record.deadline.saturating_add(MILLISECOND), Timestamp::MAX, record.deadline];
    for expires_at in beyond {
        check::equal(backend.touch(id, expires_at, ctx.now()).await?, true, "touch of a live session")?;
        record.expires_at = record.deadline;
        ctx.expect(id, &record, "the record after a touch beyond its deadline").await?;
    }
    ctx.clock().set(record.deadline);
    check::equal(backend.touch(id, Timestamp::MAX, ctx.now()).await?, false, "touch at the deadline")?;
    ctx.expect_none(id, "the session at its deadline").await
}

async fn touch_races_update(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(300) {
        let record = ctx.record();
        let id = ctx.create(&record).await?;
        let now = ctx.now().saturating_add(MINUTE);
        let mut updated = ctx.successor(&record);
        updated.expires_at = record.expires_at.saturating_add(MINUTE);
        let touched_until = record.expires_at.saturating_add(HOUR);
        let (toucher, updater, wanted) = (ctx.backend(), ctx.backend(), updated.clone());
        let (touched, outcome) =
            race_two(async move { Ok(toucher.touch(id, touched_until, now).await?) }, async move {
                hesitate(round % 4).await;
                Ok(updater.update(id, record.revision, wanted, now).await?)
            })
            .await?;
        check::equal(touched, true, "a touch that races an update")?;
        check::updated(outcome)?;
        let found = ctx.backend().load(id, now).await?;
        if found.as_ref().is_some_and(|found| found.expires_at == touched_until) {
            updated.touch(touched_until, now);
        }
        check::found(found, &updated, "the record after a touch and an update")?;
    }
    Ok(())
}

async fn alive_1ms_before(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let record = ctx.record();
    let (loaded, created, updated) =
        (ctx.create(&record).await?, ctx.create(&record).await?, ctx.create(&record).await?);
    let (conflicted, touched, deleted) =
        (ctx.create(&record).await?, ctx.create(&record).await?, ctx.create(&record).await?);
    let refused = ctx.create(&record).await?;
    ctx.clock().set(record.expires_at.saturating_sub(MILLISECOND));
    let (now, next) = (ctx.now(), ctx.successor(&record));
    ctx.expect(loaded, &record, "load").await?;
    check::found(backend.load_latest(loaded, now).await?, &record, "load_latest")?;
    check::occupied(backend.create(created, ctx.record(), now).await?, &record)?;
    check::updated(backend.update(updated, record.revision, next.clone(), now).await?)?;
    check::conflict(backend.update(conflicted, next.revision, next.clone(), now).await?, &record)?;
    check::equal(backend.touch(touched, record.deadline, now).await?, true, "touch")?;
    check::delete_conflict(backend.delete(refused, Some(next.revision), now).await?, &record)?;
    check::deleted(backend.delete(deleted, Some(record.revision), now).await?)
}

async fn dead_at_exactly(ctx: Context) -> CaseResult {
    let record = ctx.record();
    dead_in_every_verb(&ctx, &record, record.expires_at).await
}

async fn expired_invisible_in_every_verb_before_purge(ctx: Context) -> CaseResult {
    let record = ctx.record_of("alice")?;
    dead_in_every_verb(&ctx, &record, record.expires_at.saturating_add(365 * DAY)).await?;
    ctx.clock().set(record.touched_at);
    dead_in_every_verb(&ctx, &record, Timestamp::MAX).await
}

async fn dead_in_every_verb(ctx: &Context, record: &Record, now: Timestamp) -> CaseResult {
    let backend = ctx.backend();
    let (loaded, created, updated, conflicted) = (
        ctx.create(record).await?,
        ctx.create(record).await?,
        ctx.create(record).await?,
        ctx.create(record).await?,
    );
    let (touched, deleted, refused) =
        (ctx.create(record).await?, ctx.create(record).await?, ctx.create(record).await?);
    ctx.clock().set(now);
    let next = ctx.successor(record);
    ctx.expect_none(loaded, "load").await?;
    check::missing(backend.load_latest(loaded, now).await?, "load_latest")?;
    check::created(backend.create(created, ctx.record(), now).await?)?;
    check::gone(backend.update(updated, record.revision, next.clone(), now).await?)?;
    check::gone(backend.update(conflicted, next.revision, next.clone(), now).await?)?;
    check::equal(backend.touch(touched, Timestamp::MAX, now).await?, false, "touch")?;
    check::nothing_deleted(backend.delete(deleted, None, now).await?)?;
    check::nothing_deleted(backend.delete(deleted, Some(record.revision), now).await?)?;
    check::nothing_deleted(backend.delete(refused, Some(next.revision), now).await?)?;
    for id in [updated, conflicted, touched, deleted, refused] {
        ctx.expect_none(id, "load after another verb on an expired record").await?;
    }
    Ok(())
}

async fn born_expired_never_immortal(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let now = ctx.now();
    let times = [now, now.saturating_sub(MILLISECOND), now.saturating_sub(DAY), Timestamp::MIN];
    for expires_at in times {
        let mut record = ctx.record();
        record.expires_at = expires_at;
        let id = ctx.create(&record).await?;
        never_seen(&ctx, id, "a record created dead").await?;
        check::created(backend.create(id, record, now).await?)?;

        let live = ctx.record();
        let id = ctx.create(&live).await?;
        let mut dead = ctx.successor(&live);
        dead.expires_at = expires_at;
        check::updated(backend.update(id, live.revision, dead, now).await?)?;
        never_seen(&ctx, id, "a record updated to be dead").await?;
    }
    Ok(())
}

async fn never_seen(ctx: &Context, id: SessionId, what: &str) -> CaseResult {
    for now in [ctx.now(), ctx.now().saturating_add(HOUR), Timestamp::MAX] {
        check::missing(ctx.backend().load(id, now).await?, what)?;
    }
    Ok(())
}

async fn below_resolution_rounds_up(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    // Just before, at and just after a whole second, and a life shorter than any store's own clock.
    for offset in [998, 999, 1000, 1001, 1499, 1500] {
        let start = ctx.now().saturating_add(Duration::from_millis(offset));
        for life in [1, 2, 499, 1001] {
            let mut record = ctx.record();
            record.expires_at = start.saturating_add(Duration::from_millis(life));
            record.touched_at = start;
            let id = ctx.id();
            check::created(backend.create(id, record.clone(), start).await?)?;
            let last = record.expires_at.saturating_sub(MILLISECOND);
            check::found(backend.load(id, start).await?, &record, "a short life at its start")?;
            check::found(backend.load(id, last).await?, &record, "a short life in its last millisecond")?;
            check::missing(backend.load(id, record.expires_at).await?, "a short life at its end")?;
            record.expires_at = record.expires_at.saturating_add(MILLISECOND);
            check::equal(backend.touch(id, record.expires_at, start).await?, true, "touch by 1 ms")?;
            check::found(backend.load(id, last).await?, &record, "a life prolonged by 1 ms")?;
        }
    }
    Ok(())
}

async fn timestamp_bounds(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let at = |millis| Timestamp::from_millis(millis).unwrap_or(Timestamp::MAX);
    let last = at(Timestamp::MAX.as_millis() - 1);
    // The year 2038, the end of 32 bits in milliseconds and in seconds, and the ends of the range.
    let starts = [Timestamp::MIN, at(i64::from(i32::MAX)), at(i64::from(u32::MAX) * 1000), ctx.now(), last];
    for now in starts {
        for expires_at in [now.saturating_add(MILLISECOND), now.saturating_add(400 * DAY)] {
            let mut record = ctx.record();
            (record.touched_at, record.expires_at) = (now, expires_at);
            record.deadline = now.saturating_add(400 * DAY);
            record.revision = Revision::first(0);
            let id = ctx.id();
            check::created(backend.create(id, record.clone(), now).await?)?;
            check::found(backend.load(id, now).await?, &record, "a record at the edge of time")?;
            check::equal(backend.touch(id, Timestamp::MAX, now).await?, true, "touch at the edge of time")?;
            record.touch(Timestamp::MAX, now);
            check::found(backend.load(id, now).await?, &record, "a record touched at the edge of time")?;
            check::missing(backend.load(id, record.deadline).await?, "the record at its deadline")?;
        }
    }
    Ok(())
}
