//! Answers that go on after their head: streamed bodies, and connections that go over to another protocol.

use bytes::Bytes;
use session_core::{ErrorKind, Result, Session};
use tokio::sync::mpsc;

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure, equal};
use crate::http::application::Reply;
use crate::http::client::{Answer, Connection, Request};
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, Signal, token};
use crate::site::{add_one, id};

pub(super) const CASES: &[Case<HttpContext>] = &[
    case!(
        "http",
        streamed_body_and_101,
        "the head of a stream and of an upgrade leaves with the cookie, committed, before anything that follows"
    ),
    case!(
        "http",
        streams_reload_and_commit,
        "a stream changes its session by reload and commit, and nothing commits for it"
    ),
    case!("http", streams_notice_a_revocation, "a stream that reloads sees that its session has ended"),
];

/// Reloads whenever it is told to, says what it finds, and adds 1 where that is to be committed.
async fn tell(session: Session, parts: mpsc::Sender<Bytes>, go_on: Signal, commits: bool) {
    loop {
        go_on.wait().await;
        let line = match round(&session, commits).await {
            Ok(line) => line,
            Err(error) => format!("{}", error.kind()),
        };
        let over = line == "over\n";
        if parts.send(Bytes::from(line)).await.is_err() || over {
            return;
        }
    }
}

async fn round(session: &Session, commits: bool) -> Result<String> {
    session.reload().await?;
    if session.is_new() {
        return Ok("over\n".to_owned());
    }
    add_one(session)?;
    let n = session.get::<u64>("n")?.unwrap_or_default();
    if commits {
        let _ = session.commit().await?;
    }
    Ok(format!("{n}\n"))
}

/// Counts, and answers with a stream, or another protocol, that goes on with the session.
fn add_handlers(site: &HttpSite, go_on: &Signal, commits: bool) {
    let signal = go_on.clone();
    site.on("stream", move |session| {
        add_one(session)?;
        let (session, signal) = (session.clone(), signal.clone());
        Ok(Reply::stream(move |parts| tell(session, parts, signal, commits)))
    });
    let signal = go_on.clone();
    site.on("upgrade", move |session| {
        add_one(session)?;
        let (session, signal) = (session.clone(), signal.clone());
        Ok(Reply::upgrade(move |parts| tell(session, parts, signal, commits)))
    });
}

const BOTH: [(&str, u16); 2] = [("/session/stream", 200), ("/session/upgrade", 101)];

async fn begin(site: &HttpSite, path: &str, status: u16, cookie: &str) -> CaseResult<(Connection, Answer)> {
    let request = Request::new(path).with_cookie(cookie);
    let request = match status {
        101 => request.with("Connection", "Upgrade").with("Upgrade", "websocket"),
        _ => request,
    };
    let mut connection = site.begin(&request).await?;
    let head = connection.head().await?;
    equal(head.status, status, path)?;
    Ok((connection, Answer { head, body: String::new() }))
}

async fn streamed_body_and_101(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let go_on = Signal::default();
    add_handlers(&site, &go_on, true);
    for (path, status) in BOTH {
        // Nothing of the body is made before `go_on`: the head cannot have waited for it.
        let (_connection, answer) = begin(&site, path, status, "").await?;
        let cookie = site.cookie(&answer)?;
        equal(answer.head.all("cache-control"), vec!["no-store"], "with a new cookie")?;
        ensure(answer.head.varies_by("Cookie"), "no Vary: Cookie")?;
        site.expect_n(&cookie, 1, "when the head has arrived").await?;

        let (_connection, answer) = begin(&site, path, status, &cookie).await?;
        site.no_cookie(&answer, path)?;
        site.expect_n(&cookie, 2, "when the head of a known visitor has arrived").await?;
    }
    Ok(())
}

async fn streams_reload_and_commit(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    for (path, status) in BOTH {
        for commits in [true, false] {
            let go_on = Signal::default();
            add_handlers(&site, &go_on, commits);
            let (mut connection, answer) = begin(&site, path, status, "").await?;
            let cookie = site.cookie(&answer)?;
            for round in 2..=4 {
                go_on.tell();
                let n = if commits { round } else { 2 };
                connection.expect(&format!("{n}\n")).await?;
                site.expect_n(&cookie, if commits { n } else { 1 }, "when a part has arrived").await?;
            }
        }
    }
    let refused = Signal::default();
    let signal = refused.clone();
    site.on("late", move |session| {
        add_one(session)?;
        let (session, signal) = (session.clone(), signal.clone());
        Ok(Reply::stream(move |parts| async move {
            signal.wait().await;
            let refused = session.insert("n", 9).is_err_and(|it| it.kind() == ErrorKind::AlreadyCommitted);
            // Nobody reads it any more: the case has failed already.
            let _ = parts.send(Bytes::from(format!("{refused}"))).await;
        }))
    });
    let (mut connection, _) = begin(&site, "/session/late", 200, "").await?;
    refused.tell();
    connection.expect("true").await
}

async fn streams_notice_a_revocation(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    for (path, status) in BOTH {
        let go_on = Signal::default();
        add_handlers(&site, &go_on, true);
        let cookie = site.member("alice").await?;
        let (mut connection, _) = begin(&site, path, status, &cookie).await?;
        go_on.tell();
        connection.expect("2\n").await?;
        site.outer.manager.revoke(id(token(&cookie))?).await?;
        go_on.tell();
        connection.expect("over\n").await?;
        equal(connection.body().await?.as_str(), "", "what follows the end")?;
        equal(site.n(&cookie).await?, None, "a stream must not bring its session back")?;
    }
    Ok(())
}
