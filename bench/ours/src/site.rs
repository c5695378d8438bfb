//! Requests to an axum router, bare and behind a layer; and our layer over the memory store.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bench_harness::{Cell, Cookies, Failure, Operation, Program, Store, payload};
use http::{Request, Response, StatusCode, header};
use session_core::{Session, SessionManager};
use session_memory::MemoryBackend;
use session_tower::SessionLayer;
use tower::ServiceExt as _;

#[derive(Clone)]
pub(crate) struct Site {
    bare: Router,
    with_sessions: Router,
    cookies: Cookies,
}

impl Site {
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let manager = SessionManager::builder(MemoryBackend::new()).build()?;
        let values = program.values;
        let create = move |session: Session| async move {
            for (key, value) in payload::values(values, 0) {
                session.insert([key.as_str()], value)?;
            }
            session.insert("count", 0)
        };
        let with_sessions = bare()
            .route("/create", get(create))
            .route("/read", get(read))
            .route("/count", get(count))
            .layer(SessionLayer::new(manager));
        let mut cookies = Vec::new();
        for _ in 0..program.sessions {
            let answer = with_sessions.clone().oneshot(request("/create", None)?).await?;
            cookies.push(cookie_of(&answer)?);
        }
        Ok(Self::new(with_sessions, Cookies::new(&cookies)?))
    }

    /// A router that answers `/read` and `/count` from the session that one of the cookies names. Its layers are put
    /// around its routes now, as `axum::serve` has it, and not with each request.
    pub(crate) fn new(with_sessions: Router, cookies: Cookies) -> Self {
        Self { bare: bare().with_state(()), with_sessions: with_sessions.with_state(()), cookies }
    }
}

/// What there is without sessions.
pub(crate) fn bare() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

/// Fails without the session: a router that answers without one would measure nothing.
async fn read(session: Session) -> Result<String, StatusCode> {
    session.get("name").map_err(status)?.ok_or(StatusCode::UNAUTHORIZED)
}

async fn count(session: Session) -> Result<String, StatusCode> {
    let count: u64 = session.get("count").map_err(status)?.ok_or(StatusCode::UNAUTHORIZED)?;
    session.insert("count", count + 1).map_err(status)?;
    Ok((count + 1).to_string())
}

fn status(_: session_core::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// The cookie that an answer sets, as the browser sends it back.
fn cookie_of(answer: &Response<Body>) -> Result<String, Failure> {
    let cookie = answer.headers().get(header::SET_COOKIE).ok_or("no session was created")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
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
