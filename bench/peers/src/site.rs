//! Requests to an axum router, bare and behind a layer that keeps its sessions in the process.

mod axum_session;
mod tower_sessions;

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bench_harness::{Cell, Cookies, Failure, Operation, Program, Store};
use http::{Request, Response, StatusCode, header};
use tower::ServiceExt as _;

#[derive(Clone)]
pub(crate) struct Site {
    bare: Router,
    with_sessions: Router,
    cookies: Cookies,
}

impl Site {
    pub(crate) async fn of_tower_sessions(program: Program) -> Result<Self, Failure> {
        Self::new(tower_sessions::router(bare(), program.values), program.sessions).await
    }

    pub(crate) async fn of_axum_session(program: Program) -> Result<Self, Failure> {
        Self::new(axum_session::router(bare(), program.values).await?, program.sessions).await
    }

    /// Creates as many sessions by `/create`. The layers are put around the routes before, as `axum::serve` has it,
    /// and not with each request.
    async fn new(with_sessions: Router, sessions: u64) -> Result<Self, Failure> {
        let with_sessions = with_sessions.with_state(());
        let mut cookies = Vec::new();
        for _ in 0..sessions {
            let answer = with_sessions.clone().oneshot(request("/create", None)?).await?;
            cookies.push(cookie_of(&answer)?);
        }
        Ok(Self { bare: bare().with_state(()), with_sessions, cookies: Cookies::new(&cookies)? })
    }
}

/// What there is without sessions.
fn bare() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

/// The cookies that an answer sets, as the browser sends them back.
fn cookie_of(answer: &Response<Body>) -> Result<String, Failure> {
    let mut cookies = Vec::new();
    for cookie in answer.headers().get_all(header::SET_COOKIE) {
        cookies.extend(cookie.to_str()?.split(';').next());
    }
    if cookies.is_empty() {
        return Err("no session was created".into());
    }
    Ok(cookies.join("; "))
}

/// The cookie is copied, so that its bytes are near at hand, as those are that a server has just received.
fn request(path: &'static str, cookie: Option<&str>) -> Result<Request<Body>, Failure> {
    let mut request = Request::builder().uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    Ok(request.body(Body::empty())?)
}

impl Store for Site {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); cell.tasks])
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        let cookie = Some(self.cookies.of(session)?);
        let (router, path, cookie) = match operation {
            Operation::Bare => (&self.bare, "/hello", cookie),
            Operation::BareNoCookie => (&self.bare, "/hello", None),
            Operation::NoCookie => (&self.with_sessions, "/hello", None),
            Operation::Untouched => (&self.with_sessions, "/hello", cookie),
            Operation::Read => (&self.with_sessions, "/read", cookie),
            Operation::Counter => (&self.with_sessions, "/count", cookie),
            other => return Err(format!("no request: {other:?}").into()),
        };
        let answer: Result<_, Infallible> = router.clone().oneshot(request(path, cookie)?).await;
        let answer = answer?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(answer.status().to_string().into()) }
    }
}
