//! Group F: the caller's `now` decides, whatever any other clock shows.

use std::time::{Duration, Instant};

use session_core::{Janitor, ManualClock, SessionId, SessionManagerBuilder, Timestamp};
use tokio::time::timeout;

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::site::{Site, id};

pub(super) const CASES: &[Case] = &[
    case!(
        "clocks",
        reader_30s_ahead_or_behind,
        "each caller judges by its own `now`, and takes the session from nobody else",
    ),
    case!(
        "clocks",
        fixed_epoch_manual_clock_works,
        "the driver never asks the store what time it is: any epoch will do",
    ),
    case!("clocks", clock_jumps_back_no_panic, "a clock that jumps back finds what was not purged meanwhile"),
    case!(
        "clocks",
        server_ttl_never_earlier_within_slack,
        "a store's own expiry is relative to the caller's `now`, and never earlier than the end and the slack",
        OwnExpiry,
    ),
    case!(
        "clocks",
        fast_janitor_deletes_nothing_live,
        "a janitor whose clock is ahead by its margin removes what is dead, and nobody's live session",
        Removal,
    ),
];

async fn reader_30s_ahead_or_behind(ctx: Context) -> CaseResult {
    let (backend, skew) = (ctx.backend(), Duration::from_secs(30));
    let record = ctx.record();
    let id = ctx.create(&record).await?;
    let just_before = record.expires_at.saturating_sub(Duration::from_secs(10));
    let (ahead, behind) = (just_before.saturating_add(skew), just_before.saturating_sub(skew));
    check::missing(backend.load(id, ahead).await?, "load by a clock that is ahead")?;
    check::gone(backend.update(id, record.revision, ctx.successor(&record), ahead).await?)?;
    check::equal(backend.touch(id, record.deadline, ahead).await?, false, "touch by a clock ahead")?;
    check::found(backend.load(id, just_before).await?, &record, "load by a clock that is right")?;
    check::found(backend.load(id, behind).await?, &record, "load by a clock that is behind")?;
    check::missing(backend.load(id, record.expires_at).await?, "load at the end")?;
    check::found(backend.load(id, behind).await?, &record, "load by a clock that is behind")
}

async fn fixed_epoch_manual_clock_works(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for year in [0, 30, 130, 1000] {
        let now = Timestamp::MIN.saturating_add(Duration::from_secs(year * 365 * 24 * 3600));
        ctx.clock().set(now);
        let record = ctx.record();
        let id = ctx.create(&record).await?;
        ctx.expect(id, &record, "a session of another epoch").await?;
        let next = ctx.successor(&record);
        check::updated(backend.update(id, record.revision, next.clone(), now).await?)?;
        check::equal(backend.touch(id, now.saturating_add(2 * HOUR), now).await?, true, "touch")?;
        ctx.clock().set(now.saturating_add(2 * HOUR));
        ctx.expect_none(id, "an expired session of another epoch").await?;
        ctx.clock().set(now);
        check::deleted(backend.delete(id, Some(next.revision), now).await?)?;
    }
    Ok(())
}

async fn clock_jumps_back_no_panic(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let mut record = ctx.record();
    let id = ctx.create(&record).await?;
    for now in [record.deadline, Timestamp::MAX] {
        check::missing(backend.load(id, now).await?, "load by a clock far ahead")?;
    }
    for now in [ctx.now().saturating_sub(HOUR), Timestamp::MIN] {
        check::found(backend.load(id, now).await?, &record, "load by a clock that jumped back")?;
        check::equal(backend.touch(id, record.expires_at, now).await?, true, "touch by such a clock")?;
        let next = ctx.successor(&record);
        check::updated(backend.update(id, record.revision, next.clone(), now).await?)?;
        record = next;
    }
    ctx.expect(id, &record, "the record by the right clock").await
}

async fn server_ttl_never_earlier_within_slack(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for year in [0, 31, 130, 8000] {
        let now = Timestamp::MIN.saturating_add(Duration::from_secs(year * 365 * 24 * 3600));
        ctx.clock().set(now);
        let mut record = ctx.record_of("alice")?;
        record.deadline = now.saturating_add(30 * DAY);
        let start = Instant::now();
        let id = ctx.create(&record).await?;
        is_kept(&ctx, id, start, HOUR, "after a create").await?;

        ctx.clock().set(now.saturating_add(HOUR / 2));
        let mut next = ctx.successor(&record);
        next.expires_at = now.saturating_add(10 * HOUR);
        let start = Instant::now();
        check::updated(backend.update(id, record.revision, next, ctx.now()).await?)?;
        is_kept(&ctx, id, start, 10 * HOUR - HOUR / 2, "after an update").await?;

        let start = Instant::now();
        check::equal(backend.touch(id, now.saturating_add(2 * DAY), ctx.now()).await?, true, "touch")?;
        is_kept(&ctx, id, start, 2 * DAY - HOUR / 2, "after a touch").await?;
        // It goes on counting from before: nothing has moved.
        check::equal(backend.touch(id, ctx.now(), ctx.now()).await?, true, "touch that would shorten")?;
        is_kept(&ctx, id, start, 2 * DAY - HOUR / 2, "after a touch that would shorten it").await?;
        let start = Instant::now();
        check::equal(backend.touch(id, Timestamp::MAX, ctx.now()).await?, true, "touch beyond the deadline")?;
        is_kept(&ctx, id, start, 30 * DAY - HOUR / 2, "after a touch beyond the deadline").await?;

        let mut dead = ctx.record();
        dead.expires_at = ctx.now();
        let start = Instant::now();
        let id = ctx.create(&dead).await?;
        is_kept(&ctx, id, start, Duration::ZERO, "after a create of what is dead").await?;
    }
    Ok(())
}

/// Fails unless the store keeps a record for `life` and its slack, counted from `start`, and not for ever.
async fn is_kept(ctx: &Context, id: SessionId, start: Instant, life: Duration, what: &str) -> CaseResult {
    let slack = ctx.harness().promises().expiry_slack.unwrap_or_default();
    let left = ctx.harness().time_to_live(&ctx.namespace(), id).await?;
    let left = left.ok_or_else(|| Failure::new("the harness does not tell how long a record is kept"))?;
    // What has passed since is gone from what is left, and stores count in whole milliseconds.
    let whole = left.saturating_add(start.elapsed()).saturating_add(Duration::from_millis(1));
    let due = life + slack;
    check::ensure(whole >= due, format!("{what}: kept for {whole:?}, due {due:?}"))?;
    check::ensure(left <= due + DAY, format!("{what}: kept for {left:?}, due {due:?}"))
}

async fn fast_janitor_deletes_nothing_live(ctx: Context) -> CaseResult {
    const IDLE: Duration = Duration::from_secs(20 * 60);
    const STEP: Duration = Duration::from_secs(5 * 60);
    type Configure = fn(SessionManagerBuilder) -> SessionManagerBuilder;
    let margins: [(Duration, Configure); 2] =
        [(HOUR, |builder| builder), (10 * MINUTE, |builder| builder.max_clock_skew(10 * MINUTE))];
    for (margin, configure) in margins {
        let fast_clock = ManualClock::new(ctx.now().saturating_add(margin));
        let right = Site::with(&ctx, |builder| builder.idle_timeout(IDLE))?;
        let fast =
            Site::with(&ctx, |builder| configure(builder.idle_timeout(IDLE).clock(fast_clock.clone())))?;
        let janitor = Janitor::new().with_pause(Duration::ZERO);
        let (used, left) = (right.visit().await?, right.member("alice").await?);
        let mut removed = 0;
        for step in 1..=8 {
            ctx.clock().advance(STEP);
            fast_clock.set(ctx.now().saturating_add(margin));
            let sweep = timeout(ctx.patience(), janitor.run_once(&fast.manager)).await;
            removed += sweep.map_err(|_| Failure::new("the janitor's round does not end"))??.expired;
            let what = format!("{step} steps on, by a janitor {margin:?} ahead");
            let found = ctx.backend().load(id(&left)?, ctx.now()).await?;
            check::equal(found.is_some(), step * STEP < IDLE, &format!("the unused session, {what}"))?;
            let found = ctx.backend().load(id(&used)?, ctx.now()).await?;
            check::equal(found.is_some(), true, &format!("the session in use, {what}"))?;
            if step % 3 == 0 {
                right.count(&used).await?;
            }
        }
        check::equal(removed, 1, "sessions removed")?;
        right.count(&used).await?;
        check::deleted(ctx.backend().delete(id(&used)?, None, ctx.now()).await?)?;
    }
    Ok(())
}
