//! When a cookie is sent, and which.

use session_core::http::{SameSite, SessionCookie};
use session_core::{CookieLifetime, Session};

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure, equal};
use crate::context::{DAY, HOUR};
use crate::http::application::Reply;
use crate::http::client::Answer;
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, NAME, token};
use crate::site::id;
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        no_cookie_for_reads_of_nothing,
        "a request that stores nothing for a stranger sets no cookie"
    ),
    case!(
        "http",
        cookie_only_on_create_rotate_destroy,
        "a cookie is set when a session or its token is made, removed when it is destroyed, and else left alone"
    ),
    case!(
        "http",
        removal_mirrors_attributes,
        "the cookie is removed with the attributes that it was set with"
    ),
    case!(
        "http",
        signing_out_removes_or_replaces_the_cookie,
        "a sign-out removes the cookie, or hands out that of the session that follows"
    ),
    case!(
        "http",
        dead_cookies_are_left_alone,
        "the cookie of a session that is gone is not removed, and its id not adopted"
    ),
    case!(
        "http",
        superseded_cookie_reads_nothing_and_changes_nothing,
        "a request that a sign-in has overtaken sees an empty session, is refused changes, and leaves the new cookie alone"
    ),
    case!(
        "http",
        forged_and_malformed_are_strangers,
        "a cookie with a wrong secret, or without form, is that of a stranger, and no error"
    ),
];

async fn no_cookie_for_reads_of_nothing(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on("undo", |session| {
        session.insert("n", 1)?;
        session.remove("n")?;
        Ok(Reply::text("undone"))
    });
    site.on("destroy-new", |session| {
        session.insert("n", 1)?;
        session.destroy()?;
        Ok(Reply::text("destroyed"))
    });
    for (path, body) in [
        ("/plain/hello", "hello"),
        ("/session/read", "none"),
        ("/session/undo", "undone"),
        ("/session/destroy-new", "destroyed"),
    ] {
        let answer = site.visit(path, "").await?;
        equal((answer.head.status, answer.body.as_str()), (200, body), path)?;
        site.no_cookie(&answer, path)?;
    }
    equal(site.outer.spy.calls(), Calls::default(), "the verbs for requests that store nothing")
}

async fn cookie_only_on_create_rotate_destroy(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let created = site.visit("/session/count", "").await?;
    let first = site.cookie(&created)?;
    let expected = format!("{first}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", 30 * DAY.as_secs());
    equal(site.set_cookie(&created)?, Some(expected.as_str()), "the cookie of a new session")?;

    for expected in ["2", "3"] {
        let counted = site.visit("/session/count", &first).await?;
        equal(counted.body.as_str(), expected, "a count")?;
        site.no_cookie(&counted, "a change")?;
    }
    site.no_cookie(&site.visit("/session/read", &first).await?, "a read")?;
    http.ctx.clock().advance(HOUR);
    site.outer.spy.calls();
    site.no_cookie(&site.visit("/session/read", &first).await?, "a touch")?;
    let touched = Calls { load: 1, touch: 1, ..Calls::default() };
    equal(site.outer.spy.calls(), touched, "the verbs for a read after an hour")?;

    let rotated = site.cookie(&site.visit("/session/rotate", &first).await?)?;
    ensure(rotated != first, "a rotation hands out the same token")?;
    let signed_in = site.cookie(&site.visit("/session/sign-in", &rotated).await?)?;
    ensure(signed_in != rotated, "a sign-in hands out the same token")?;
    site.expect_n(&signed_in, 3, "what is stored under the new cookie").await?;

    let destroyed = site.visit("/session/destroy", &signed_in).await?;
    site.cookie_removed(&destroyed, "a destroyed session")?;
    equal(site.n(&signed_in).await?, None, "what is left of a destroyed session")
}

async fn removal_mirrors_attributes(http: HttpContext) -> CaseResult {
    let parent = || Some("example.org".to_owned());
    for cookie in [
        SessionCookie::new(),
        SessionCookie::insecure_local(),
        SessionCookie::new().with_name("sid").with_domain(parent()).with_path("/session"),
        SessionCookie::new().with_name("sid").with_http_only(false).with_same_site(SameSite::None),
        SessionCookie::new().with_same_site(SameSite::Strict),
    ] {
        let site = HttpSite::with(&http, |plan| plan.cookie(cookie.clone())).await?;
        let set = site.visit("/session/count", "").await?;
        let removed = site.visit("/session/destroy", &site.cookie(&set)?).await?;
        site.cookie_removed(&removed, "a destroyed session")?;
        let of_set = attributes(site.set_cookie(&set)?);
        equal(attributes(site.set_cookie(&removed)?), of_set.clone(), "attributes of the removal")?;
        let expected = [
            ("Secure", cookie.secure),
            ("HttpOnly", cookie.http_only),
            ("Domain=example.org", cookie.domain.is_some()),
        ];
        for (attribute, wanted) in expected {
            equal(of_set.iter().any(|set| set == attribute), wanted, attribute)?;
        }
    }
    let site =
        HttpSite::with(&http, |plan| plan.settings(|it| it.cookie_lifetime(CookieLifetime::BrowserSession)))
            .await?;
    let set = site.visit("/session/count", "").await?;
    let header = site.set_cookie(&set)?.unwrap_or_default();
    ensure(!header.contains("Max-Age"), "a cookie for the browser's session has an age")?;
    site.cookie_removed(&site.visit("/session/destroy", &site.cookie(&set)?).await?, "a destroyed session")
}

fn attributes(header: Option<&str>) -> Vec<String> {
    let parts = header.unwrap_or_default().split("; ").skip(1);
    parts.filter(|part| !part.starts_with("Max-Age")).map(str::to_owned).collect()
}

async fn signing_out_removes_or_replaces_the_cookie(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.member("alice").await?;
    let answer = site.visit("/session/sign-out", &cookie).await?;
    site.cookie_removed(&answer, "a sign-out")?;
    site.outer.expect_stranger(token(&cookie), "after a sign-out").await?;

    site.on("sign-out-with-flash", |session| {
        session.sign_out()?;
        session.flash("signed out")?;
        Ok(Reply::text("signed out"))
    });
    site.on("flash", |session| Ok(Reply::text(session.take_flash::<String>()?.concat())));
    let cookie = site.member("alice").await?;
    let next = site.cookie(&site.visit("/session/sign-out-with-flash", &cookie).await?)?;
    ensure(id(token(&next))? != id(token(&cookie))?, "the next session has the id of the one before")?;
    site.outer.expect_stranger(token(&cookie), "after a sign-out").await?;
    for expected in ["signed out", ""] {
        let answer = site.visit("/session/flash", &next).await?;
        equal(answer.body.as_str(), expected, "the message for the next page")?;
    }
    Ok(())
}

async fn dead_cookies_are_left_alone(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let unknown = format!("{NAME}={}.{}", "A".repeat(22), "A".repeat(43));
    let expired = site.visitor().await?;
    http.ctx.clock().advance(31 * DAY);
    let revoked = site.member("alice").await?;
    site.outer.manager.revoke(id(token(&revoked))?).await?;
    for cookie in [&unknown, &expired, &revoked] {
        for path in ["/session/read", "/session/destroy", "/session/sign-out"] {
            let answer = site.visit(path, cookie).await?;
            equal(answer.head.status, 200, path)?;
            site.no_cookie(&answer, path)?;
        }
        let fresh = site.visit("/session/count", cookie).await?;
        equal(fresh.body.as_str(), "1", "the count of a new session")?;
        ensure(id(token(&site.cookie(&fresh)?))? != id(token(cookie))?, "a presented id has been adopted")?;
    }
    Ok(())
}

async fn superseded_cookie_reads_nothing_and_changes_nothing(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let seen = |session: &Session| format!("{} {:?}", session.is_superseded(), session.principal());
    site.on("look", move |session| Ok(Reply::text(seen(session))));
    let old = site.visitor().await?;
    let new = site.cookie(&site.visit("/session/sign-in", &old).await?)?;

    let look = site.visit("/session/look", &old).await?;
    equal((look.head.status, look.body.as_str()), (200, "true None"), "a look")?;
    site.no_cookie(&look, "a look")?;
    equal(site.visit("/session/read", &old).await?.body.as_str(), "none", "a read")?;
    for path in ["/session/count", "/session/destroy", "/session/sign-out", "/session/rotate"] {
        let answer = site.visit(path, &old).await?;
        equal(answer.head.status, 409, path)?;
        site.no_cookie(&answer, path)?;
    }
    site.expect_n(&new, 0, "after refused changes").await?;
    let again: Answer = site.visit("/session/sign-in", &old).await?;
    let again = site.cookie(&again)?;
    ensure(id(token(&again))? != id(token(&new))?, "a superseded sign-in takes the session over")?;
    site.expect_n(&new, 0, "after another sign-in").await
}

async fn forged_and_malformed_are_strangers(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.member("alice").await?;
    let (public, _) = token(&cookie).split_once('.').unwrap_or_default();
    let forged = format!("{NAME}={public}.{}", "A".repeat(43));
    let answer = site.visit("/session/read", &forged).await?;
    equal((answer.head.status, answer.body.as_str()), (200, "none"), "a forged secret")?;
    site.no_cookie(&answer, "a forged secret")?;
    let destroyed = site.visit("/session/destroy", &forged).await?;
    site.no_cookie(&destroyed, "a forged secret's destroy")?;
    site.expect_n(&cookie, 0, "after a forged destroy").await?;

    site.outer.spy.calls();
    for value in ["", ".", "x", "../../etc/passwd", &"A".repeat(66), &format!("{}x", token(&cookie)), "a b"] {
        for cookie in [format!("{NAME}={value}"), format!("{NAME}=\"{value}"), NAME.to_owned()] {
            let answer = site.visit("/session/read", &cookie).await?;
            equal((answer.head.status, answer.body.as_str()), (200, "none"), &cookie)?;
            site.no_cookie(&answer, &cookie)?;
        }
    }
    equal(site.outer.spy.calls(), Calls::default(), "the verbs for malformed cookies")
}
