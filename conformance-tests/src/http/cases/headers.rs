//! What caches are told, and that the application's own headers stay.

use session_core::Operation;

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure, equal};
use crate::http::application::Reply;
use crate::http::client::Answer;
use crate::http::context::HttpContext;
use crate::http::site::HttpSite;
use crate::site::add_one;

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        vary_and_no_store,
        "an answer whose request opened its session varies by cookie; one with the cookie is not stored"
    ),
    case!(
        "http",
        headers_of_the_application_stay,
        "cookies, Vary and all other headers of the application are sent beside the session's"
    ),
];

fn varies(answer: &Answer) -> bool {
    answer.head.varies_by("Cookie")
}

async fn vary_and_no_store(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let fails = || Reply::new(500);
    site.on("fail", move |_| Ok(fails()));
    let cacheable = || Reply::text("cacheable").with_header("cache-control", "public, max-age=3600");
    site.on("cacheable", move |session| add_one(session).map(|()| cacheable()));
    site.on("cacheable-destroy", move |session| session.destroy().map(|()| cacheable()));
    let cookie = site.visitor().await?;
    for cookie in ["", &cookie] {
        for path in ["/session/read", "/session/count", "/session/fail"] {
            ensure(varies(&site.visit(path, cookie).await?), format!("{path} has no Vary: Cookie"))?;
        }
        let hello = site.visit("/plain/hello", cookie).await?;
        ensure(!varies(&hello), "an answer without a session varies by cookie")?;
    }
    site.outer.spy.refuse(Operation::Load, session_core::ErrorKind::Unavailable);
    ensure(varies(&site.visit("/session/read", &cookie).await?), "a failed read has no Vary: Cookie")?;

    let created = site.visit("/session/cacheable", "").await?;
    equal(created.head.all("cache-control"), vec!["no-store"], "with a new cookie")?;
    let changed = site.visit("/session/cacheable", &cookie).await?;
    equal(changed.head.all("cache-control"), vec!["public, max-age=3600"], "without a cookie")?;
    let destroyed = site.visit("/session/cacheable-destroy", &cookie).await?;
    equal(destroyed.head.all("cache-control"), vec!["no-store"], "with the cookie's removal")?;
    let read = site.visit("/session/read", "").await?;
    ensure(
        !read.head.members("cache-control").contains(&"no-store"),
        "an answer without a cookie is not stored",
    )
}

async fn headers_of_the_application_stay(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on("own", |session| {
        add_one(session)?;
        let reply = Reply::text("own").with_header("set-cookie", "theme=dark");
        let reply = reply.with_header("set-cookie", "lang=en; Path=/");
        Ok(reply.with_header("vary", "Accept-Encoding").with_header("x-own", "yes"))
    });
    let answer = site.visit("/session/own", "").await?;
    site.cookie(&answer)?;
    let cookies = answer.head.all("set-cookie");
    equal(cookies.len(), 3, "the cookies of the answer")?;
    for own in ["theme=dark", "lang=en; Path=/"] {
        ensure(cookies.contains(&own), format!("the application's cookie is gone: {own}"))?;
    }
    ensure(varies(&answer), "the answer has no Vary: Cookie")?;
    ensure(answer.head.varies_by("Accept-Encoding"), "the application's Vary is gone")?;
    equal(answer.head.all("x-own"), vec!["yes"], "another header")?;
    equal((answer.head.status, answer.body.as_str()), (200, "own"), "status and body")
}
