//! Tokens in headers of their own, and activity without a session.

use session_core::ErrorKind;

use crate::case::{Case, case};
use crate::check::{CaseResult, Failure, ensure, equal};
use crate::context::{HOUR, MINUTE};
use crate::http::client::{Answer, Request};
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, NAME};
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        bearer,
        "bearer sessions come by Authorization and go by Session-Token, and have no cookie either way"
    ),
    case!(
        "http",
        touch_always,
        "where every request is activity, those without a session keep it alive, and no others"
    ),
];

fn session_token(answer: &Answer) -> CaseResult<Option<&str>> {
    let tokens = answer.head.all("session-token");
    ensure(tokens.len() <= 1, "one answer hands out two tokens")?;
    ensure(answer.head.all("set-cookie").is_empty(), "a bearer session sets a cookie")?;
    Ok(tokens.first().copied())
}

fn handed_out(answer: &Answer) -> CaseResult<String> {
    equal(answer.head.all("cache-control"), vec!["no-store"], "with a new token")?;
    let token = session_token(answer)?.filter(|token| !token.is_empty());
    token.map(str::to_owned).ok_or_else(|| Failure::new(format!("no token in {answer:?}")))
}

async fn visit(site: &HttpSite, path: &str, authorization: &str) -> CaseResult<Answer> {
    let request = Request::new(path);
    let request = match authorization {
        "" => request,
        value => request.with("Authorization", value),
    };
    let answer = site.send(request).await?;
    equal(answer.head.members("vary"), vec!["Authorization"], path)?;
    Ok(answer)
}

async fn bearer(http: HttpContext) -> CaseResult {
    let site = HttpSite::with(&http, |plan| plan.bearer()).await?;
    let none = visit(&site, "/session/read", "").await?;
    equal((none.body.as_str(), session_token(&none)?), ("none", None), "a read of nothing")?;
    let first = handed_out(&visit(&site, "/session/count", "").await?)?;
    for scheme in ["Bearer", "bearer"] {
        let read = visit(&site, "/session/read", &format!("{scheme} {first}")).await?;
        equal((read.body.as_str(), session_token(&read)?), ("1", None), scheme)?;
    }
    for authorization in [format!("Basic {first}"), first.clone(), "Bearer junk".to_owned()] {
        equal(visit(&site, "/session/read", &authorization).await?.body.as_str(), "none", &authorization)?;
    }
    let as_cookie = site.send(Request::new("/session/read").with_cookie(&format!("{NAME}={first}"))).await?;
    equal(as_cookie.body.as_str(), "none", "a bearer token that comes as a cookie")?;

    let signed_in = handed_out(&visit(&site, "/session/sign-in", &format!("Bearer {first}")).await?)?;
    equal(
        visit(&site, "/session/count", &format!("Bearer {first}")).await?.head.status,
        409,
        "a dead token",
    )?;
    let current = format!("Bearer {signed_in}");
    equal(visit(&site, "/session/count", &current).await?.body.as_str(), "2", "the new token")?;
    site.outer.spy.break_down(ErrorKind::Unavailable);
    let down = visit(&site, "/session/read", &current).await?;
    equal((down.head.status, session_token(&down)?), (503, None), "while the store is down")?;
    site.outer.spy.recover();
    let destroyed = visit(&site, "/session/destroy", &current).await?;
    equal(session_token(&destroyed)?, Some(""), "the end of a session")?;

    let plain = site.send(Request::new("/plain/hello").with("Authorization", current)).await?;
    ensure(!plain.head.varies_by("Authorization"), "an answer without a session varies")
}

async fn touch_always(http: HttpContext) -> CaseResult {
    let quiet = HttpSite::with(&http, |plan| plan.settings(|it| it.idle_timeout(HOUR))).await?;
    let cookie = quiet.visitor().await?;
    let site = HttpSite::with(&http, |plan| plan.settings(|it| it.idle_timeout(HOUR)).touch_always()).await?;
    let touched = site.visitor().await?;
    site.outer.spy.calls();
    for _ in 0..3 {
        http.ctx.clock().advance(25 * MINUTE);
        let answers =
            [site.visit("/plain/hello", &touched).await?, quiet.visit("/plain/hello", &cookie).await?];
        for answer in &answers {
            equal((answer.head.status, answer.body.as_str()), (200, "hello"), "a page without a session")?;
            site.no_cookie(answer, "a page without a session")?;
            ensure(!answer.head.varies_by("Cookie"), "a page without a session varies by cookie")?;
        }
        site.until_touched(&touched).await?;
    }
    let each = Calls { load: 3, touch: 3, ..Calls::default() };
    equal(site.outer.spy.calls(), each, "the verbs for three pages without a session")?;
    site.expect_n(&touched, 0, "the session whose requests are activity").await?;
    equal(quiet.n(&cookie).await?, None, "the session whose requests are none")
}
