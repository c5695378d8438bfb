//! Group T, sessions of one principal: who may see and end which.

use std::num::NonZeroUsize;

use session_core::{ErrorKind, Janitor, OnLimit, Operation, Principal, Session, SessionId, SessionInfo};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, HOUR, MINUTE};
use crate::site::{Site, Step, add_one, id, refused, token};
use crate::spy::Calls;

pub(super) const CASES: &[Case] = &[
    case!(
        "revocation",
        operator_revokes_any_session,
        "the manager's revoke ends any session, and says whether it lived"
    ),
    case!(
        "revocation",
        revoke_all_returns_count,
        "revoke_all ends every session of a principal and returns how many",
        List
    ),
    case!("revocation", revoke_all_of_many, "revoke_all goes through any number of sessions", List),
    case!(
        "revocation",
        siblings_are_the_principals_sessions,
        "siblings are the live sessions of the own principal",
        List
    ),
    case!(
        "revocation",
        uncommitted_sign_in_has_no_siblings,
        "a sign-in of somebody else has no siblings before its commit, neither their own nor of who was there before",
        List
    ),
    case!(
        "revocation",
        lists_without_order_count_each_session_once,
        "a store may list in any order and a session twice: every count is of sessions",
        List,
    ),
    case!(
        "revocation",
        revoke_only_of_the_own_principal,
        "a session revokes only those of its own principal"
    ),
    case!(
        "revocation",
        revoke_others_rotates_this,
        "revoke_others replaces this session's secret, and ends every other of its principal",
        List,
    ),
    case!("revocation", revoke_others_of_nobody_does_nothing, "a session of nobody has no others"),
    case!(
        "revocation",
        revocation_ignores_changed_values,
        "a revocation does not mind what requests change meanwhile",
        List,
    ),
    case!(
        "revocation",
        revoke_rechecks_principal,
        "a session that has become somebody else's since it was listed stays",
        List,
    ),
    case!(
        "revocation",
        requests_in_flight_are_gone,
        "requests in flight with a revoked session write nothing",
        List
    ),
    case!(
        "revocation",
        damaged_sessions_can_be_revoked,
        "a damaged session is left out of lists, and revoked with the others",
        List
    ),
];

async fn operator_revokes_any_session(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for current in [site.visit().await?, site.member("alice").await?] {
        check::equal(site.manager.revoke(id(&current)?).await?, true, "revoke of a live session")?;
        site.expect_stranger(&current, "a revoked session").await?;
        check::equal(site.manager.revoke(id(&current)?).await?, false, "revoke of a revoked session")?;
    }
    let expired = site.visit().await?;
    ctx.clock().advance(25 * HOUR);
    check::equal(site.manager.revoke(id(&expired)?).await?, false, "revoke of an expired session")?;
    check::equal(site.manager.revoke(ctx.id()).await?, false, "revoke of an unknown session")
}

async fn members(site: &Site, principal: &str, count: usize) -> CaseResult<Vec<String>> {
    let mut tokens = Vec::new();
    for _ in 0..count {
        tokens.push(site.member(principal).await?);
    }
    Ok(tokens)
}

fn ids<'a>(tokens: impl IntoIterator<Item = &'a String>) -> CaseResult<Vec<SessionId>> {
    let mut ids = tokens.into_iter().map(|token| id(token)).collect::<CaseResult<Vec<_>>>()?;
    ids.sort();
    Ok(ids)
}

async fn revoke_all_returns_count(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let of_alice = members(&site, "alice", 3).await?;
    let others = [site.member("alic").await?, site.member("").await?, site.visit().await?];
    check::equal(site.manager.revoke_all("alice").await?, 3, "sessions of alice")?;
    for current in &of_alice {
        site.expect_stranger(current, "a session of alice").await?;
    }
    for current in &others {
        site.open(current).await?;
    }
    check::equal(site.manager.revoke_all("alice").await?, 0, "sessions of alice after that")?;
    check::equal(site.manager.revoke_all("").await?, 1, "sessions of the empty principal")?;
    let too_long = "x".repeat(256);
    refused(site.manager.revoke_all(&too_long).await, ErrorKind::TooLarge, "revoke_all of 256 bytes")
}

async fn revoke_all_of_many(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let (of_alice, of_bob) = (members(&site, "alice", 600).await?, members(&site, "bob", 3).await?);
    check::equal(site.manager.list("alice").await?.len(), 600, "sessions of alice")?;
    check::equal(site.manager.revoke_all("alice").await?, 600, "revoked sessions of alice")?;
    for current in &of_alice {
        ctx.expect_none(id(current)?, "a session of alice").await?;
    }
    for current in &of_bob {
        site.open(current).await?;
    }
    Ok(())
}

async fn siblings_are_the_principals_sessions(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let mut tokens = members(&site, "alice", 2).await?;
    members(&site, "bob", 2).await?;
    let visitor = site.visit().await?;
    let born = ctx.now();
    ctx.clock().advance(10 * MINUTE);
    tokens.push(site.create(|s| s.insert("browser", "lynx").and_then(|()| s.sign_in("alice"))).await?);
    let own = &tokens[2];
    let session = site.open(own).await?;
    let siblings = session.siblings().await?;
    let listed: Vec<_> = siblings.iter().map(|info| info.id()).collect();
    check::equal(listed, ids(&tokens)?, "the siblings, ascending by id")?;
    for info in &siblings {
        let is_current = info.id() == id(own)?;
        check::equal(info.is_current(), is_current, "is_current")?;
        let at = if is_current { ctx.now() } else { born };
        check::equal(info.created_at(), at, "created_at")?;
        check::equal(info.last_seen(), at, "last_seen")?;
        check::equal(info.authenticated_at(), Some(at), "authenticated_at")?;
        check::equal(info.expires_at(), at.saturating_add(24 * HOUR), "expires_at")?;
        check::equal(info.principal().map(Principal::as_str), Some("alice"), "the principal")?;
        let browser = is_current.then(|| "lynx".to_owned());
        check::equal(info.get("browser")?, browser, "a value")?;
    }
    let listed: Vec<_> = site.manager.list("alice").await?.iter().map(|info| info.id()).collect();
    check::equal(listed, ids(&tokens)?, "the manager's list")?;
    let current = site.manager.list("alice").await?.iter().filter(|info| info.is_current()).count();
    check::equal(current, 0, "current sessions on the manager's list")?;
    check::equal(site.open(&visitor).await?.siblings().await?.len(), 0, "siblings of nobody")?;
    check::equal(site.manager.open(None).await?.siblings().await?.len(), 0, "siblings of a new session")
}

async fn uncommitted_sign_in_has_no_siblings(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let (of_alice, of_bob) = (members(&site, "alice", 2).await?, members(&site, "bob", 2).await?);
    let of_another = site.open(&of_bob[0]).await?;
    for session in [site.manager.open(None).await?, of_another] {
        session.sign_in("alice")?;
        check::equal(session.siblings().await?.len(), 0, "siblings before the commit")?;
        for other in [&of_alice[0], &of_bob[1]] {
            check::equal(session.revoke(id(other)?).await?, false, "revoke before the commit")?;
            site.open(other).await?;
        }
    }
    // To sign in once more takes nothing away.
    let session = site.open(&of_alice[0]).await?;
    session.sign_in("alice")?;
    let listed: Vec<_> = session.siblings().await?.iter().map(SessionInfo::id).collect();
    check::equal(listed, ids(&of_alice)?, "the siblings of who signs in again")?;
    check::equal(session.revoke(id(&of_alice[1])?).await?, true, "revoke of an own session")
}

async fn lists_without_order_count_each_session_once(ctx: Context) -> CaseResult {
    let limit = NonZeroUsize::new(3).ok_or_else(|| Failure::new("three is zero"))?;
    let site = Site::with(&ctx, |builder| builder.max_sessions_per_principal(limit, OnLimit::EvictOldest))?;
    site.spy.shuffle_lists();
    let tokens = members(&site, "alice", 3).await?;
    let listed = site.manager.list("alice").await?;
    let listed: Vec<_> = listed.iter().map(SessionInfo::id).collect();
    check::equal(listed, ids(&tokens)?, "the sessions at the limit, ascending by id")?;
    let sweep = Janitor::new().with_max_sessions(3).run_once(&site.manager).await?;
    check::equal(sweep.surplus, 0, "sessions over a limit that is just reached")?;
    check::equal(site.manager.revoke_all("alice").await?, 3, "sessions revoked")
}

async fn revoke_only_of_the_own_principal(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let (own, sibling) = (site.member("alice").await?, site.member("alice").await?);
    let foreign = [site.member("bob").await?, site.member("").await?, site.visit().await?];
    let session = site.open(&own).await?;
    for other in &foreign {
        check::equal(session.revoke(id(other)?).await?, false, "revoke of somebody else's")?;
        site.open(other).await?;
    }
    check::equal(session.revoke(ctx.id()).await?, false, "revoke of an unknown id")?;
    check::equal(session.revoke(id(&sibling)?).await?, true, "revoke of an own one")?;
    site.expect_stranger(&sibling, "a revoked session").await?;
    check::equal(session.revoke(id(&sibling)?).await?, false, "revoke of a revoked one")?;
    // Nobody owns nothing, not even other sessions of nobody.
    let visitor = site.open(&foreign[2]).await?;
    let other_visitor = site.visit().await?;
    check::equal(visitor.revoke(id(&other_visitor)?).await?, false, "revoke by nobody")?;
    check::equal(visitor.revoke(id(&own)?).await?, false, "revoke by nobody")?;
    let new = site.manager.open(None).await?;
    check::equal(new.revoke(id(&own)?).await?, false, "revoke by a new session")?;
    // A sign-in that is not committed gives no rights.
    visitor.sign_in("alice")?;
    check::equal(visitor.revoke(id(&own)?).await?, false, "revoke before the sign-in is committed")?;
    new.sign_in("alice")?;
    check::equal(new.revoke(id(&own)?).await?, false, "revoke before the session is created")?;
    site.open(&own).await?;
    // Its own id ends it, and what it does after is too late.
    add_one(&session)?;
    check::equal(session.revoke(id(&own)?).await?, true, "revoke of itself")?;
    refused(session.commit().await, ErrorKind::Gone, "a commit after that")?;
    refused(session.revoke(id(&foreign[0])?).await, ErrorKind::Gone, "a revoke after that")
}

async fn revoke_others_rotates_this(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let others = members(&site, "alice", 3).await?;
    let of_bob = site.member("bob").await?;
    let old = site.member("alice").await?;
    let session = site.open(&old).await?;
    add_one(&session)?;
    check::equal(session.revoke_others().await?, 3, "sessions that were revoked")?;
    for other in &others {
        site.expect_stranger(other, "another session of the same principal").await?;
    }
    site.open(&of_bob).await?;
    // The thief may hold this very one.
    site.expect_superseded(&old, "the secret before").await?;
    check::equal(session.id(), Some(id(&old)?), "the id")?;
    check::equal(session.get("n")?, Some(1), "the request's own change")?;
    session.reload().await?;
    check::ensure(!session.is_new(), "the session's own new secret opens nothing")?;
    // A sign-in of the same request counts.
    members(&site, "carol", 2).await?;
    let new = site.manager.open(None).await?;
    new.sign_in("carol")?;
    check::equal(new.revoke_others().await?, 2, "sessions that a new one revoked")?;
    check::equal(site.manager.list("carol").await?.len(), 1, "sessions that are left")
}

async fn revoke_others_of_nobody_does_nothing(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let (visitor, other) = (site.visit().await?, site.visit().await?);
    let session = site.open(&visitor).await?;
    site.spy.calls();
    check::equal(session.revoke_others().await?, 0, "sessions of nobody")?;
    check::equal(site.spy.calls(), Calls::default(), "calls for the sessions of nobody")?;
    site.open(&visitor).await?;
    site.open(&other).await.map(drop)
}

async fn revocation_ignores_changed_values(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let own = site.member("alice").await?;
    for which in 0..4 {
        let other = site.member("alice").await?;
        let (writer, token) = (Site::new(&ctx)?, other.clone());
        site.spy.before(Operation::Delete, async move { drop(writer.count(&token).await) });
        match which {
            0 => check::equal(site.manager.revoke(id(&other)?).await?, true, "revoke")?,
            1 => check::equal(site.open(&own).await?.revoke(id(&other)?).await?, true, "a session's revoke")?,
            2 => {
                // Only the other one, so that the change meets its deletion.
                let of_carol = site.member("carol").await?;
                let (writer, token) = (Site::new(&ctx)?, of_carol.clone());
                site.spy.before(Operation::Delete, async move { drop(writer.count(&token).await) });
                site.manager.revoke(id(&other)?).await?;
                check::equal(site.manager.revoke_all("carol").await?, 1, "revoke_all")?;
                site.expect_stranger(&of_carol, "a session that was changed meanwhile").await?;
            }
            _ => check::equal(site.open(&own).await?.revoke_others().await?, 1, "revoke_others")?,
        }
        site.expect_stranger(&other, "a session that was changed meanwhile").await?;
        check::equal(site.spy.acts_left(), 0, "changes that never came")?;
    }
    Ok(())
}

async fn revoke_rechecks_principal(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let becomes_bobs = async |token: &str| -> CaseResult {
        let (backend, now, id, old) = (ctx.backend(), ctx.now(), id(token)?, site.record(token).await?);
        let mut record = old.clone().with_principal(Some(Principal::new("bob")?));
        record.revision = old.revision.next(1);
        site.spy.before(Operation::Delete, async move {
            drop(backend.update(id, old.revision, record, now).await);
        });
        Ok(())
    };
    let current = site.member("alice").await?;
    becomes_bobs(&current).await?;
    check::equal(site.manager.revoke_all("alice").await?, 0, "revoke_all")?;
    site.open(&current).await?;
    let own = site.member("alice").await?;
    let current = site.member("alice").await?;
    becomes_bobs(&current).await?;
    check::equal(site.open(&own).await?.revoke(id(&current)?).await?, false, "a session's revoke")?;
    site.open(&current).await?;
    let current = site.member("alice").await?;
    becomes_bobs(&current).await?;
    check::equal(site.open(&own).await?.revoke_others().await?, 0, "revoke_others")?;
    site.open(&current).await?;
    check::equal(site.spy.acts_left(), 0, "changes that never came")
}

async fn requests_in_flight_are_gone(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let (own, other) = (site.member("alice").await?, site.member("alice").await?);
    let open = async |change: Step| -> CaseResult<Session> {
        let session = site.open(&other).await?;
        change(&session)?;
        Ok(session)
    };
    let late = [open(add_one).await?, open(Session::rotate).await?, open(|s| s.sign_in("alice")).await?];
    let revoking = site.open(&other).await?;
    check::equal(site.open(&own).await?.revoke_others().await?, 1, "revoke_others")?;
    for session in late {
        refused(session.commit().await, ErrorKind::Gone, "a request in flight")?;
    }
    refused(revoking.revoke_others().await, ErrorKind::Gone, "revoke_others of a revoked session")?;
    refused(revoking.revoke(id(&own)?).await, ErrorKind::Gone, "revoke of a revoked session")?;
    check::equal(site.manager.list("alice").await?.len(), 1, "sessions that are left")?;
    site.expect_stranger(&other, "the revoked session").await
}

async fn damaged_sessions_can_be_revoked(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let own = site.member("alice").await?;
    let damaged = site.member("alice").await?;
    let old = site.record(&damaged).await?;
    let mut record = old.clone().with_meta("nonsense");
    record.revision = old.revision.next(1);
    check::updated(ctx.backend().update(id(&damaged)?, old.revision, record, ctx.now()).await?)?;
    let listed: Vec<_> = site.manager.list("alice").await?.iter().map(|info| info.id()).collect();
    check::equal(listed, vec![id(&own)?], "the sessions that can be read")?;
    let session = site.open(&own).await?;
    check::equal(session.siblings().await?.len(), 1, "the siblings that can be read")?;
    check::equal(session.revoke_others().await?, 1, "the sessions that were revoked")?;
    site.expect_stranger(&damaged, "the damaged session").await?;
    let fresh = token(site.request(&site.member("alice").await?, Session::rotate).await?)?;
    check::equal(site.manager.revoke_all("alice").await?, 2, "the sessions that are left")?;
    site.expect_stranger(&fresh, "a session after revoke_all").await
}
