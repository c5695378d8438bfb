//! Group F: the caller's `now` decides, whatever any other clock shows.

use std::time::Duration;

use session_core::Timestamp;

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, HOUR};

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
