//! Group E, in real time: what a store's own clock may do, and what it may not. The one group that waits.

use std::time::{Duration, Instant};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, ensure};
use crate::context::Context;

pub(super) const CASES: &[Case] = &[
    case!(
        "slow",
        real_time_window,
        "a session lives by its caller's clock, however much time passes outside",
    ),
    case!(
        "slow",
        server_expiry_comes_after_its_slack,
        "the store removes a record by itself, and not before its session has been over for the slack",
        OwnExpiry,
    ),
];

async fn real_time_window(ctx: Context) -> CaseResult {
    let (life, window) = (ctx.real_time(Duration::from_millis(250)), ctx.real_time(Duration::from_secs(1)));
    let mut record = ctx.record();
    record.expires_at = ctx.now().saturating_add(life);
    record.deadline = record.expires_at;
    let id = ctx.create(&record).await?;
    let mut touched = record.clone();
    touched.deadline = record.expires_at.saturating_add(life);
    let touched_id = ctx.create(&touched).await?;
    check::equal(ctx.backend().touch(touched_id, touched.deadline, ctx.now()).await?, true, "touch")?;
    touched.touch(touched.deadline, ctx.now());
    let start = Instant::now();
    let mut is_over = false;
    while !is_over {
        is_over = start.elapsed() >= window;
        ctx.expect(id, &record, "a session whose clock stands still").await?;
        ctx.expect(touched_id, &touched, "a touched session whose clock stands still").await?;
        tokio::time::sleep(life / 10).await;
    }
    ctx.clock().set(record.expires_at);
    ctx.expect_none(id, "the session at its end").await?;
    ctx.clock().set(touched.expires_at);
    ctx.expect_none(touched_id, "the touched session at its end").await
}

async fn server_expiry_comes_after_its_slack(ctx: Context) -> CaseResult {
    let patience = ctx.real_time(Duration::from_secs(20));
    let (life, slack) =
        (ctx.real_time(Duration::from_millis(300)), ctx.real_time(Duration::from_millis(200)));
    let backend = ctx.open_with_slack(&format!("{}s", ctx.namespace()), slack).await?;
    let mut record = ctx.record();
    record.expires_at = ctx.now().saturating_add(life);
    let id = ctx.id();
    let start = Instant::now();
    check::created(backend.create(id, record.clone(), ctx.now()).await?)?;
    // To a clock that stands still the session is alive until the store has removed it.
    loop {
        let asked = start.elapsed();
        let found = backend.load(id, ctx.now()).await?;
        let age = start.elapsed();
        let Some(found) = found else {
            return ensure(
                age >= life + slack,
                format!("removed after {age:?}, due after {:?}", life + slack),
            );
        };
        check::same(&found, &record, "a session that the store has not removed yet")?;
        ensure(asked < life + slack + patience, format!("still there after {asked:?}"))?;
        tokio::time::sleep(life / 10).await;
    }
}
