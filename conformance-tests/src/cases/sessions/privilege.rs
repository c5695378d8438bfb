//! Group D, changes of privilege: what they keep, what they end, and who loses against them.

use std::time::Duration;

use session_core::{Committed, CookieLifetime, ErrorKind, Operation, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, HOUR};
use crate::race::race_two;
use crate::site::{Site, Step, add_one, cleared, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "privilege",
        rotation_keeps_data_and_deadline,
        "rotate keeps id, values, principal and deadline, and replaces the secret",
    ),
    case!(
        "privilege",
        sign_in_starts_new_absolute_period,
        "sign_in starts the absolute lifetime anew, and nothing else does",
    ),
    case!(
        "privilege",
        sign_in_keeps_values_of_nobody_and_of_the_same,
        "sign_in from nobody or the same principal keeps the values",
    ),
    case!(
        "privilege",
        sign_in_over_another_principal_is_a_new_session,
        "sign_in over another principal starts over: all values go, this request's too, and earlier tokens are dead",
    ),
    case!(
        "privilege",
        sign_out_ends_the_session_and_a_flash_follows,
        "sign_out destroys, and goes on with a new empty session in the same handle",
    ),
    case!(
        "privilege",
        lost_sign_in_answer_can_sign_in_again,
        "a client whose sign-in answer was lost can sign in again, at once and later",
    ),
    case!(
        "privilege",
        double_sign_in_in_parallel_leaves_a_usable_cookie,
        "of two sign-ins of one session in parallel one sets a cookie, which works, and one is `Stale`",
    ),
    case!(
        "privilege",
        gone_or_stale_never_clears_a_newer_cookie,
        "an ended, stale, expired or unknown session never clears a cookie",
    ),
    case!(
        "privilege",
        planted_token_cannot_commit_destroy_or_revoke,
        "a slow request with a planted token cannot change, end or revoke what the victim signed in to",
    ),
    case!(
        "privilege",
        revoke_others_with_a_dead_secret_revokes_nothing,
        "revoke_others revokes only once its own rotation has committed",
        List,
    ),
];

async fn rotation_keeps_data_and_deadline(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let before = site.record(&old).await?;
    ctx.clock().advance(DAY - HOUR);
    let committed = site.request(&old, Session::rotate).await?;
    let Committed::SetToken { token: fresh, max_age } = committed else {
        return Err(Failure::new(format!("rotate: expected a token, got {committed:?}")));
    };
    let left = before.deadline.saturating_duration_since(ctx.now());
    check::equal(max_age, Some(left), "Max-Age after a rotation")?;
    let fresh = fresh.expose();
    check::ensure(fresh != old, "the secret stayed")?;
    let after = site.record(&fresh).await?;
    check::equal(id(&fresh)?, id(&old)?, "the id")?;
    check::equal(&after.data, &before.data, "the values")?;
    check::equal(&after.principal, &before.principal, "the principal")?;
    check::equal(after.deadline, before.deadline, "the deadline")?;
    check::equal(after.touched_at, ctx.now(), "touched_at")?;
    let session = site.open(&fresh).await?;
    check::equal(session.get("n")?, Some(0), "a value")?;
    // Together with changes, of which a rotation is not a reason to lose any.
    session.rotate()?;
    add_one(&session)?;
    site.spy.before(Operation::Update, {
        let (site, token) = (site.clone(), fresh.clone());
        async move { drop(site.request(&token, |session| session.insert("other", true)).await) }
    });
    let newest = token(session.commit().await?)?;
    check::equal(site.n(&newest).await?, 1, "the rotating request's own change")?;
    let other = site.open(&newest).await?.get::<bool>("other")?;
    check::equal(other, Some(true), "the change of a request that came between")
}

async fn sign_in_starts_new_absolute_period(ctx: Context) -> CaseResult {
    for cookie in [CookieLifetime::Persistent, CookieLifetime::BrowserSession] {
        let site = Site::with(&ctx, |builder| {
            builder.absolute_timeout(2 * DAY).idle_timeout(None).cookie_lifetime(cookie)
        })?;
        let visitor = site.visit().await?;
        let born = ctx.now();
        ctx.clock().advance(DAY);
        unchanged(site.request(&visitor, add_one).await?)?;
        let deadline = site.record(&visitor).await?.deadline;
        check::equal(deadline, born.saturating_add(2 * DAY), "the deadline after a change")?;
        let signing_in = site.open(&visitor).await?;
        signing_in.sign_in("alice")?;
        check::equal(signing_in.authenticated_at(), None, "the time of a sign-in before its commit")?;
        let committed = signing_in.commit().await?;
        check::equal(
            signing_in.authenticated_at(),
            Some(ctx.now()),
            "the time of a sign-in after its commit",
        )?;
        let Committed::SetToken { token, max_age } = committed else {
            return Err(Failure::new(format!("sign_in: expected a token, got {committed:?}")));
        };
        let expected = (cookie == CookieLifetime::Persistent).then_some(2 * DAY);
        check::equal(max_age, expected, "Max-Age after a sign-in")?;
        let token = token.expose();
        let deadline = site.record(&token).await?.deadline;
        check::equal(deadline, ctx.now().saturating_add(2 * DAY), "the deadline after a sign-in")?;
        ctx.clock().advance(2 * DAY - Duration::from_millis(1));
        let signed_in = deadline.saturating_sub(2 * DAY);
        let session = site.open(&token).await?;
        check::equal(session.authenticated_at(), Some(signed_in), "the stored time of the sign-in")?;
        ctx.clock().advance(Duration::from_millis(1));
        site.expect_stranger(&token, "at the deadline").await?;
    }
    Ok(())
}

async fn sign_in_keeps_values_of_nobody_and_of_the_same(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let mut current = site.visit().await?;
    for _ in 0..2 {
        let session = site.open(&current).await?;
        add_one(&session)?;
        session.sign_in("alice")?;
        // Also before the commit.
        let principal = session.principal();
        check::equal(principal.as_ref().map(|name| name.as_str()), Some("alice"), "who is signed in")?;
        current = token(session.commit().await?)?;
        let principal = site.open(&current).await?.principal();
        check::equal(principal.as_ref().map(|name| name.as_str()), Some("alice"), "who is stored")?;
    }
    check::equal(site.n(&current).await?, 2, "the value after two sign-ins")
}

async fn sign_in_over_another_principal_is_a_new_session(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let of_alice = site.member("alice").await?;
    unchanged(site.request(&of_alice, |earlier| earlier.insert("stored", "alice's")).await?)?;
    let session = site.open(&of_alice).await?;
    session.insert("mine", "alice's")?;
    session.flash("welcome alice")?;
    session.sign_in("bob")?;
    check::equal(session.keys([""; 0])?, Vec::<String>::new(), "the values after a sign-in of another")?;
    session.insert("n", 7)?;
    let of_bob = token(session.commit().await?)?;
    let straggler = site.expect_superseded(&of_alice, "the token of the principal before").await?;
    check::equal(straggler.contains("mine")?, false, "a value of the one before, by the old token")?;
    let session = site.open(&of_bob).await?;
    check::equal(session.keys([""; 0])?, vec!["n".to_owned()], "the values of the new session")?;
    check::equal(session.take_flash::<String>()?, Vec::new(), "messages for the one before")?;
    let principal = session.principal();
    check::equal(principal.as_ref().map(|name| name.as_str()), Some("bob"), "who is signed in")?;
    // Nor is what another request of the one before stored while this one was under way.
    let of_alice = site.member("alice").await?;
    let session = site.open(&of_alice).await?;
    session.sign_in("bob")?;
    session.insert("n", 8)?;
    unchanged(site.request(&of_alice, |other| other.insert("late", "alice's")).await?)?;
    let of_bob = token(session.commit().await?)?;
    let values = site.open(&of_bob).await?.keys([""; 0])?;
    check::equal(values, vec!["n".to_owned()], "the values after a conflict with the one before")?;
    // Twice in one request: the first principal's values are not the second's either.
    let session = site.manager.open(None).await?;
    session.sign_in("alice")?;
    session.insert("mine", "alice's")?;
    session.sign_in("bob")?;
    check::equal(session.contains("mine")?, false, "what the first of two sign-ins left")?;
    let of_bob = token(session.commit().await?)?;
    check::equal(site.open(&of_bob).await?.contains("mine")?, false, "the same after the commit")
}

async fn sign_out_ends_the_session_and_a_flash_follows(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    cleared(site.request(&old, Session::sign_out).await?)?;
    ctx.expect_none(id(&old)?, "the session after sign_out").await?;
    let old = site.member("alice").await?;
    let session = site.open(&old).await?;
    session.insert("n", 5)?;
    session.sign_out()?;
    check::ensure(session.principal().is_none(), "somebody is signed in after sign_out")?;
    check::equal(session.get::<u64>("n")?, None, "a value after sign_out")?;
    session.flash("bye")?;
    let fresh = token(session.commit().await?)?;
    check::ensure(id(&fresh)? != id(&old)?, "the session after a sign_out has the old id")?;
    ctx.expect_none(id(&old)?, "the session after sign_out and flash").await?;
    let messages = site.open(&fresh).await?.take_flash::<String>()?;
    check::equal(messages, vec!["bye".to_owned()], "the message after sign_out")?;
    // A second sign-out of the same session comes too late: by now the browser may hold a newer cookie.
    let old = site.member("alice").await?;
    let late = site.open(&old).await?;
    cleared(site.request(&old, Session::sign_out).await?)?;
    late.sign_out()?;
    late.flash("bye again")?;
    unchanged(late.commit().await?)?;
    check::ensure(late.id().is_none(), "a sign_out of what is gone made a session")
}

async fn lost_sign_in_answer_can_sign_in_again(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for wait in [Duration::ZERO, Duration::from_secs(29), HOUR] {
        for earlier in [site.visit().await?, site.member("alice").await?] {
            let lost = token(site.request(&earlier, |session| session.sign_in("alice")).await?)?;
            ctx.clock().advance(wait);
            let session = site.manager.open(Some(&earlier)).await?;
            session.sign_in("alice")?;
            let own = token(session.commit().await?)?;
            check::ensure(id(&own)? != id(&lost)?, "a replaced secret reached the session")?;
            let principal = site.open(&own).await?.principal();
            check::equal(principal.as_ref().map(|name| name.as_str()), Some("alice"), "who is signed in")?;
            site.open(&lost).await?;
        }
    }
    Ok(())
}

async fn double_sign_in_in_parallel_leaves_a_usable_cookie(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for round in 0..ctx.rounds(50) {
        let visitor = if round % 2 == 0 { site.visit().await? } else { site.member("alice").await? };
        let (one, other) = (site.open(&visitor).await?, site.open(&visitor).await?);
        one.sign_in("alice")?;
        other.sign_in("alice")?;
        let answers =
            race_two(async move { Ok(one.commit().await) }, async move { Ok(other.commit().await) });
        let (winner, loser) = match answers.await? {
            (Ok(winner), loser) => (winner, loser),
            (loser, Ok(winner)) => (winner, loser),
            (one, _) => return Err(Failure::new(format!("both sign-ins failed: {one:?}"))),
        };
        refused(loser, ErrorKind::Stale, "the second sign-in")?;
        let cookie = token(winner)?;
        let principal = site.open(&cookie).await?.principal();
        check::equal(principal.as_ref().map(|name| name.as_str()), Some("alice"), "who is signed in")?;
        site.expect_superseded(&visitor, "the cookie before").await?;
    }
    Ok(())
}

async fn gone_or_stale_never_clears_a_newer_cookie(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let ends: [Step; 2] = [Session::destroy, Session::sign_out];
    for end in ends {
        // Stale: another request signed in.
        let old = site.member("alice").await?;
        let slow = site.open(&old).await?;
        end(&slow)?;
        let fresh = token(site.request(&old, |session| session.sign_in("alice")).await?)?;
        refused(slow.commit().await, ErrorKind::Stale, "an end with a replaced secret")?;
        // Gone: another request ended it, and its client may have signed in anew since.
        let slow = site.open(&fresh).await?;
        end(&slow)?;
        cleared(site.request(&fresh, Session::destroy).await?)?;
        unchanged(slow.commit().await?)?;
        // Gone, with a change.
        let old = site.member("alice").await?;
        let slow = site.open(&old).await?;
        add_one(&slow)?;
        check::equal(site.manager.revoke(id(&old)?).await?, true, "revoke")?;
        refused(slow.commit().await, ErrorKind::Gone, "a change of a revoked session")?;
        // Expired while the request was under way.
        let old = site.member("alice").await?;
        let slow = site.open(&old).await?;
        end(&slow)?;
        ctx.clock().advance(31 * DAY);
        unchanged(slow.commit().await?)?;
        // Unknown, replaced, none at all: nothing is ended, so nothing is cleared.
        let session = site.manager.open(Some(&old)).await?;
        end(&session)?;
        unchanged(session.commit().await?)?;
        let session = site.manager.open(None).await?;
        session.insert("n", 1)?;
        end(&session)?;
        unchanged(session.commit().await?)?;
        unchanged(site.manager.open(Some(&old)).await?.commit().await?)?;
    }
    Ok(())
}

async fn planted_token_cannot_commit_destroy_or_revoke(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let planted = site.visit().await?;
    let elsewhere = site.member("alice").await?;
    // What the attacker opens before the victim signs in, and sends after.
    let open = async || site.open(&planted).await;
    let (insert, update, destroy) = (open().await?, open().await?, open().await?);
    let (rotate, sign_out, sign_in) = (open().await?, open().await?, open().await?);
    let (sign_in_victim, revoke, revoke_others) = (open().await?, open().await?, open().await?);
    let victims = token(site.request(&planted, |session| session.sign_in("alice")).await?)?;
    let stored = site.record(&victims).await?;
    insert.insert("n", 666)?;
    add_one(&update)?;
    destroy.destroy()?;
    rotate.rotate()?;
    sign_out.sign_out()?;
    sign_in.sign_in("mallory")?;
    sign_in_victim.sign_in("alice")?;
    let stale = ErrorKind::Stale;
    for (what, session) in [
        ("insert", insert),
        ("update", update),
        ("destroy", destroy),
        ("rotate", rotate),
        ("sign_out", sign_out),
        ("sign_in", sign_in),
        ("sign_in as the victim", sign_in_victim),
    ] {
        refused(session.commit().await, stale, what)?;
    }
    refused(revoke.revoke(id(&elsewhere)?).await, stale, "revoke of the victim's other session")?;
    refused(revoke.revoke(id(&victims)?).await, stale, "revoke of the victim's session")?;
    // Nobody was signed in when it was opened, so there is nobody whose sessions it could mean.
    check::equal(revoke_others.revoke_others().await?, 0, "revoke_others")?;
    check::same(&site.record(&victims).await?, &stored, "the victim's session")?;
    site.open(&elsewhere).await.map(drop)
}

async fn revoke_others_with_a_dead_secret_revokes_nothing(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let elsewhere = site.member("alice").await?;
    let stolen = site.member("alice").await?;
    let thief = site.open(&stolen).await?;
    let fresh = token(site.request(&stolen, Session::rotate).await?)?;
    refused(thief.revoke_others().await, ErrorKind::Stale, "revoke_others with a replaced secret")?;
    site.open(&elsewhere).await?;
    site.open(&fresh).await?;
    // A store that fails to rotate revokes nothing either.
    let session = site.open(&fresh).await?;
    site.spy.refuse(Operation::Update, ErrorKind::Unavailable);
    refused(session.revoke_others().await, ErrorKind::Unavailable, "revoke_others without a store")?;
    site.open(&elsewhere).await?;
    site.open(&fresh).await?;
    // An owner's does, and rotates.
    let session = site.open(&fresh).await?;
    check::equal(session.revoke_others().await?, 1, "sessions that were revoked")?;
    site.expect_stranger(&elsewhere, "another session after revoke_others").await?;
    site.expect_superseded(&fresh, "this session's own earlier secret").await.map(drop)
}
