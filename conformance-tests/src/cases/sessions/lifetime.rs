//! Group T, how long a session lives: both limits, enforced by the core on every load.

use std::time::Duration;

use session_core::{Committed, CookieLifetime, ErrorKind, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::site::{Site, Step, add_one, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "lifetime",
        idle_and_absolute_end_the_session,
        "a session ends when nobody has used it for the idle time, and at its absolute limit whatever happens",
    ),
    case!("lifetime", no_idle_timeout_is_a_fixed_lifetime, "without an idle timeout the lifetime is fixed"),
    case!(
        "lifetime",
        max_age_is_the_time_to_the_deadline,
        "the cookie lives to the deadline, or to the browser's end"
    ),
    case!("lifetime", deadline_holds_whatever_the_store_says, "no load passes the deadline"),
    case!(
        "lifetime",
        defaults_change_for_new_sessions_only,
        "a session keeps the lifetime that it was created with"
    ),
    case!(
        "lifetime",
        commit_of_an_expired_session_is_gone,
        "a change of a session that expired meanwhile is `Gone`"
    ),
    case!("lifetime", expiry_is_of_the_commit, "expiry is computed from the commit's own time"),
];

const INSTANT: Duration = Duration::from_millis(1);

async fn idle_and_absolute_end_the_session(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(HOUR).absolute_timeout(DAY))?;
    let uses: [Step; 2] = [|_| Ok(()), add_one];
    for use_it in uses {
        // Unused.
        let current = site.visit().await?;
        ctx.clock().advance(HOUR - INSTANT);
        site.open(&current).await?;
        ctx.clock().advance(INSTANT);
        site.expect_stranger(&current, "after the idle time").await?;
        // Used again and again.
        let current = site.visit().await?;
        let born = ctx.now();
        for _ in 0..47 {
            ctx.clock().advance(HOUR / 2);
            unchanged(site.request(&current, use_it).await?)?;
        }
        ctx.clock().set(born.saturating_add(DAY - INSTANT));
        unchanged(site.request(&current, use_it).await?)?;
        ctx.clock().advance(INSTANT);
        site.expect_stranger(&current, "at the absolute limit").await?;
    }
    Ok(())
}

async fn no_idle_timeout_is_a_fixed_lifetime(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(None).absolute_timeout(DAY))?;
    let current = site.visit().await?;
    let born = ctx.now();
    ctx.clock().advance(HOUR);
    site.count(&current).await?;
    ctx.clock().set(born.saturating_add(DAY - INSTANT));
    site.open(&current).await?;
    ctx.clock().advance(INSTANT);
    site.expect_stranger(&current, "at the end of a fixed lifetime").await
}

async fn max_age_is_the_time_to_the_deadline(ctx: Context) -> CaseResult {
    for (cookie, expected) in
        [(CookieLifetime::Persistent, Some(10 * DAY)), (CookieLifetime::BrowserSession, None)]
    {
        let site = Site::with(&ctx, |builder| builder.absolute_timeout(10 * DAY).cookie_lifetime(cookie))?;
        let session = site.manager.open(None).await?;
        session.insert("n", 1)?;
        let Committed::SetToken { max_age, token } = session.commit().await? else {
            return Err(Failure::new("a create hands out no token"));
        };
        check::equal(max_age, expected, "Max-Age")?;
        ctx.clock().advance(HOUR);
        let Committed::SetToken { max_age, .. } = site.request(&token.expose(), Session::rotate).await?
        else {
            return Err(Failure::new("a rotation hands out no token"));
        };
        check::equal(max_age, expected.map(|age| age - HOUR), "Max-Age after a rotation")?;
    }
    Ok(())
}

async fn deadline_holds_whatever_the_store_says(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.member("alice").await?;
    let old = site.record(&current).await?;
    let mut record = old.clone();
    record.revision = old.revision.next(1);
    record.deadline = ctx.now().saturating_add(HOUR);
    record.expires_at = ctx.now().saturating_add(DAY);
    check::updated(ctx.backend().update(id(&current)?, old.revision, record, ctx.now()).await?)?;
    ctx.clock().advance(HOUR - INSTANT);
    let session = site.open(&current).await?;
    ctx.clock().advance(INSTANT);
    site.expect_stranger(&current, "a record that outlives its deadline").await?;
    session.reload().await?;
    check::ensure(session.is_new(), "reload passes the deadline")
}

async fn defaults_change_for_new_sessions_only(ctx: Context) -> CaseResult {
    let before = Site::with(&ctx, |builder| builder.idle_timeout(HOUR).absolute_timeout(2 * DAY))?;
    let after = Site::with(&ctx, |builder| builder.idle_timeout(MINUTE).absolute_timeout(DAY))?;
    let current = before.visit().await?;
    ctx.clock().advance(10 * MINUTE);
    after.count(&current).await?;
    let record = after.record(&current).await?;
    check::equal(record.expires_at, ctx.now().saturating_add(HOUR), "the expiry after the settings changed")?;
    let current = token(after.request(&current, |session| session.sign_in("alice")).await?)?;
    let record = after.record(&current).await?;
    check::equal(record.deadline, ctx.now().saturating_add(2 * DAY), "the deadline of a sign-in after that")
}

async fn commit_of_an_expired_session_is_gone(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(HOUR))?;
    let current = site.visit().await?;
    let (reader, writer) = (site.open(&current).await?, site.open(&current).await?);
    let (rotating, ending) = (site.open(&current).await?, site.open(&current).await?);
    add_one(&writer)?;
    rotating.rotate()?;
    ending.destroy()?;
    ctx.clock().advance(HOUR);
    unchanged(reader.commit().await?)?;
    refused(writer.commit().await, ErrorKind::Gone, "a change of an expired session")?;
    refused(rotating.commit().await, ErrorKind::Gone, "a rotation of an expired session")?;
    unchanged(ending.commit().await?)?;
    site.expect_stranger(&current, "an expired session").await
}

async fn expiry_is_of_the_commit(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(HOUR))?;
    let new = site.manager.open(None).await?;
    new.insert("n", 0)?;
    ctx.clock().advance(DAY);
    let current = token(new.commit().await?)?;
    let record = site.record(&current).await?;
    check::equal(record.expires_at, ctx.now().saturating_add(HOUR), "the expiry of a slow create")?;
    check::equal(record.touched_at, ctx.now(), "touched_at of a slow create")?;
    let session = site.open(&current).await?;
    add_one(&session)?;
    ctx.clock().advance(30 * MINUTE);
    unchanged(session.commit().await?)?;
    let record = site.record(&current).await?;
    check::equal(record.expires_at, ctx.now().saturating_add(HOUR), "the expiry of a slow change")?;
    let session = site.open(&current).await?;
    ctx.clock().advance(30 * MINUTE);
    unchanged(session.commit().await?)?;
    let record = site.record(&current).await?;
    check::equal(record.expires_at, ctx.now().saturating_add(HOUR), "the expiry of a slow read")
}
