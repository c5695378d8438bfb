//! A site: one store, and requests that are answered by whatever handler a test brings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderName, SET_COOKIE, VARY};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, FromRequest, Handler, HttpResponse, Responder, web};
use session_actix::SessionMiddleware;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Error, ErrorKind, Listing, ManualClock, Operation, Principal,
    Purged, Record, Result, Revision, Session, SessionBackend, SessionId, SessionManager, SessionToken,
    Timestamp, UpdateOutcome, async_trait,
};
use session_memory::MemoryBackend;

/// How long anything may take that is expected to happen: only a failing test waits for its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A store, a clock that stands still, and sessions on them.
pub(crate) struct Site {
    pub(crate) store: Arc<Spy>,
    pub(crate) clock: ManualClock,
    pub(crate) sessions: SessionManager,
}

impl Site {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Spy::default());
        let clock = ManualClock::new(std::time::SystemTime::now().into());
        let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build().unwrap();
        Self { store, clock, sessions }
    }

    pub(crate) fn middleware(&self) -> SessionMiddleware {
        SessionMiddleware::new(self.sessions.clone())
    }

    /// Answers a request that has this `Cookie` header.
    pub(crate) async fn visit<H, T>(&self, cookie: &str, handler: H) -> Answer
    where
        H: Handler<T, Output: Responder + 'static>,
        T: FromRequest + 'static,
    {
        self.visit_by(self.middleware(), &[(COOKIE, cookie)], handler).await
    }

    pub(crate) async fn visit_by<H, T>(
        &self,
        middleware: SessionMiddleware,
        headers: &[(HeaderName, &str)],
        handler: H,
    ) -> Answer
    where
        H: Handler<T, Output: Responder + 'static>,
        T: FromRequest + 'static,
    {
        let app = App::new().wrap(middleware).route("/", web::to(handler));
        let mut request = TestRequest::default();
        for (name, value) in headers {
            request = request.append_header((name.clone(), *value));
        }
        send(app, request).await
    }

    /// Answers a request of a client that has this bearer token, or none if it is empty.
    pub(crate) async fn call<H, T>(&self, token: &str, handler: H) -> Answer
    where
        H: Handler<T, Output: Responder + 'static>,
        T: FromRequest + 'static,
    {
        let header = format!("Bearer {token}");
        let headers = [(AUTHORIZATION, header.as_str())];
        let headers = if token.is_empty() { &headers[..0] } else { &headers };
        self.visit_by(self.middleware().bearer(), headers, handler).await
    }

    /// A visitor with a session whose `n` is 1: the cookie.
    pub(crate) async fn visitor(&self) -> String {
        self.visit("", count).await.cookie()
    }

    /// What `n` is for this visitor, read without the middleware.
    pub(crate) async fn n(&self, cookie: &str) -> Option<u64> {
        let (_, token) = cookie.split_once('=').unwrap();
        self.sessions.open(Some(token)).await.unwrap().get("n").unwrap()
    }

    /// Waits for commits that nobody waits for.
    pub(crate) async fn has_no_session(&self) {
        let gone = async {
            while !self.store.memory.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("a session that never ends");
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

/// Answers by the whole application, as its server would.
pub(crate) async fn send<T, B>(app: App<T>, request: TestRequest) -> Answer
where
    T: actix_web::dev::ServiceFactory<
            actix_web::dev::ServiceRequest,
            Config = (),
            Response = actix_web::dev::ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: actix_web::body::MessageBody + 'static,
{
    let app = init_service(app).await;
    let response = match actix_web::dev::Service::call(&app, request.to_request()).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    Answer::of(response).await
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
    error: Option<Arc<Error>>,
}

impl Answer {
    async fn of(response: HttpResponse) -> Self {
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        let error = response.extensions().get().cloned();
        Self {
            status,
            headers,
            error,
            body: String::from_utf8(to_bytes(response.into_body()).await.unwrap().into()).unwrap(),
        }
    }

    pub(crate) fn all(&self, name: impl AsRef<str>) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| *known == name.as_ref());
        named.map(|(_, value)| value.as_str()).collect()
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

    pub(crate) fn removes_cookie(&self) -> bool {
        self.set_cookie().is_some_and(|cookie| cookie.starts_with("__Host-session=; "))
    }

    pub(crate) fn vary(&self) -> Vec<&str> {
        self.all(VARY)
    }

    pub(crate) fn cache_control(&self) -> Vec<&str> {
        self.all(CACHE_CONTROL)
    }

    /// The error of a commit that failed after the handler.
    pub(crate) fn error(&self) -> Option<ErrorKind> {
        self.error.as_ref().map(|error| error.kind())
    }
}

/// A store in memory that keeps a list of what it was asked, and fails on demand.
#[derive(Debug, Default)]
pub(crate) struct Spy {
    pub(crate) memory: MemoryBackend,
    calls: Mutex<Vec<Operation>>,
    fault: Mutex<Option<(Operation, ErrorKind)>>,
}

impl Spy {
    /// The verbs that have ended since the last look.
    pub(crate) fn take_calls(&self) -> Vec<Operation> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Makes every call of this verb fail.
    pub(crate) fn break_down(&self, operation: Operation, kind: ErrorKind) {
        *self.fault.lock().unwrap() = Some((operation, kind));
    }

    pub(crate) fn recover(&self) {
        *self.fault.lock().unwrap() = None;
    }

    async fn watched<T>(&self, operation: Operation, verb: impl Future<Output = Result<T>>) -> Result<T> {
        // No real store answers at once: commits go through their task.
        tokio::task::yield_now().await;
        let fault = *self.fault.lock().unwrap();
        let result = match fault {
            Some((broken, kind)) if broken == operation => Err(Error::new(kind, "broken by the test")),
            _ => verb.await,
        };
        self.calls.lock().unwrap().push(operation);
        result
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
