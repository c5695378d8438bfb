//! Group T, how long a session lives: both limits, enforced by the core on every load.

use std::time::Duration;

use session_core::{Committed, CookieLifetime, ErrorKind, Lifetime, Session};

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
    case!(
        "lifetime",
        per_session_lifetime_survives,
        "a session's own lifetime holds through rotations, sign-ins and other settings",
    ),
    case!(
        "lifetime",
        remember_me_tells_the_browser,
        "a lifetime that changes the cookie's `Max-Age` replaces the token gracefully",
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

fn own_lifetime(idle: Option<Duration>, absolute: Duration, cookie: CookieLifetime) -> Lifetime {
    let mut lifetime = Lifetime::default();
    lifetime.idle_timeout = idle;
    lifetime.absolute_timeout = absolute;
    lifetime.cookie = cookie;
    lifetime
}

async fn per_session_lifetime_survives(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.idle_timeout(HOUR).absolute_timeout(2 * DAY))?;
    let other = Site::with(&ctx, |builder| builder.idle_timeout(MINUTE).absolute_timeout(DAY))?;
    let own = own_lifetime(Some(10 * DAY), 90 * DAY, CookieLifetime::Persistent);
    let session = site.manager.open(None).await?;
    session.insert("n", 0)?;
    session.set_lifetime(own)?;
    let mut current = token(session.commit().await?)?;
    let born = ctx.now();
    let steps: [Step; 3] =
        [Session::rotate, Session::rotate_gracefully, |s| s.set_lifetime(Lifetime::default())];
    for (days, step) in [(9, steps[0]), (18, steps[1])] {
        ctx.clock().set(born.saturating_add(days * DAY));
        current = token(other.request(&current, step).await?)?;
        let record = site.record(&current).await?;
        check::equal(record.expires_at, ctx.now().saturating_add(10 * DAY), "the expiry")?;
        check::equal(record.deadline, born.saturating_add(90 * DAY), "the deadline")?;
    }
    current = token(other.request(&current, |session| session.sign_in("alice")).await?)?;
    let record = site.record(&current).await?;
    check::equal(record.deadline, ctx.now().saturating_add(90 * DAY), "the deadline after a sign-in")?;
    // And back; the absolute limit counts from the sign-in.
    let signed_in = ctx.now();
    ctx.clock().advance(HOUR);
    current = token(site.request(&current, steps[2]).await?)?;
    let record = site.record(&current).await?;
    check::equal(record.deadline, signed_in.saturating_add(30 * DAY), "the deadline of another lifetime")?;
    check::equal(record.expires_at, ctx.now().saturating_add(DAY), "the expiry of another lifetime")?;
    // One that is out of range changes nothing.
    let session = site.open(&current).await?;
    let never = own_lifetime(None, Duration::ZERO, CookieLifetime::Persistent);
    refused(session.set_lifetime(never), ErrorKind::Config, "a lifetime of nothing")?;
    unchanged(session.commit().await?)
}

async fn remember_me_tells_the_browser(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.cookie_lifetime(CookieLifetime::BrowserSession))?;
    let old = site.member("alice").await?;
    let remember = own_lifetime(Some(30 * DAY), 90 * DAY, CookieLifetime::Persistent);
    let committed = site.request(&old, |session| session.set_lifetime(remember)).await?;
    let Committed::SetToken { token: fresh, max_age } = committed else {
        return Err(Failure::new("the browser is not told to keep the cookie"));
    };
    check::equal(max_age, Some(90 * DAY), "Max-Age")?;
    let fresh = fresh.expose();
    check::equal(id(&fresh)?, id(&old)?, "the id")?;
    // Gracefully: requests in flight stay signed in.
    site.count(&old).await?;
    site.count(&fresh).await?;
    // Where the cookie stays the same, so does the token.
    unchanged(site.request(&fresh, |session| session.set_lifetime(remember)).await?)?;
    let shorter = own_lifetime(Some(HOUR), 90 * DAY, CookieLifetime::Persistent);
    unchanged(site.request(&fresh, move |session| session.set_lifetime(shorter)).await?)?;
    ctx.clock().advance(HOUR - INSTANT);
    site.open(&fresh).await?;
    ctx.clock().advance(INSTANT);
    site.expect_stranger(&fresh, "after the session's own idle time").await
}
