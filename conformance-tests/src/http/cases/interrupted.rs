//! Requests that never come to an answer.

use std::panic::resume_unwind;

use session_core::{Operation, Result, Session};

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure, equal};
use crate::http::application::Reply;
use crate::http::client::Request;
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, Signal, TellsItsEnd};
use crate::site::add_one;
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[case!(
    "http",
    panic_and_disconnect,
    "a handler that panics, or whose client hangs up, commits nothing but the end of a session"
)];

async fn panic_and_disconnect(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    site.on("count-and-panic", |session| {
        add_one(session)?;
        panic()
    });
    site.on("destroy-and-panic", |session| {
        session.destroy()?;
        panic()
    });
    let (reached, ended) = (Signal::default(), Signal::default());
    let (here, end) = (reached.clone(), ended.clone());
    site.on_async("count-and-wait", move |session: Session| wait(&session, add_one, &here, &end));
    let (here, end) = (reached.clone(), ended.clone());
    site.on_async("destroy-and-wait", move |session: Session| wait(&session, Session::destroy, &here, &end));

    let cookie = site.visitor().await?;
    site.outer.spy.calls();
    for visitor in [&cookie, ""] {
        panicked(&site, "/session/count-and-panic", visitor).await?;
        hung_up(&site, "/session/count-and-wait", visitor, &reached, &ended).await?;
    }
    // An answer after these: whoever commits behind their back has had the time.
    site.visit("/session/read", &cookie).await?;
    let expected = Calls { load: 3, ..Calls::default() };
    equal(site.outer.spy.calls(), expected, "the verbs of requests without an answer")?;
    site.expect_n(&cookie, 0, "after requests without an answer").await?;

    let other = site.visitor().await?;
    panicked(&site, "/session/destroy-and-panic", &cookie).await?;
    site.until_n(&cookie, None, "a session destroyed by a handler that panics").await?;
    hung_up(&site, "/session/destroy-and-wait", &other, &reached, &ended).await?;
    site.until_n(&other, None, "a session destroyed by a handler whose client hangs up").await?;

    let cookie = site.visitor().await?;
    let (begun, go_on) = (Signal::default(), Signal::default());
    let (begins, goes_on) = (begun.clone(), go_on.clone());
    site.outer.spy.before(Operation::Update, async move {
        begins.tell();
        goes_on.wait().await;
    });
    let connection = site.begin(&Request::new("/session/count").with_cookie(&cookie)).await?;
    site.heard(&begun, "the commit of a count").await?;
    connection.hang_up()?;
    go_on.tell();
    site.until_n(&cookie, Some(1), "a commit under way whose client hangs up").await
}

/// A panic that nobody prints: it is wanted.
fn panic() -> ! {
    resume_unwind(Box::new("wanted by the case"))
}

/// Changes the session, tells so, and never answers.
fn wait(
    session: &Session,
    change: fn(&Session) -> Result<()>,
    reached: &Signal,
    ended: &Signal,
) -> impl Future<Output = Result<Reply>> + use<> {
    let changed = change(session);
    let (reached, end) = (reached.clone(), TellsItsEnd(ended.clone()));
    async move {
        changed?;
        reached.tell();
        std::future::pending::<()>().await;
        drop(end);
        Ok(Reply::text("never"))
    }
}

async fn panicked(site: &HttpSite, path: &str, cookie: &str) -> CaseResult {
    let mut connection = site.begin(&Request::new(path).with_cookie(cookie)).await?;
    let head = connection.head_or_end().await?;
    ensure(head.is_none_or(|head| head.status >= 500), format!("{path}: a panic is answered as a success"))
}

async fn hung_up(site: &HttpSite, path: &str, cookie: &str, reached: &Signal, ended: &Signal) -> CaseResult {
    let connection = site.begin(&Request::new(path).with_cookie(cookie)).await?;
    site.heard(reached, "the handler begins").await?;
    connection.hang_up()?;
    site.heard(ended, "the handler of a client that hung up ends").await
}
