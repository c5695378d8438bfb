//! A site: one store, one clock, and requests that are answered by whatever handler a test brings.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::handler::Handler;
use axum::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use axum::http::{Extensions, HeaderMap, Request, Response};
use axum::routing::any;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Error, ErrorKind, Listing, ManualClock, Operation, Principal,
    Purged, Record, Result, Revision, Session, SessionBackend, SessionId, SessionManager,
    SessionManagerBuilder, SessionToken, Timestamp, UpdateOutcome, async_trait,
};
use session_memory::MemoryBackend;
use session_tower::SessionLayer;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// How long anything may take that is expected to happen: only a failing test waits for its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const NAME: &str = "__Host-session";

/// A store, a clock that stands still, and sessions on them.
pub(crate) struct Site {
    pub(crate) store: Arc<Spy>,
    pub(crate) clock: ManualClock,
    pub(crate) sessions: SessionManager,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// A site with other settings.
    pub(crate) fn with(change: impl FnOnce(SessionManagerBuilder) -> SessionManagerBuilder) -> Self {
        let store = Arc::new(Spy::default());
        let clock = ManualClock::new(SystemTime::now().into());
        let builder = SessionManager::builder(store.clone()).clock(clock.clone());
        Self { sessions: change(builder).build().unwrap(), store, clock }
    }

    pub(crate) fn layer(&self) -> SessionLayer {
        SessionLayer::new(self.sessions.clone())
    }

    /// Answers a request that has this `Cookie` header, or none if it is empty.
    pub(crate) async fn visit<H: Handler<T, ()>, T: 'static>(&self, cookie: &str, handler: H) -> Answer {
        let headers: &[&str] = if cookie.is_empty() { &[] } else { &[cookie] };
        self.visit_with(headers, handler).await
    }

    /// Answers a request that has each of these as a `Cookie` header.
    pub(crate) async fn visit_with<H: Handler<T, ()>, T: 'static>(
        &self,
        cookies: &[&str],
        handler: H,
    ) -> Answer {
        send(self.app(handler), request("/", cookies)).await
    }

    pub(crate) fn app<H: Handler<T, ()>, T: 'static>(&self, handler: H) -> Router {
        Router::new().route("/", any(handler)).layer(self.layer())
    }

    /// A visitor with a session whose `n` is 1: the cookie.
    pub(crate) async fn visitor(&self) -> String {
        self.visit("", count).await.cookie()
    }

    /// What `n` is for this visitor, read without the middleware.
    pub(crate) async fn n(&self, cookie: &str) -> Option<u64> {
        self.session(cookie).await.get("n").unwrap()
    }

    /// The verbs since the last look, once everything has ended that could ask the store for more.
    pub(crate) async fn last_calls(self) -> Vec<Operation> {
        let Self { store, sessions, clock: _ } = self;
        drop(sessions);
        let alone = async {
            while Arc::strong_count(&store) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, alone).await.expect("a task that never ends");
        store.take_calls()
    }

    /// This visitor's session, opened without the middleware: somebody else's request.
    pub(crate) async fn session(&self, cookie: &str) -> Session {
        let (_, token) = cookie.split_once('=').unwrap();
        self.sessions.open(Some(token)).await.unwrap()
    }
}

/// One more in `n`; answers with it.
pub(crate) async fn count(session: Session) -> Result<String> {
    Ok(session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1)?.to_string())
}

/// Reads `n`: `none` where there is none.
pub(crate) async fn read(session: Session) -> Result<String> {
    Ok(session.get::<u64>("n")?.map_or("none".to_owned(), |n| n.to_string()))
}

pub(crate) fn request(path: &str, cookies: &[&str]) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    for cookie in cookies {
        request = request.header(COOKIE, *cookie);
    }
    request.body(Body::empty()).unwrap()
}

pub(crate) async fn send(app: Router, request: Request<Body>) -> Answer {
    Answer::of(app.oneshot(request).await.unwrap()).await
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(bytes.into()).unwrap();
        Self { status: parts.status.as_u16(), headers: parts.headers, extensions: parts.extensions, body }
    }

    pub(crate) fn all(&self, name: impl axum::http::header::AsHeaderName) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn set_cookie(&self) -> Option<&str> {
        let cookies = self.all(SET_COOKIE);
        assert!(cookies.len() <= 1, "{cookies:?}");
        cookies.first().copied()
    }

    /// The pair that the browser sends from now on.
    pub(crate) fn cookie(&self) -> String {
        let (pair, _) = self.set_cookie().expect("no Set-Cookie").split_once(';').unwrap();
        let (_, value) = pair.split_once('=').unwrap();
        assert!(SessionToken::parse(value).is_some(), "{pair}");
        pair.to_owned()
    }

    /// Whether the browser is told to forget the cookie.
    pub(crate) fn removes_cookie(&self) -> bool {
        self.set_cookie().is_some_and(|cookie| cookie.starts_with(&format!("{NAME}=; ")))
    }

    pub(crate) fn vary(&self) -> Vec<&str> {
        self.all(VARY)
    }

    pub(crate) fn cache_control(&self) -> Vec<&str> {
        self.all(CACHE_CONTROL)
    }

    /// The error of a commit that failed after the handler.
    pub(crate) fn error(&self) -> Option<ErrorKind> {
        self.extensions.get::<Arc<Error>>().map(|error| error.kind())
    }
}

/// A store in memory that keeps a list of what it was asked, fails on demand, and can be held up.
#[derive(Default)]
pub(crate) struct Spy {
    memory: MemoryBackend,
    begun: watch::Sender<Vec<Operation>>,
    ended: watch::Sender<Vec<Operation>>,
    fault: Mutex<Option<(Operation, ErrorKind)>>,
    held: watch::Sender<Option<Operation>>,
}

impl Spy {
    /// The verbs since the last look.
    pub(crate) fn take_calls(&self) -> Vec<Operation> {
        self.ended.send_replace(Vec::new());
        self.begun.send_replace(Vec::new())
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.memory.len()
    }

    /// Makes every call of this verb fail.
    pub(crate) fn break_down(&self, operation: Operation, kind: ErrorKind) {
        *self.fault.lock().unwrap() = Some((operation, kind));
    }

    pub(crate) fn recover(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// Holds up every call of this verb until [`release`](Self::release).
    pub(crate) fn hold(&self, operation: Operation) {
        self.held.send_replace(Some(operation));
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(None);
    }

    pub(crate) async fn has_begun(&self, operation: Operation) {
        wait_for(&self.begun, operation).await;
    }

    pub(crate) async fn has_ended(&self, operation: Operation) {
        wait_for(&self.ended, operation).await;
    }

    async fn watched<T>(&self, operation: Operation, verb: impl Future<Output = Result<T>>) -> Result<T> {
        self.begun.send_modify(|calls| calls.push(operation));
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| *held != Some(operation)).await;
        let fault = *self.fault.lock().unwrap();
        let result = match fault {
            Some((broken, kind)) if broken == operation => Err(Error::new(kind, "broken by the test")),
            _ => verb.await,
        };
        self.ended.send_modify(|calls| calls.push(operation));
        result
    }
}

async fn wait_for(calls: &watch::Sender<Vec<Operation>>, operation: Operation) {
    let mut calls = calls.subscribe();
    let seen = calls.wait_for(|calls| calls.contains(&operation));
    tokio::time::timeout(PATIENCE, seen).await.expect("a call that never comes").unwrap();
}

impl fmt::Debug for Spy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spy").finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionBackend for Spy {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.watched(Operation::Create, self.memory.create(id, record, now)).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.watched(Operation::Load, self.memory.load(id, now)).await
    }

    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.watched(Operation::Load, self.memory.load_latest(id, now)).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.watched(Operation::Update, self.memory.update(id, expected, record, now)).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.watched(Operation::Touch, self.memory.touch(id, expires_at, now)).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.watched(Operation::Delete, self.memory.delete(id, expected, now)).await
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        self.watched(Operation::PurgeExpired, self.memory.purge_expired(now, limit)).await
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        self.watched(Operation::List, self.memory.list(principal, after, limit, now)).await
    }
}
