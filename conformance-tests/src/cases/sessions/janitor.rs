//! Group T, the janitor: it removes what nobody will use again, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use session_core::{ErrorKind, Janitor, Operation, Session, SessionManager};
use tokio::sync::mpsc::unbounded_channel;

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::site::{Site, id, token, unchanged};
use crate::spy::Spy;

pub(super) const CASES: &[Case] = &[
    case!(
        "janitor",
        removes_only_what_expired_before_the_margin,
        "the janitor purges at `now - max_clock_skew`, and never a live session",
        Removal
    ),
    case!(
        "janitor",
        janitor_survives_errors,
        "a janitor whose store fails goes on with the next round",
        Removal
    ),
    case!(
        "janitor",
        janitor_empty_rule_races_sign_in,
        "an empty session that somebody signs in to meanwhile stays",
        List
    ),
    case!(
        "janitor",
        max_sessions_nearest_expiry_first,
        "over the limit those go that would expire next",
        List
    ),
    case!(
        "janitor",
        ends_with_the_last_manager,
        "a janitor keeps no manager alive, and ends with the last one"
    ),
];

const INSTANT: Duration = Duration::from_millis(1);

fn janitor() -> Janitor {
    Janitor::new().with_pause(Duration::ZERO)
}

async fn removes_only_what_expired_before_the_margin(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(HOUR).max_clock_skew(10 * MINUTE))?;
    let dead = site.visit().await?;
    ctx.clock().advance(HOUR);
    let live = site.member("alice").await?;
    let sweep =
        async || -> CaseResult<u64> { Ok(janitor().with_batch(2).run_once(&site.manager).await?.expired) };
    ctx.clock().advance(10 * MINUTE - INSTANT);
    check::equal(sweep().await?, 0, "sessions removed within the margin")?;
    // A node whose clock is behind by the margin still has it.
    let behind = ctx.now().saturating_sub(10 * MINUTE);
    let found = ctx.backend().load(id(&dead)?, behind).await?;
    check::ensure(found.is_some(), "a session that lives by a slow clock was removed")?;
    ctx.clock().advance(INSTANT);
    check::equal(sweep().await?, 1, "sessions removed after the margin")?;
    site.open(&live).await?;
    for _ in 0..5 {
        site.visit().await?;
    }
    ctx.clock().advance(DAY);
    let live = site.member("alice").await?;
    check::equal(sweep().await?, 6, "sessions removed in batches")?;
    check::equal(site.manager.stats().expired_total, 7, "expired_total")?;
    site.open(&live).await.map(drop)
}

async fn janitor_survives_errors(ctx: Context) -> CaseResult {
    let often = janitor().with_interval(INSTANT);
    let quiet = Site::with(&ctx, |builder| builder.idle_timeout(HOUR))?;
    let dead = quiet.visit().await?;
    ctx.clock().advance(DAY);
    let site = Site::with(&ctx, |builder| builder.janitor(often))?;
    let (sender, mut rounds) = unbounded_channel();
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Internal] {
        site.spy.refuse(Operation::PurgeExpired, kind);
    }
    site.spy.before_each(Operation::PurgeExpired, move || {
        let sender = sender.clone();
        async move {
            let _ = sender.send(());
        }
    });
    for _ in 0..5 {
        rounds.recv().await;
    }
    check::equal(site.spy.acts_left(), 0, "errors that never came")?;
    check::equal(site.manager.stats().expired_total, 1, "sessions removed after the errors")?;
    quiet.expect_stranger(&dead, "the expired session").await
}

async fn janitor_empty_rule_races_sign_in(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let empty = async || -> CaseResult<String> {
        let current = site.visit().await?;
        unchanged(site.request(&current, Session::clear).await?)?;
        Ok(current)
    };
    let (left, taken) = (empty().await?, empty().await?);
    let (visitor, member) = (site.visit().await?, site.member("alice").await?);
    unchanged(site.request(&member, Session::clear).await?)?;
    ctx.clock().advance(HOUR - INSTANT);
    let rule = janitor().with_empty_after(HOUR);
    check::equal(rule.run_once(&site.manager).await?.empty, 0, "sessions removed too early")?;
    ctx.clock().advance(INSTANT);
    // Somebody signs in to one of them between the janitor's look and its hand.
    let (other, owner) = (Site::new(&ctx)?, taken.clone());
    site.spy.before(Operation::Delete, async move {
        drop(other.request(&owner, |session| session.sign_in("bob")).await);
    });
    let sweep = rule.run_once(&site.manager).await?;
    check::equal(site.spy.acts_left(), 0, "sign-ins that never came")?;
    let taken_record = ctx.backend().load(id(&taken)?, ctx.now()).await?;
    let left_record = ctx.backend().load(id(&left)?, ctx.now()).await?;
    check::ensure(taken_record.is_some_and(|record| record.principal.is_some()), "a sign-in was swept away")?;
    check::equal((sweep.empty, left_record.is_none()), (1, true), "the empty session that nobody wanted")?;
    site.open(&visitor).await?;
    site.open(&member).await.map(drop)
}

async fn max_sessions_nearest_expiry_first(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(DAY))?;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(site.visit().await?);
        ctx.clock().advance(MINUTE);
    }
    // The first is used again, so it is the last to expire.
    site.count(&tokens[0]).await?;
    let sweep = janitor().with_max_sessions(5).run_once(&site.manager).await?;
    check::equal(sweep.surplus, 0, "sessions removed within the limit")?;
    let sweep = janitor().with_max_sessions(2).run_once(&site.manager).await?;
    check::equal(sweep.surplus, 3, "sessions removed over the limit")?;
    for kept in [0, 4] {
        site.open(&tokens[kept]).await?;
    }
    for gone in [1, 2, 3] {
        site.expect_stranger(&tokens[gone], "a session over the limit").await?;
    }
    Ok(())
}

async fn ends_with_the_last_manager(ctx: Context) -> CaseResult {
    let backend = Arc::new(Spy::new(ctx.backend()));
    let (sender, mut rounds) = unbounded_channel();
    backend.before_each(Operation::PurgeExpired, move || {
        let sender = sender.clone();
        async move {
            let _ = sender.send(());
        }
    });
    let often = janitor().with_interval(INSTANT);
    let manager =
        SessionManager::builder(backend.clone()).clock(ctx.clock().clone()).janitor(often).build()?;
    let clone = manager.clone();
    drop(manager);
    rounds.recv().await;
    let session = clone.open(None).await?;
    session.insert("n", 0)?;
    drop(token(session.commit().await?)?);
    drop((session, clone));
    // A round that is under way ends first.
    while Arc::strong_count(&backend) > 1 {
        tokio::task::yield_now().await;
    }
    Ok(())
}
