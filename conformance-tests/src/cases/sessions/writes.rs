//! Group T, when a commit writes at all, and how much.

use std::time::Duration;

use session_core::{ErrorKind, Operation, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, MINUTE};
use crate::site::{Site, Step, id, refused, token, unchanged};
use crate::spy::Calls;

pub(super) const CASES: &[Case] = &[
    case!("writes", unused_new_session_costs_nothing, "nothing is stored before there is something to store"),
    case!("writes", no_op_writes_nothing, "a result equal to what was loaded writes nothing"),
    case!(
        "writes",
        read_only_request_only_a_due_touch,
        "a request that changed nothing writes nothing but a touch, due after a tenth of the idle time",
    ),
    case!("writes", failed_touch_fails_no_request, "a touch that fails never fails the request"),
    case!(
        "writes",
        too_large_leaves_the_stored_intact,
        "over the size limit is `TooLarge` before any I/O, and the stored record stays",
    ),
    case!("writes", shrinking_commit_always_allowed, "a commit that makes a session smaller is allowed"),
];

async fn unused_new_session_costs_nothing(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let uses: [Step; 6] = [
        |_| Ok(()),
        |session| session.get::<u64>("n").map(drop),
        |session| session.take_flash::<String>().map(drop),
        Session::rotate,
        Session::clear,
        |session| {
            session.insert("n", 1)?;
            session.remove("n").map(drop)
        },
    ];
    for use_it in uses {
        let session = site.manager.open(None).await?;
        check::ensure(session.is_new() && session.id().is_none(), "a new session is not new")?;
        use_it(&session)?;
        unchanged(session.commit().await?)?;
        unchanged(session.commit().await?)?;
        check::ensure(session.is_new(), "a session that was not stored is not new")?;
    }
    check::equal(site.spy.calls(), Calls::default(), "calls of the store by unused sessions")
}

async fn no_op_writes_nothing(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site
        .create(|session| {
            session.insert("n", 1)?;
            session.insert("map", std::collections::BTreeMap::from([("a", 1), ("b", 2)]))?;
            session.insert("list", [1, 2])?;
            session.sign_in("alice")
        })
        .await?;
    let stored = site.record(&current).await?;
    let uses: [Step; 9] = [
        |session| session.get::<u64>("n").map(drop),
        |session| session.insert("n", 1),
        |session| session.update("n", |n: Option<u64>| n.unwrap_or(0)).map(drop),
        |session| session.remove("nothing.here").map(drop),
        |session| {
            session.insert("m", 1)?;
            session.remove("m").map(drop)
        },
        |session| {
            let n = session.take::<u64>("n")?;
            session.insert("n", n)
        },
        |session| {
            session.insert("n", 2)?;
            session.insert("n", 1)
        },
        // In another order than it stands there.
        |session| {
            session.remove("map.a")?;
            session.insert("map.a", 1)
        },
        |session| {
            session.push("list", 3)?;
            session.remove("list.2")?;
            session.flash("hello")?;
            session.take_flash::<String>().map(drop)
        },
    ];
    for (number, use_it) in uses.into_iter().enumerate() {
        let session = site.open(&current).await?;
        use_it(&session)?;
        site.spy.calls();
        unchanged(session.commit().await?)?;
        check::equal(site.spy.calls(), Calls::default(), &format!("calls for request {number}"))?;
        check::same(&site.record(&current).await?, &stored, "a session that was not changed")?;
    }
    Ok(())
}

async fn read_only_request_only_a_due_touch(ctx: Context) -> CaseResult {
    for (idle, step) in [(MINUTE, MINUTE / 10), (20 * MINUTE, MINUTE), (600 * MINUTE, MINUTE)] {
        let site = Site::with(&ctx, |builder| builder.idle_timeout(idle))?;
        let current = site.visit().await?;
        let mut stored = site.record(&current).await?;
        ctx.clock().advance(step - Duration::from_millis(1));
        let reading = |session: &Session| session.get::<u64>("n").map(drop);
        site.spy.calls();
        unchanged(site.request(&current, reading).await?)?;
        check::equal(site.spy.calls(), Calls { load: 1, ..Calls::default() }, "calls before the step")?;
        check::same(&site.record(&current).await?, &stored, "the session before the step")?;
        ctx.clock().advance(Duration::from_millis(1));
        unchanged(site.request(&current, reading).await?)?;
        let expected = Calls { load: 1, touch: 1, ..Calls::default() };
        check::equal(site.spy.calls(), expected, "calls after the step")?;
        stored.touch(ctx.now().saturating_add(idle), ctx.now());
        check::same(&site.record(&current).await?, &stored, "the session after a touch")?;
        unchanged(site.request(&current, reading).await?)?;
        check::equal(site.spy.calls(), Calls { load: 1, ..Calls::default() }, "calls right after a touch")?;
        // A change carries the expiry along, so it needs no touch.
        ctx.clock().advance(step);
        site.count(&current).await?;
        let expected = Calls { load: 1, update: 1, ..Calls::default() };
        check::equal(site.spy.calls(), expected, "calls for a change")?;
        let record = site.record(&current).await?;
        check::equal(record.expires_at, ctx.now().saturating_add(idle), "the expiry after a change")?;
    }
    let fixed = Site::with(&ctx, |builder| builder.idle_timeout(None))?;
    let current = fixed.visit().await?;
    ctx.clock().advance(600 * MINUTE);
    fixed.spy.calls();
    unchanged(fixed.request(&current, |_| Ok(())).await?)?;
    check::equal(fixed.spy.calls().touch, 0, "touches of a session with a fixed lifetime")
}

async fn failed_touch_fails_no_request(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    ctx.clock().advance(2 * MINUTE);
    site.spy.refuse(Operation::Touch, ErrorKind::Unavailable);
    unchanged(site.request(&current, |_| Ok(())).await?)?;
    check::equal(site.spy.acts_left(), 0, "failures that never came")?;
    // The session may be gone by then, and nothing was to be written anyway.
    let session = site.open(&current).await?;
    site.manager.revoke(id(&current)?).await?;
    unchanged(session.commit().await?)?;
    site.expect_stranger(&current, "a revoked session after a touch").await
}

async fn too_large_leaves_the_stored_intact(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.max_record_size(1000))?;
    let current = site.visit().await?;
    let stored = site.record(&current).await?;
    let room = 1000 - stored.meta.len() - stored.data.len() - 8;
    let session = site.open(&current).await?;
    session.insert("big", "x".repeat(1000))?;
    site.spy.calls();
    refused(session.commit().await, ErrorKind::TooLarge, "a commit over the limit")?;
    check::equal(site.spy.calls(), Calls::default(), "calls for a commit over the limit")?;
    check::same(&site.record(&current).await?, &stored, "the session after a commit over the limit")?;
    // Still the request's: it may make room and try again. The bookkeeping grows by a revision.
    session.insert("big", "x".repeat(room / 2))?;
    unchanged(session.commit().await?)?;
    check::equal(site.open(&current).await?.get("big")?, Some("x".repeat(room / 2)), "what fitted")?;
    let new = site.manager.open(None).await?;
    new.insert("big", "x".repeat(1000))?;
    refused(new.commit().await, ErrorKind::TooLarge, "a create over the limit")?;
    // Each fits, both together do not.
    let current = site.visit().await?;
    let (early, late) = (site.open(&current).await?, site.open(&current).await?);
    early.insert("early", "x".repeat(room / 2))?;
    late.insert("late", "x".repeat(room / 2))?;
    unchanged(early.commit().await?)?;
    let stored = site.record(&current).await?;
    refused(late.commit().await, ErrorKind::TooLarge, "a commit that is over the limit on newer values")?;
    check::same(&site.record(&current).await?, &stored, "the session of the early one")
}

async fn shrinking_commit_always_allowed(ctx: Context) -> CaseResult {
    let large = Site::with(&ctx, |builder| builder.max_record_size(10_000))?;
    let current = large
        .create(|session| {
            session.insert("n", 0)?;
            (0..10).try_for_each(|part| session.insert(["part", &part.to_string()], "x".repeat(500)))
        })
        .await?;
    // A later release allows less.
    let site = Site::with(&ctx, |builder| builder.max_record_size(1000))?;
    refused(
        site.open(&current).await.map(|session| session.insert("more", 1).map(|()| session))??.commit().await,
        ErrorKind::TooLarge,
        "growing a session that is over the limit",
    )?;
    unchanged(site.request(&current, |session| session.remove(["part", "0"]).map(drop)).await?)?;
    unchanged(site.request(&current, |session| session.insert("n", 1)).await?)?;
    let current = token(site.request(&current, Session::rotate).await?)?;
    let current = token(site.request(&current, |session| session.sign_in("alice")).await?)?;
    ctx.clock().advance(2 * MINUTE);
    unchanged(site.request(&current, |_| Ok(())).await?)?;
    check::equal(site.open(&current).await?.keys("part")?.len(), 9, "parts that are left")?;
    unchanged(site.request(&current, Session::clear).await?)?;
    check::equal(site.open(&current).await?.keys([""; 0])?.len(), 0, "values after clear")
}
