//! Requests to an axum router, bare and behind a layer that keeps its sessions in the process.

mod axum_session;
mod tower_sessions;

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bench_harness::{Cell, Failure, Operation, Program, Store};
use http::{HeaderValue, Request, Response, StatusCode, header};
use tower::ServiceExt as _;

#[derive(Clone)]
pub(crate) struct Site {
    bare: Router,
    with_sessions: Router,
    cookie: HeaderValue,
}

impl Site {
    pub(crate) async fn of_tower_sessions(program: Program) -> Result<Self, Failure> {
        Self::new(tower_sessions::router(bare(), program.values)).await
    }

    pub(crate) async fn of_axum_session(program: Program) -> Result<Self, Failure> {
        Self::new(axum_session::router(bare(), program.values).await?).await
    }

    /// Creates the one session that all requests are for, by `/create`.
    async fn new(with_sessions: Router) -> Result<Self, Failure> {
        let answer = with_sessions.clone().oneshot(request("/create", None)?).await?;
        Ok(Self { bare: bare(), with_sessions, cookie: cookie_of(&answer)? })
    }
}

/// What there is without sessions.
fn bare() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

/// The cookies that an answer sets, as the browser sends them back.
fn cookie_of(answer: &Response<Body>) -> Result<HeaderValue, Failure> {
    let mut cookies = Vec::new();
    for cookie in answer.headers().get_all(header::SET_COOKIE) {
        cookies.extend(cookie.to_str()?.split(';').next());
    }
    if cookies.is_empty() {
        return Err("no session was created".into());
    }
    Ok(HeaderValue::from_str(&cookies.join("; "))?)
}

fn request(path: &'static str, cookie: Option<&HeaderValue>) -> Result<Request<Body>, Failure> {
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

    async fn operate(&mut self, operation: Operation, _: u64) -> Result<(), Failure> {
        let (router, path, cookie) = match operation {
            Operation::Bare => (&self.bare, "/hello", Some(&self.cookie)),
            Operation::NoCookie => (&self.with_sessions, "/hello", None),
            Operation::Untouched => (&self.with_sessions, "/hello", Some(&self.cookie)),
            Operation::Read => (&self.with_sessions, "/read", Some(&self.cookie)),
            Operation::Counter => (&self.with_sessions, "/count", Some(&self.cookie)),
            other => return Err(format!("no request: {other:?}").into()),
        };
        let answer: Result<_, Infallible> = router.clone().oneshot(request(path, cookie)?).await;
        let answer = answer?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(answer.status().to_string().into()) }
    }
}
