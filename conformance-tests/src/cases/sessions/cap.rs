//! Group T, the limit on sessions of one principal.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use session_core::{Committed, ErrorKind, OnLimit, Operation, Principal, Result, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, MINUTE};
use crate::race::{Racer, race, racer};
use crate::site::{Site, add_one, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "cap",
        cap_holds_after_parallel_sign_ins,
        "after parallel sign-ins have returned a principal has at most as many sessions as allowed",
        List
    ),
    case!(
        "cap",
        evicts_who_signed_in_longest_ago,
        "with `EvictOldest` those that signed in longest ago are ended, and never a newer one",
        List
    ),
    case!(
        "cap",
        rejects_the_newcomer_and_leaves_nothing,
        "with `Reject` a sign-in over the limit is `LimitReached` before anything is written",
        List
    ),
    case!(
        "cap",
        newcomers_that_pass_at_once_are_settled,
        "a newcomer that the first look let through is undone if it turns out to be one too many",
        List
    ),
    case!(
        "cap",
        one_session_counts_once,
        "signing in again, and signing out and in again, takes no second place",
        List
    ),
    case!(
        "cap",
        only_live_sessions_of_the_principal_count,
        "the expired and those of others do not count",
        List
    ),
    case!(
        "cap",
        whoever_changed_meanwhile_is_looked_at_again,
        "a session that has become somebody else's since it was listed stays; one that was merely used goes",
        List
    ),
    case!(
        "cap",
        failed_settling_leaves_no_orphan,
        "a new session whose surplus cannot be settled is undone, so that trying again takes one place",
        List
    ),
];

const BOTH: [OnLimit; 2] = [OnLimit::EvictOldest, OnLimit::Reject];

fn limited(ctx: &Context, sessions: usize, policy: OnLimit) -> CaseResult<Site> {
    let sessions = NonZeroUsize::new(sessions).ok_or_else(|| Failure::new("no sessions at all"))?;
    Site::with(ctx, |builder| builder.max_sessions_per_principal(sessions, policy))
}

async fn sign_in(site: &Site, principal: &str) -> CaseResult<Result<Committed>> {
    let session = site.manager.open(None).await?;
    session.insert("n", 0)?;
    session.sign_in(principal)?;
    Ok(session.commit().await)
}

async fn count(site: &Site, principal: &str) -> CaseResult<usize> {
    Ok(site.manager.list(principal).await?.len())
}

async fn cap_holds_after_parallel_sign_ins(ctx: Context) -> CaseResult {
    for policy in BOTH {
        for (round, limit) in (0..ctx.rounds(12)).zip([1, 3, 5].into_iter().cycle()) {
            let sites = [limited(&ctx, limit, policy)?, limited(&ctx, limit, policy)?];
            let principal = format!("user-{policy:?}-{round}");
            // Half of them have a session already that becomes a member's.
            let mut racers: Vec<Racer<Result<Committed>>> = Vec::new();
            for number in 0..12 {
                let (site, principal) = (sites[number % 2].clone(), principal.clone());
                let visitor = if number % 4 < 2 { Some(site.visit().await?) } else { None };
                let session = site.manager.open(visitor.as_deref()).await?;
                session.insert("n", 0)?;
                session.sign_in(&principal)?;
                racers.push(racer(async move { Ok(session.commit().await) }));
            }
            let started = Instant::now();
            let answers = race(racers).await?;
            // Who has waited for a second gives way, too: all of them where a machine stalls for as long.
            let least = usize::from(started.elapsed() < Duration::from_secs(1));
            let live = count(&sites[0], &principal).await?;
            let what = format!("{policy:?}, limit {limit}: {live} live sessions");
            check::ensure((least..=limit).contains(&live), &what)?;
            let mut welcome = 0;
            for answer in answers {
                match answer {
                    Ok(committed) => {
                        let current = token(committed)?;
                        welcome += usize::from(!sites[1].manager.open(Some(&current)).await?.is_new());
                        if policy == OnLimit::Reject {
                            sites[1].open(&current).await?;
                        }
                    }
                    failed => {
                        check::equal(policy, OnLimit::Reject, "who may fail a sign-in")?;
                        refused(failed, ErrorKind::LimitReached, "a sign-in over the limit")?;
                    }
                }
            }
            check::equal(live, welcome, &format!("{what}, of which somebody has the token"))?;
        }
    }
    Ok(())
}

async fn evicts_who_signed_in_longest_ago(ctx: Context) -> CaseResult {
    let site = limited(&ctx, 3, OnLimit::EvictOldest)?;
    let mut tokens = Vec::new();
    for number in 0..6_usize {
        ctx.clock().advance(MINUTE);
        tokens.push(token(sign_in(&site, "alice").await??)?);
        // Use makes nobody newer.
        site.count(&tokens[number.saturating_sub(2)]).await?;
        check::equal(count(&site, "alice").await?, tokens.len().min(3), "sessions of alice")?;
        if let Some(gone) = number.checked_sub(3) {
            site.expect_stranger(&tokens[gone], "the oldest").await?;
        }
    }
    // Signing in again does.
    ctx.clock().advance(MINUTE);
    let again = token(site.request(&tokens[3], |session| session.sign_in("alice")).await?)?;
    ctx.clock().advance(MINUTE);
    let newest = token(sign_in(&site, "alice").await??)?;
    for kept in [&again, &tokens[5], &newest] {
        site.open(kept).await?;
    }
    site.expect_stranger(&tokens[4], "the oldest after a sign-in of an older one").await?;
    // A lower limit than there are sessions, and of others nobody.
    let (visitor, bob) = (site.visit().await?, site.member("bob").await?);
    let stricter = limited(&ctx, 1, OnLimit::EvictOldest)?;
    ctx.clock().advance(MINUTE);
    let only = token(sign_in(&stricter, "alice").await??)?;
    check::equal(count(&site, "alice").await?, 1, "sessions of alice under a lower limit")?;
    for kept in [&only, &visitor, &bob] {
        site.open(kept).await?;
    }
    Ok(())
}

async fn rejects_the_newcomer_and_leaves_nothing(ctx: Context) -> CaseResult {
    let site = limited(&ctx, 2, OnLimit::Reject)?;
    let tokens = [token(sign_in(&site, "alice").await??)?, token(sign_in(&site, "alice").await??)?];
    site.spy.calls();
    refused(sign_in(&site, "alice").await?, ErrorKind::LimitReached, "a third sign-in")?;
    let calls = site.spy.calls();
    check::equal((calls.create, calls.delete), (0, 0), "creates and deletes of a sign-in over the limit")?;
    // A visitor keeps what he has.
    let visitor = site.visit().await?;
    let stored = site.record(&visitor).await?;
    let session = site.open(&visitor).await?;
    session.sign_in("alice")?;
    for _ in 0..2 {
        refused(session.commit().await, ErrorKind::LimitReached, "a sign-in of a visitor")?;
    }
    check::same(&site.record(&visitor).await?, &stored, "the visitor's session")?;
    for kept in tokens.iter().chain([&visitor]) {
        site.open(kept).await?;
    }
    // Somebody leaves, and the very same commit goes through.
    drop(site.request(&tokens[0], Session::destroy).await?);
    let signed_in = token(session.commit().await?)?;
    site.open(&signed_in).await?;
    check::equal(count(&site, "alice").await?, 2, "sessions of alice")
}

async fn newcomers_that_pass_at_once_are_settled(ctx: Context) -> CaseResult {
    // The first look of one, and the whole sign-in of another between it and the write.
    for policy in BOTH {
        for visits_first in [false, true] {
            let (site, other) = (limited(&ctx, 1, policy)?, limited(&ctx, 1, policy)?);
            let principal = format!("user-{policy:?}-{visits_first}");
            let visitor = if visits_first { Some(site.visit().await?) } else { None };
            let session = site.manager.open(visitor.as_deref()).await?;
            session.insert("n", 1)?;
            session.sign_in(&principal)?;
            let (sender, answered) = tokio::sync::oneshot::channel();
            let (theirs, clock) = (principal.clone(), ctx.clock().clone());
            let operation = if visits_first { Operation::Update } else { Operation::Create };
            site.spy.before(operation, async move {
                // Whoever is second in the store was first by the clock.
                clock.advance(MINUTE);
                let _ = sender.send(sign_in(&other, &theirs).await);
            });
            let mine = session.commit().await;
            let theirs = answered.await.map_err(|_| Failure::new("nobody else signed in"))???;
            check::equal(count(&site, &principal).await?, 1, &format!("{policy:?}: live sessions"))?;
            if policy == OnLimit::Reject {
                refused(mine, ErrorKind::LimitReached, "the sign-in that came second")?;
                site.open(&token(theirs)?).await?;
            }
        }
    }
    Ok(())
}

async fn one_session_counts_once(ctx: Context) -> CaseResult {
    for policy in BOTH {
        let site = limited(&ctx, 1, policy)?;
        let principal = format!("user-{policy:?}");
        let mut current = token(sign_in(&site, &principal).await??)?;
        let own = id(&current)?;
        for _ in 0..3 {
            current = token(site.request(&current, |session| session.sign_in(&principal)).await?)?;
            check::equal(id(&current)?, own, "the id after signing in again")?;
        }
        // One that ends in the same commit makes room.
        let session = site.open(&current).await?;
        session.sign_out()?;
        session.sign_in(&principal)?;
        let current = token(session.commit().await?)?;
        site.open(&current).await?;
        check::equal(count(&site, &principal).await?, 1, "sessions after signing out and in")?;
        // What is no sign-in needs no room, and no list.
        let stricter = limited(&ctx, 1, policy)?;
        let second = Site::new(&ctx)?.member(&principal).await?;
        stricter.spy.calls();
        unchanged(stricter.request(&second, add_one).await?)?;
        drop(token(stricter.request(&second, Session::rotate).await?)?);
        check::equal(stricter.spy.calls().list, 0, "lists without a sign-in")?;
    }
    Ok(())
}

async fn only_live_sessions_of_the_principal_count(ctx: Context) -> CaseResult {
    for policy in BOTH {
        let site = limited(&ctx, 1, policy)?;
        let principal = format!("user-{policy:?}");
        for other in ["bob", "", &format!("{principal}x")] {
            Site::new(&ctx)?.member(other).await?;
        }
        site.visit().await?;
        drop(sign_in(&site, &principal).await??);
        ctx.clock().advance(2 * DAY);
        let current = token(sign_in(&site, &principal).await??)?;
        site.open(&current).await?;
        // Somebody else signs in over it: the place is free.
        drop(site.request(&current, |session| session.sign_in("carol")).await?);
        drop(sign_in(&site, &principal).await??);
        check::equal(count(&site, &principal).await?, 1, "sessions")?;
        check::equal(count(&site, "carol").await?, 1, "sessions of whoever took it over")?;
        site.manager.revoke_all("carol").await?;
    }
    Ok(())
}

async fn whoever_changed_meanwhile_is_looked_at_again(ctx: Context) -> CaseResult {
    let site = limited(&ctx, 1, OnLimit::EvictOldest)?;
    let plain = Site::new(&ctx)?;
    // Used between the look and the eviction: it goes all the same.
    let used = plain.member("alice").await?;
    ctx.clock().advance(MINUTE);
    let (other, theirs) = (plain.clone(), used.clone());
    site.spy.before(Operation::Delete, async move { drop(other.count(&theirs).await) });
    let current = token(sign_in(&site, "alice").await??)?;
    site.expect_stranger(&used, "a session that was merely used").await?;
    check::equal(site.manager.stats().revoked_total, 1, "revoked_total")?;
    // Taken over by somebody else between the look and the eviction: it stays.
    ctx.clock().advance(MINUTE);
    let (other, theirs) = (plain.clone(), current.clone());
    site.spy.before(Operation::Delete, async move {
        drop(other.request(&theirs, |session| session.sign_in("bob")).await);
    });
    let newest = token(sign_in(&site, "alice").await??)?;
    check::equal(site.spy.acts_left(), 0, "changes that never came")?;
    site.open(&newest).await?;
    check::equal(count(&site, "bob").await?, 1, "sessions of whoever took it over")?;
    check::equal(count(&site, "alice").await?, 1, "sessions of alice")?;
    let record = ctx.backend().load(id(&current)?, ctx.now()).await?;
    let owner = record.and_then(|record| record.principal);
    check::equal(owner.as_ref().map(Principal::as_str), Some("bob"), "whose it is")
}

async fn failed_settling_leaves_no_orphan(ctx: Context) -> CaseResult {
    for policy in BOTH {
        let site = limited(&ctx, 1, policy)?;
        let principal = format!("user-{policy:?}");
        let session = site.manager.open(None).await?;
        session.insert("n", 1)?;
        session.sign_in(&principal)?;
        // The look after the write fails.
        if policy == OnLimit::Reject {
            site.spy.before(Operation::List, async {});
        }
        site.spy.refuse(Operation::List, ErrorKind::Unavailable);
        refused(session.commit().await, ErrorKind::Unavailable, "a sign-in that cannot be settled")?;
        check::equal(count(&site, &principal).await?, 0, &format!("{policy:?}: sessions that nobody holds"))?;
        let current = token(session.commit().await?)?;
        check::equal(site.n(&current).await?, 1, "the value after trying again")?;
        check::equal(count(&site, &principal).await?, 1, "sessions after trying again")?;
        // Who had a session keeps it: its old secret is dead, so the fresh one is handed out.
        let site = limited(&ctx, 1, policy)?;
        let visitor = site.visit().await?;
        let session = site.open(&visitor).await?;
        session.sign_in(&format!("visitor-{policy:?}"))?;
        if policy == OnLimit::Reject {
            site.spy.before(Operation::List, async {});
        }
        site.spy.refuse(Operation::List, ErrorKind::Overloaded);
        let current = token(session.commit().await?)?;
        check::equal(site.n(&current).await?, 0, "the value of a visitor who has signed in")?;
    }
    Ok(())
}
