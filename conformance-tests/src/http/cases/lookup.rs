//! How the cookie is found in a request.

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure, equal};
use crate::http::client::Request;
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, NAME};
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        duplicate_cookies,
        "of several cookies with the name, in one header or many, the live one counts"
    ),
    case!(
        "http",
        two_live_sessions_is_none,
        "the cookies of two live sessions open neither, and harm neither"
    ),
    case!(
        "http",
        oversized_headers,
        "four cookies of the name are tried and no more; large ones and bytes that are no text harm nothing"
    ),
    case!(
        "http",
        connections_are_not_sessions,
        "requests of one connection have the sessions of their cookies"
    ),
];

fn unknown(number: usize) -> String {
    format!("{NAME}={number:021}A.{}", "A".repeat(43))
}

fn request(path: &str, cookies: &[&str]) -> Request {
    cookies.iter().fold(Request::new(path), |request, cookie| request.with_cookie(cookie))
}

async fn duplicate_cookies(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.visitor().await?;
    let quoted = cookie.replacen('=', "=\"", 1) + "\"";
    let junk = format!("{NAME}=junk");
    for cookies in [
        &[cookie.as_str()][..],
        &["a=b", &cookie],
        &[&cookie, "a=b"],
        &["a=b", "c=d", &format!("e=f; {cookie}; g=h")],
        &[&format!("a=b;{cookie};c=d")],
        &[&junk, &cookie],
        &[&cookie, &junk],
        &[&cookie, &cookie],
        &[&format!("{cookie}; {cookie}")],
        &[&format!("{junk}; {cookie}")],
        &[&unknown(1), &cookie],
        &[&cookie, &unknown(1)],
        &[&quoted],
    ] {
        let answer = site.send(request("/session/read", cookies)).await?;
        equal(answer.body.as_str(), "0", &format!("{cookies:?}"))?;
        site.no_cookie(&answer, &format!("{cookies:?}"))?;
    }
    let old = site.visitor().await?;
    let new = site.cookie(&site.visit("/session/rotate", &old).await?)?;
    for cookies in [[old.as_str(), new.as_str()], [&new, &old]] {
        let answer = site.send(request("/session/count", &cookies)).await?;
        equal(answer.head.status, 200, "the old and the new cookie of a session")?;
        site.no_cookie(&answer, "the old and the new cookie of a session")?;
    }
    site.expect_n(&new, 2, "both counts").await
}

async fn two_live_sessions_is_none(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let (one, two) = (site.visitor().await?, site.member("alice").await?);
    for cookies in [&[format!("{one}; {two}").as_str()][..], &[&one, &two], &[&unknown(1), &two, &one]] {
        let read = site.send(request("/session/read", cookies)).await?;
        equal(read.body.as_str(), "none", "a read with two sessions")?;
        site.no_cookie(&read, "a read with two sessions")?;
        let counted = site.send(request("/session/count", cookies)).await?;
        equal(counted.body.as_str(), "1", "a count with two sessions")?;
        let fresh = site.cookie(&counted)?;
        ensure(fresh != one && fresh != two, "a count with two sessions takes one of them")?;
        let destroyed = site.send(request("/session/destroy", cookies)).await?;
        site.no_cookie(&destroyed, "a destroy with two sessions")?;
    }
    site.expect_n(&one, 0, "the one session").await?;
    site.expect_n(&two, 0, "the other session").await
}

async fn oversized_headers(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let cookie = site.visitor().await?;
    let junk = format!("{NAME}=junk; ");
    for (cookies, expected) in [
        (junk.repeat(3) + &cookie, "0"),
        (junk.repeat(4) + &cookie, "none"),
        (format!("theme={}; {cookie}", "x".repeat(6000)), "0"),
        (format!("{}{cookie}", "a=b; ".repeat(1000)), "0"),
        (format!("{NAME}={}", "A".repeat(6000)), "none"),
    ] {
        let answer = site.visit("/session/read", &cookies).await?;
        equal((answer.head.status, answer.body.as_str()), (200, expected), "a read")?;
    }
    site.outer.spy.calls();
    let many: Vec<_> = (1..=40).map(unknown).collect();
    equal(site.visit("/session/read", &many.join("; ")).await?.body.as_str(), "none", "40 cookies")?;
    equal(site.outer.spy.calls(), Calls { load: 4, ..Calls::default() }, "the verbs for 40 cookies")?;

    let not_text = [b"a=\x80\xff; ".as_slice(), cookie.as_bytes(), b"; b=\xc3\x28"].concat();
    let answer = site.send(Request::new("/session/read").with("Cookie", not_text)).await?;
    equal((answer.head.status, answer.body.as_str()), (200, "0"), "beside bytes that are no text")?;
    let not_text = [NAME.as_bytes(), b"=\xff\xfe"].concat();
    let answer = site.send(Request::new("/session/read").with("Cookie", not_text)).await?;
    equal((answer.head.status, answer.body.as_str()), (200, "none"), "a cookie of bytes that are no text")?;
    site.expect_n(&cookie, 0, "after all of these").await
}

async fn connections_are_not_sessions(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let (one, two) = (site.visitor().await?, site.visitor().await?);
    let mut connection = site.connect().await?;
    for (cookie, expected) in [(&one, "1"), (&two, "1"), (&one, "2"), (&String::new(), "1"), (&two, "2")] {
        connection.send(&request("/session/count", &[cookie])).await?;
        let answer = connection.answer().await?;
        equal(answer.body.as_str(), expected, "a count")?;
        equal(site.set_cookie(&answer)?.is_some(), cookie.is_empty(), "whether a cookie is set")?;
    }
    Ok(())
}
