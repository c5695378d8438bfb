//! Group D, periodic rotation: it loses neither data nor the session of parallel requests, and limits
//! how long a copy of a replaced secret is of use.

use std::time::Duration;

use session_core::{ErrorKind, OnReplay, Operation, Session, SessionToken};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, HOUR};
use crate::site::{Site, Step, add_one, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "rotation",
        replaced_secret_valid_until_grace_after_successor_seen,
        "a periodically replaced secret stays valid until `grace` after a successor was first presented",
    ),
    case!(
        "rotation",
        window_recorded_though_the_presenting_request_fails,
        "the window is recorded when the presenting request opens, and stays if the request fails",
    ),
    case!("rotation", presenting_alternately_extends_nothing, "presenting a replaced secret extends nothing",),
    case!(
        "rotation",
        lost_rotation_answer_is_reissued,
        "a valid replaced secret rotates once `grace` has passed and no successor was presented",
    ),
    case!(
        "rotation",
        answer_that_arrived_is_not_reissued,
        "a secret that was taken for lost and is presented after all is not replaced",
    ),
    case!(
        "rotation",
        two_periodic_rotations_out_of_order_cookies,
        "of two periodic rotations' cookies either works, whichever arrives last",
    ),
    case!(
        "rotation",
        rotation_put_off_while_it_would_forget_a_valid_digest,
        "a periodic rotation is put off while it would push out a digest that still means something",
    ),
    case!(
        "rotation",
        periodic_rotation_in_a_rebase_is_dropped_data_kept,
        "a periodic rotation is dropped in a rebase when another request has rotated; its data commits",
    ),
    case!(
        "rotation",
        anonymous_sessions_not_rotated_periodically,
        "sessions without a principal are not rotated periodically",
    ),
    case!(
        "rotation",
        sign_in_overtaken_by_a_periodic_rotation_is_stale,
        "a change of privilege is `Stale` while the answer of a periodic rotation may be under way",
    ),
    case!(
        "rotation",
        due_rotation_of_a_reader_never_fails_the_request,
        "a commit that holds only a due rotation drops it and is `Unchanged` where it cannot be had",
    ),
    case!(
        "rotation",
        reopened_session_makes_no_token_that_is_only_due,
        "after a reload nothing is rotated that nobody asked for: the answer may have left",
    ),
    case!(
        "rotation",
        periodically_replaced_secrets_dead_at_once_on_privilege,
        "after a change of privilege every earlier secret is dead, those with a window left, too",
    ),
    case!(
        "rotation",
        forged_and_forgotten_never_revoke,
        "a privilege-replaced, forged or forgotten secret never ends the session",
    ),
    case!(
        "rotation",
        replay_revokes_only_when_asked_and_reclassifies,
        "a replayed secret ends the session if asked to, and is classified again on conflict",
    ),
];

const GRACE: Duration = Duration::from_secs(30);
const INSTANT: Duration = Duration::from_millis(1);
const READ: Step = |_| Ok(());

/// Rotates gracefully with `current`; the fresh token.
async fn rotated(site: &Site, current: &str) -> CaseResult<String> {
    token(site.request(current, Session::rotate_gracefully).await?)
}

async fn replaced_secret_valid_until_grace_after_successor_seen(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let fresh = rotated(&site, &old).await?;
    check::ensure(fresh != old, "the secret stayed")?;
    check::equal(id(&fresh)?, id(&old)?, "the id")?;
    // Nobody has shown the fresh one yet.
    ctx.clock().advance(HOUR);
    check::equal(site.n(&old).await?, 0, "a value behind the replaced secret")?;
    site.open(&fresh).await?;
    ctx.clock().advance(GRACE - INSTANT);
    site.count(&old).await?;
    check::equal(site.n(&fresh).await?, 1, "what the replaced secret has written")?;
    let late = site.open(&old).await?;
    add_one(&late)?;
    ctx.clock().advance(INSTANT);
    site.expect_superseded(&old, "`grace` after the successor was seen").await?;
    // It was valid when it came, and every rotation since was periodic.
    unchanged(late.commit().await?)?;
    ctx.clock().advance(GRACE);
    site.expect_stranger(&old, "long after").await?;
    check::equal(site.n(&fresh).await?, 2, "the value in the end")
}

async fn window_recorded_though_the_presenting_request_fails(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let fresh = rotated(&site, &old).await?;
    // A store that fails to record it does not fail the request; the next one records it.
    site.spy.refuse(Operation::Update, ErrorKind::Unavailable);
    site.open(&fresh).await?;
    ctx.clock().advance(GRACE);
    site.open(&old).await?;
    let failing = site.open(&fresh).await?;
    add_one(&failing)?;
    site.spy.refuse(Operation::Update, ErrorKind::Unavailable);
    refused(failing.commit().await, ErrorKind::Unavailable, "a commit without a store")?;
    check::equal(site.spy.acts_left(), 0, "refusals that never came")?;
    ctx.clock().advance(GRACE - INSTANT);
    site.open(&old).await?;
    ctx.clock().advance(INSTANT);
    site.expect_superseded(&old, "`grace` after a request that failed").await.map(drop)
}

async fn presenting_alternately_extends_nothing(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let fresh = rotated(&site, &old).await?;
    for _ in 0..6 {
        site.count(&fresh).await?;
        site.count(&old).await?;
        ctx.clock().advance(GRACE / 6);
    }
    site.expect_superseded(&old, "a copy of a replaced secret").await?;
    check::equal(site.n(&fresh).await?, 12, "the value")
}

async fn lost_rotation_answer_is_reissued(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let lost = rotated(&site, &old).await?;
    ctx.clock().advance(GRACE - INSTANT);
    unchanged(site.request(&old, Session::rotate_gracefully).await?)?;
    ctx.clock().advance(INSTANT);
    let fresh = token(site.request(&old, add_one).await?)?;
    check::ensure(fresh != lost && fresh != old, "the secret is no fresh one")?;
    check::equal(site.n(&fresh).await?, 1, "the value behind the fresh secret")?;
    ctx.clock().advance(GRACE);
    for dead in [&old, &lost] {
        site.expect_superseded(dead, "a secret before the one that arrived").await?;
    }
    site.open(&fresh).await.map(drop)
}

async fn answer_that_arrived_is_not_reissued(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let fresh = rotated(&site, &old).await?;
    ctx.clock().advance(GRACE);
    let (reader, writer) = (site.open(&old).await?, site.open(&old).await?);
    add_one(&writer)?;
    site.open(&fresh).await?;
    // Both had taken it for lost when they came.
    unchanged(reader.commit().await?)?;
    unchanged(writer.commit().await?)?;
    check::equal(site.n(&fresh).await?, 1, "the value")?;
    ctx.clock().advance(GRACE);
    site.expect_superseded(&old, "the replaced secret").await.map(drop)
}

async fn two_periodic_rotations_out_of_order_cookies(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for first_arrives_last in [false, true] {
        let old = site.member("alice").await?;
        let first = rotated(&site, &old).await?;
        ctx.clock().advance(GRACE);
        let second = token(site.request(&old, READ).await?)?;
        let order = if first_arrives_last { [&second, &first] } else { [&first, &second] };
        for cookie in order {
            site.count(cookie).await?;
        }
        check::equal(site.n(&second).await?, 2, "the value")?;
        ctx.clock().advance(GRACE);
        site.expect_superseded(&first, "the first of two").await?;
        site.open(&second).await?;
    }
    Ok(())
}

async fn rotation_put_off_while_it_would_forget_a_valid_digest(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    // All valid: the answers of four rotations were lost.
    let old = site.member("alice").await?;
    rotated(&site, &old).await?;
    for _ in 0..3 {
        ctx.clock().advance(GRACE);
        token(site.request(&old, READ).await?)?;
    }
    for _ in 0..3 {
        ctx.clock().advance(HOUR);
        unchanged(site.request(&old, add_one).await?)?;
    }
    check::equal(site.n(&old).await?, 3, "the value")?;
    // Privilege does not wait.
    let fresh = token(site.request(&old, Session::rotate).await?)?;
    site.open(&fresh).await?;
    // Dead, but for less than `grace`: a request in flight would become a stranger.
    let oldest = site.member("alice").await?;
    let mut current = oldest.clone();
    for _ in 0..4 {
        current = rotated(&site, &current).await?;
    }
    ctx.clock().advance(2 * GRACE - INSTANT);
    unchanged(site.request(&current, Session::rotate_gracefully).await?)?;
    site.expect_superseded(&oldest, "the oldest").await?;
    ctx.clock().advance(INSTANT);
    rotated(&site, &current).await.map(drop)
}

async fn periodic_rotation_in_a_rebase_is_dropped_data_kept(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.rotate_every(HOUR))?;
    let old = site.member("alice").await?;
    ctx.clock().advance(HOUR - INSTANT);
    site.count(&old).await?;
    ctx.clock().advance(INSTANT);
    let (first, second) = (site.open(&old).await?, site.open(&old).await?);
    add_one(&first)?;
    add_one(&second)?;
    let fresh = token(first.commit().await?)?;
    unchanged(second.commit().await?)?;
    check::equal(site.n(&fresh).await?, 3, "the value")?;
    // A change of privilege that comes between is no periodic one: then nothing is written.
    ctx.clock().advance(HOUR);
    let slow = site.open(&fresh).await?;
    add_one(&slow)?;
    let newest = token(site.request(&fresh, Session::rotate).await?)?;
    refused(slow.commit().await, ErrorKind::Stale, "a write with a secret that privilege has replaced")?;
    check::equal(site.n(&newest).await?, 3, "the value in the end")
}

async fn anonymous_sessions_not_rotated_periodically(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.rotate_every(HOUR))?;
    let visitor = site.visit().await?;
    for change in [READ, add_one] {
        ctx.clock().advance(2 * HOUR);
        unchanged(site.request(&visitor, change).await?)?;
    }
    let member = token(site.request(&visitor, |session| session.sign_in("alice")).await?)?;
    ctx.clock().advance(HOUR);
    token(site.request(&member, READ).await?).map(drop)
}

async fn sign_in_overtaken_by_a_periodic_rotation_is_stale(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let changes: [Step; 2] = [Session::rotate, |session| session.sign_in("alice")];
    for change in changes {
        for has_arrived in [true, false] {
            let old = site.member("alice").await?;
            let early = site.open(&old).await?;
            change(&early)?;
            let fresh = rotated(&site, &old).await?;
            refused(early.commit().await, ErrorKind::Stale, "a change that was overtaken")?;
            let late = site.open(&old).await?;
            change(&late)?;
            refused(late.commit().await, ErrorKind::Stale, "a change that came after")?;
            site.open(&old).await?;
            if has_arrived {
                site.open(&fresh).await?;
            } else {
                ctx.clock().advance(GRACE);
            }
            let newest = token(site.request(&old, change).await?)?;
            for dead in [&old, &fresh] {
                site.expect_superseded(dead, "an earlier secret").await?;
            }
            site.open(&newest).await?;
        }
    }
    Ok(())
}

async fn due_rotation_of_a_reader_never_fails_the_request(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.rotate_every(HOUR))?;
    let old = site.member("alice").await?;
    ctx.clock().advance(HOUR);
    site.spy.refuse(Operation::Update, ErrorKind::Unavailable);
    unchanged(site.request(&old, READ).await?)?;
    check::equal(site.spy.acts_left(), 0, "refusals that never came")?;
    // Overtaken by a change of privilege.
    let reader = site.open(&old).await?;
    let fresh = token(site.request(&old, Session::rotate).await?)?;
    unchanged(reader.commit().await?)?;
    site.open(&fresh).await?;
    // Overtaken by the end of the session.
    ctx.clock().advance(HOUR);
    let reader = site.open(&fresh).await?;
    site.manager.revoke(id(&fresh)?).await?;
    unchanged(reader.commit().await?)?;
    site.expect_stranger(&fresh, "the revoked session").await
}

async fn reopened_session_makes_no_token_that_is_only_due(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.rotate_every(HOUR))?;
    let current = site.member("alice").await?;
    let stream = site.open(&current).await?;
    unchanged(stream.commit().await?)?;
    ctx.clock().advance(HOUR);
    for n in 1..=2 {
        stream.reload().await?;
        unchanged(stream.commit().await?)?;
        stream.reload().await?;
        add_one(&stream)?;
        unchanged(stream.commit().await?)?;
        check::equal(site.n(&current).await?, n, "the value")?;
    }
    // It waits for a request, and the stream goes on by the replaced secret, which it does not take for lost.
    let fresh = token(site.request(&current, READ).await?)?;
    check::ensure(fresh != current, "no rotation by the next request")?;
    ctx.clock().advance(GRACE);
    stream.reload().await?;
    add_one(&stream)?;
    unchanged(stream.commit().await?)?;
    // What was asked for is made.
    stream.reload().await?;
    stream.rotate()?;
    token(stream.commit().await?).map(drop)
}

async fn periodically_replaced_secrets_dead_at_once_on_privilege(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let oldest = site.member("alice").await?;
    let old = rotated(&site, &oldest).await?;
    let current = rotated(&site, &old).await?;
    let (window, unseen) = (site.open(&oldest).await?, site.open(&old).await?);
    let fresh = token(site.request(&current, Session::rotate).await?)?;
    for session in [window, unseen] {
        add_one(&session)?;
        refused(session.commit().await, ErrorKind::Stale, "a request in flight")?;
    }
    for dead in [&oldest, &old, &current] {
        site.expect_superseded(dead, "an earlier secret").await?;
    }
    ctx.clock().advance(GRACE);
    for dead in [&oldest, &old, &current] {
        site.expect_stranger(dead, "an earlier secret, later").await?;
    }
    check::equal(site.n(&fresh).await?, 0, "the value")
}

async fn forged_and_forgotten_never_revoke(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.on_replay(OnReplay::Revoke))?;
    let planted = site.member("alice").await?;
    let periodic = rotated(&site, &planted).await?;
    let mut current = token(site.request(&periodic, Session::rotate).await?)?;
    let mut wrong = vec![planted, periodic, SessionToken::from_parts(id(&current)?, [7; 32]).expose()];
    ctx.clock().advance(HOUR);
    for _ in 0..5 {
        for token in &wrong {
            site.expect_stranger(token, "a token that was replaced for privilege, forged or forgotten")
                .await?;
        }
        let fresh = token(site.request(&current, Session::rotate).await?)?;
        wrong.push(std::mem::replace(&mut current, fresh));
        ctx.clock().advance(HOUR);
    }
    site.open(&current).await.map(drop)
}

async fn replay_revokes_only_when_asked_and_reclassifies(ctx: Context) -> CaseResult {
    for (policy, survives) in [(OnReplay::Reject, true), (OnReplay::Revoke, false)] {
        let site = Site::with(&ctx, |builder| builder.on_replay(policy))?;
        let copy = site.member("alice").await?;
        let current = rotated(&site, &copy).await?;
        site.open(&current).await?;
        ctx.clock().advance(2 * GRACE - INSTANT);
        site.expect_superseded(&copy, "a copy that died less than `grace` ago").await?;
        site.open(&current).await?;
        ctx.clock().advance(INSTANT);
        site.expect_stranger(&copy, "a copy").await?;
        let session = site.manager.open(Some(&current)).await?;
        check::equal(session.is_new(), !survives, "whether the session has ended")?;
    }
    let site = Site::with(&ctx, |builder| builder.on_replay(OnReplay::Revoke))?;
    let between: [(Step, bool); 2] = [(add_one, false), (Session::rotate, true)];
    for (change, survives) in between {
        let copy = site.member("alice").await?;
        let current = rotated(&site, &copy).await?;
        site.open(&current).await?;
        ctx.clock().advance(HOUR);
        let (other, owner) = (Site::new(&ctx)?, current.clone());
        site.spy.before(Operation::Delete, async move { drop(other.request(&owner, change).await) });
        site.expect_stranger(&copy, "a copy").await?;
        check::equal(site.spy.acts_left(), 0, "changes that never came")?;
        let stored = ctx.backend().load(id(&current)?, ctx.now()).await?;
        check::equal(stored.is_some(), survives, "whether the session has survived")?;
    }
    // A stream that was opened before the rotation looks again long after: no client has shown its secret.
    let old = site.member("alice").await?;
    let stream = site.open(&old).await?;
    let current = rotated(&site, &old).await?;
    site.open(&current).await?;
    ctx.clock().advance(HOUR);
    stream.reload().await?;
    check::ensure(stream.is_superseded(), "a handle with a dead secret is not superseded")?;
    refused(stream.insert("n", 9), ErrorKind::Stale, "a change by a handle with a dead secret")?;
    site.open(&current).await?;
    // And one that has rotated has not shown the browser what it will be sent.
    let stream = site.open(&current).await?;
    stream.rotate_gracefully()?;
    drop(token(stream.commit().await?)?);
    stream.reload().await?;
    ctx.clock().advance(GRACE);
    check::equal(site.n(&current).await?, 0, "a value behind the secret that the browser has")
}
