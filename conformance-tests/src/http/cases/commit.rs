//! What is committed after the handler, before which byte, and what a failed commit looks like.

use std::sync::Arc;
use std::time::Duration;

use session_core::{ErrorKind, Operation, Session, SessionManager};

use crate::case::{Case, case};
use crate::check::{CaseResult, Failure, ensure, equal};
use crate::context::HOUR;
use crate::http::application::Reply;
use crate::http::client::{Answer, Request};
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, read, token};
use crate::race::{race, racer};
use crate::site::add_one;
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        status_4xx_commits_5xx_only_destroys,
        "below status 500 everything is committed; from there on nothing but the end of a session"
    ),
    case!(
        "http",
        own_commit_sends_its_cookie_whatever_the_status,
        "the cookie of a handler's own commit is sent, also with a failure"
    ),
    case!("http", commit_lands_before_the_head, "what an answer says is stored when its head arrives"),
    case!(
        "http",
        failed_commit_takes_the_answers_place,
        "an answer whose commit fails is not sent: the status is that of the failure"
    ),
    case!(
        "http",
        errors_of_handlers_have_their_status,
        "an error that a handler returns is answered by the table of kinds"
    ),
    case!("http", parallel_requests_lose_nothing, "requests at the same time all count"),
    case!(
        "http",
        parallel_requests_during_rotation_stay_signed_in,
        "a periodic rotation signs no parallel request out, and hands out one new cookie"
    ),
];

async fn status_4xx_commits_5xx_only_destroys(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    for status in [200, 204, 303, 304, 400, 401, 404, 409, 422, 500, 501, 503, 599] {
        site.on("count", move |session| add_one(session).map(|()| Reply::new(status)));
        site.on("destroy", move |session| session.destroy().map(|()| Reply::new(status)));
        site.on("sign-out", move |session| {
            session.sign_out()?;
            session.flash("signed out")?;
            Ok(Reply::new(status))
        });
        let (what, commits) = (format!("status {status}"), status < 500);
        let cookie = site.member("alice").await?;
        http.ctx.clock().advance(HOUR);
        site.outer.spy.calls();
        let created = site.visit("/session/count", "").await?;
        let updated = site.visit("/session/count", &cookie).await?;
        equal((created.head.status, updated.head.status), (status, status), "the status")?;
        equal(site.set_cookie(&created)?.is_some(), commits, &format!("{what}: a new session's cookie"))?;
        site.no_cookie(&updated, &what)?;
        let written = usize::from(commits);
        let expected = Calls { load: 1, create: written, update: written, ..Calls::default() };
        equal(site.outer.spy.calls(), expected, &format!("{what}: the verbs of two requests"))?;
        site.expect_n(&cookie, written as u64, &what).await?;

        let signed_out = site.visit("/session/sign-out", &cookie).await?;
        equal(signed_out.head.status, status, "the status")?;
        equal(site.n(&cookie).await?, None, &format!("{what}: a session that was signed out"))?;
        if commits {
            site.cookie(&signed_out)?;
        } else {
            site.cookie_removed(&signed_out, &what)?;
        }
        let cookie = site.visitor().await?;
        let destroyed = site.visit("/session/destroy", &cookie).await?;
        equal(destroyed.head.status, status, "the status")?;
        site.cookie_removed(&destroyed, &what)?;
        equal(site.n(&cookie).await?, None, &format!("{what}: a session that was destroyed"))?;
    }
    Ok(())
}

async fn own_commit_sends_its_cookie_whatever_the_status(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    for status in [200, 404, 500, 503] {
        site.on_async("commit", move |session: Session| async move {
            add_one(&session)?;
            let _ = session.commit().await?;
            Ok(Reply::new(status))
        });
        let answer = site.visit("/session/commit", "").await?;
        equal(answer.head.status, status, "the status")?;
        site.expect_n(&site.cookie(&answer)?, 1, "what the handler committed").await?;
        equal(answer.head.all("cache-control"), vec!["no-store"], "with a new cookie")?;
    }
    site.on_async("commit-and-go-on", |session: Session| async move {
        add_one(&session)?;
        let _ = session.commit().await?;
        session.reload().await?;
        add_one(&session)?;
        read(&session)
    });
    let answer = site.visit("/session/commit-and-go-on", "").await?;
    site.expect_n(&site.cookie(&answer)?, 2, "two commits").await?;
    site.on_async("commit-and-fail", |session: Session| async move {
        add_one(&session)?;
        let _ = session.commit().await?;
        session.reload().await?;
        session.insert("large", "x".repeat(300 * 1024))?;
        Ok(Reply::text("done"))
    });
    let answer = site.visit("/session/commit-and-fail", "").await?;
    equal(answer.head.status, 413, "a commit that fails after another")?;
    site.expect_n(&site.cookie(&answer)?, 1, "the commit that did not fail").await
}

async fn commit_lands_before_the_head(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.visitor().await?;
    // Long enough for a head that does not wait to arrive first.
    site.outer.spy.before(Operation::Update, tokio::time::sleep(Duration::from_millis(100)));
    let mut connection = site.begin(&Request::new("/session/count").with_cookie(&cookie)).await?;
    connection.head().await?;
    site.expect_n(&cookie, 1, "when the head has arrived").await?;

    site.outer.spy.before(Operation::Create, tokio::time::sleep(Duration::from_millis(100)));
    let mut connection = site.begin(&Request::new("/session/count")).await?;
    let head = connection.head().await?;
    let answer = Answer { head, body: String::new() };
    site.expect_n(&site.cookie(&answer)?, 1, "when the head with the cookie has arrived").await
}

/// An answer that must not get out if its commit fails.
fn promise() -> Reply {
    Reply { status: 201, ..Reply::text("all is well") }.with_header("x-promise", "yes")
}

fn replaced(site: &HttpSite, answer: &Answer, status: u16, what: &str) -> CaseResult {
    equal(answer.head.status, status, what)?;
    let promised = answer.body.contains("all is well") || !answer.head.all("x-promise").is_empty();
    ensure(!promised, format!("{what}: the handler's answer got out"))?;
    ensure(answer.head.varies_by("Cookie"), "no Vary: Cookie")?;
    site.no_cookie(answer, what)
}

async fn failed_commit_takes_the_answers_place(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on("promise", |session| add_one(session).map(|()| promise()));
    site.on("promise-destroy", |session| session.destroy().map(|()| promise()));
    let cookie = site.visitor().await?;
    for (kind, status) in
        [(ErrorKind::Unavailable, 503), (ErrorKind::Overloaded, 503), (ErrorKind::SchemaMissing, 500)]
    {
        for (operation, path, cookie) in [
            (Operation::Create, "/session/promise", ""),
            (Operation::Update, "/session/promise", &cookie),
            (Operation::Delete, "/session/promise-destroy", &cookie),
        ] {
            site.outer.spy.refuse(operation, kind);
            let what = format!("{kind} of {operation}");
            replaced(&site, &site.visit(path, cookie).await?, status, &what)?;
        }
    }
    site.expect_n(&cookie, 0, "after commits that failed").await?;

    site.on("large", |session| session.insert("large", "x".repeat(300 * 1024)).map(|()| promise()));
    replaced(&site, &site.visit("/session/large", &cookie).await?, 413, "over the limit")?;
    replaced(&site, &site.visit("/session/large", "").await?, 413, "a new one over the limit")?;

    let manager = site.outer.manager.clone();
    site.on_async("overtaken", move |session: Session| {
        let manager = manager.clone();
        async move { overtaken(&manager, &session).await }
    });
    let slow = site.visitor().await?;
    replaced(&site, &site.visit("/session/overtaken", &slow).await?, 409, "a session that is gone")?;
    equal(site.n(&slow).await?, None, "nothing brings it back")?;

    let (manager, stale) = (site.outer.manager.clone(), cookie.clone());
    site.on_async("stale", move |session: Session| {
        let (manager, stale) = (manager.clone(), stale.clone());
        async move {
            add_one(&session)?;
            let other = manager.open(Some(token(&stale))).await?;
            other.sign_in("alice")?;
            let _ = other.commit().await?;
            Ok(promise())
        }
    });
    replaced(&site, &site.visit("/session/stale", &cookie).await?, 409, "a token that was replaced")
}

async fn overtaken(manager: &SessionManager, session: &Session) -> session_core::Result<Reply> {
    add_one(session)?;
    if let Some(id) = session.id() {
        manager.revoke(id).await?;
    }
    Ok(promise())
}

async fn errors_of_handlers_have_their_status(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on("gone", |session| {
        session.destroy()?;
        session.insert("n", 1)?;
        Ok(promise())
    });
    site.on("large", |session| session.insert([&"x".repeat(300)[..]], 1).map(|()| promise()));
    site.on("conflict", |session| session.insert("n.below", 1).map(|()| promise()));
    let cookie = site.visitor().await?;
    for (path, status) in [("/session/large", 413), ("/session/conflict", 500), ("/session/gone", 409)] {
        let answer = site.visit(path, &cookie).await?;
        equal(answer.head.status, status, path)?;
        let told = answer.body.contains(token(&cookie)) || answer.body.contains("below");
        ensure(!told, format!("{path}: the answer tells what is nobody's business"))?;
    }
    equal(site.n(&cookie).await?, None, "the destroyed session, in spite of the error that followed")
}

async fn parallel_requests_lose_nothing(http: HttpContext) -> CaseResult {
    let site = Arc::new(HttpSite::start(&http).await?);
    let cookie = site.visitor().await?;
    let racers = (0..20).map(|_| {
        let (site, cookie) = (site.clone(), cookie.clone());
        racer(async move { Ok(site.visit("/session/count", &cookie).await?.head.status) })
    });
    equal(race(racers.collect()).await?, vec![200; 20], "the statuses")?;
    site.expect_n(&cookie, 20, "the count").await
}

async fn parallel_requests_during_rotation_stay_signed_in(http: HttpContext) -> CaseResult {
    let site = HttpSite::with(&http, |plan| plan.settings(|it| it.rotate_every(HOUR))).await?;
    let site = Arc::new(site);
    site.on("who", |session| {
        add_one(session)?;
        Ok(Reply::text(session.principal().map_or("nobody".to_owned(), |name| name.as_str().to_owned())))
    });
    let mut cookie = site.member("alice").await?;
    for round in 1..=3 {
        http.ctx.clock().advance(2 * HOUR);
        let racers = (0..12).map(|_| {
            let (site, cookie) = (site.clone(), cookie.clone());
            racer(async move { site.visit("/session/who", &cookie).await })
        });
        let answers = race(racers.collect()).await?;
        let mut fresh = Vec::new();
        for answer in &answers {
            equal((answer.head.status, answer.body.as_str()), (200, "alice"), "a parallel request")?;
            if site.set_cookie(answer)?.is_some() {
                fresh.push(site.cookie(answer)?);
            }
        }
        let [next] = &fresh[..] else {
            return Err(Failure::new(format!("{} answers set a cookie, not one", fresh.len())));
        };
        for (cookie, what) in [(next, "the new cookie"), (&cookie, "the old cookie, in its grace")] {
            let answer = site.visit("/session/who", cookie).await?;
            equal((answer.head.status, answer.body.as_str()), (200, "alice"), what)?;
            site.no_cookie(&answer, what)?;
        }
        cookie = next.clone();
        site.expect_n(&cookie, 14 * round, "every request's count").await?;
    }
    Ok(())
}
