//! A store that is down, and requests that need none.

use session_core::{ErrorKind, Operation};

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure, equal};
use crate::context::HOUR;
use crate::http::application::Reply;
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, read};
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        store_down_is_503_cookie_kept,
        "while the store is down requests with a session are 503, nobody is signed out, and then all is as before"
    ),
    case!(
        "http",
        handlers_may_decide_about_a_failed_read,
        "a handler that takes the result answers by itself when the store is down"
    ),
    case!(
        "http",
        unused_session_costs_no_io,
        "a request whose handler asks for no session sends nothing to the store"
    ),
    case!(
        "http",
        failed_touch_fails_nobody,
        "a request that only reads is answered although its touch fails"
    ),
];

async fn store_down_is_503_cookie_kept(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on("who", |session| Ok(Reply::text(format!("{:?}", session.principal().is_some()))));
    let cookie = site.member("alice").await?;
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        site.outer.spy.break_down(kind);
        for path in ["/session/read", "/session/count", "/session/destroy", "/session/sign-out"] {
            let answer = site.visit(path, &cookie).await?;
            equal(answer.head.status, 503, path)?;
            site.no_cookie(&answer, path)?;
        }
        let created = site.visit("/session/count", "").await?;
        equal(created.head.status, 503, "a new session")?;
        site.no_cookie(&created, "a new session")?;
        let hello = site.visit("/plain/hello", &cookie).await?;
        equal((hello.head.status, hello.body.as_str()), (200, "hello"), "a page without a session")?;
        site.outer.spy.recover();
        equal(site.visit("/session/who", &cookie).await?.body.as_str(), "true", "afterwards")?;
        site.expect_n(&cookie, 0, "afterwards").await?;
    }
    Ok(())
}

async fn handlers_may_decide_about_a_failed_read(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on_result("decide", |outcome| match outcome {
        Ok(session) => read(session).unwrap_or_else(|_| Reply::new(500)),
        Err(error) => Reply::text(format!("without: {}", error.kind() == ErrorKind::Unavailable)),
    });
    let cookie = site.visitor().await?;
    equal(site.visit("/result/decide", &cookie).await?.body.as_str(), "0", "with a session")?;
    site.outer.spy.break_down(ErrorKind::Unavailable);
    let answer = site.visit("/result/decide", &cookie).await?;
    equal((answer.head.status, answer.body.as_str()), (200, "without: true"), "without a session")?;
    site.no_cookie(&answer, "without a session")?;
    ensure(answer.head.varies_by("Cookie"), "no Vary: Cookie")
}

async fn unused_session_costs_no_io(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.visitor().await?;
    http.ctx.clock().advance(HOUR);
    site.outer.spy.calls();
    for cookie in [&cookie, ""] {
        let hello = site.visit("/plain/hello", cookie).await?;
        equal((hello.head.status, hello.body.as_str()), (200, "hello"), "a page without a session")?;
        site.no_cookie(&hello, "a page without a session")?;
    }
    equal(site.visit("/plain/nothing", &cookie).await?.head.status, 404, "a page that is not there")?;
    equal(site.outer.spy.calls(), Calls::default(), "the verbs for pages without a session")?;
    site.visit("/session/read", &cookie).await?;
    let read = Calls { load: 1, touch: 1, ..Calls::default() };
    equal(site.outer.spy.calls(), read, "the verbs for a read")
}

async fn failed_touch_fails_nobody(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.visitor().await?;
    http.ctx.clock().advance(HOUR);
    site.outer.spy.calls();
    site.outer.spy.refuse(Operation::Touch, ErrorKind::Unavailable);
    let answer = site.visit("/session/read", &cookie).await?;
    equal((answer.head.status, answer.body.as_str()), (200, "0"), "a read")?;
    let touched = Calls { load: 1, touch: 1, ..Calls::default() };
    equal(site.outer.spy.calls(), touched, "the verbs for a read after an hour")
}
