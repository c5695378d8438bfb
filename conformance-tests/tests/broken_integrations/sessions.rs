//! The integration, correct but for one rule.

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance_tests::http::Scope;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderValue, SET_COOKIE, VARY};
use hyper::{HeaderMap, Request, Response};
use session_core::http::{
    Exchange, Finished, Head, HttpSessions, RequestSession, SESSION_TOKEN, SessionCookie,
};
use session_core::{Error, ErrorKind, Result, Session, SessionManager, SessionToken};

use crate::answer::{Body, GoesOn, empty, full, goes_on, stream};
use crate::fault::Fault;

pub(crate) struct Sessions {
    pub(crate) fault: Fault,
    sessions: HttpSessions,
    manager: SessionManager,
    name: String,
    bearer: bool,
    under_way: AtomicUsize,
}

/// What one connection remembers.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    cookies: Mutex<Option<Vec<Vec<u8>>>>,
}

type Handler<I> = BoxFuture<'static, I>;

impl Sessions {
    pub(crate) fn new(fault: Fault, scope: &Scope, cookie: &SessionCookie) -> Result<Self> {
        let sessions = HttpSessions::new(scope.manager());
        let bearer = scope.is_bearer();
        let sessions = if bearer { sessions.bearer() } else { sessions.with_cookie(cookie.clone())? };
        let touches = match fault {
            Fault::TouchesNever => false,
            Fault::TouchesAlways => true,
            _ => scope.touches_always(),
        };
        let sessions = if touches { sessions.touch_always() } else { sessions };
        let (manager, name, under_way) = (scope.manager(), cookie.name.clone(), AtomicUsize::new(0));
        Ok(Self { fault, sessions, manager, name, bearer, under_way })
    }

    pub(crate) async fn serve(
        &self,
        mut request: Request<Incoming>,
        connection: &Connection,
        handler: impl FnOnce(Request<Incoming>) -> Handler<Response<Body>>,
    ) -> Response<Body> {
        let fault = self.fault;
        let cookies = self.cookies(request.headers(), connection);
        let ours = self.ours(&cookies);
        if fault == Fault::MalformedCookieIsRefused
            && ours.as_ref().is_some_and(|value| SessionToken::parse(value).is_none())
        {
            return empty(400);
        }
        let exchange = self.begin(request.headers(), &cookies);
        let hidden =
            fault == Fault::InnerSessionHidden && request.extensions().get::<RequestSession>().is_some();
        if !hidden {
            request.extensions_mut().insert(exchange.request().clone());
        }
        if fault == Fault::OpensAlways {
            // A failure is the handler's to see.
            let _ = exchange.request().open().await;
        }
        let reads = request.uri().path().ends_with("/read");
        let others = self.under_way.fetch_add(1, Ordering::SeqCst);
        let under_way = UnderWay(&self.under_way);
        if fault == Fault::CommitsOneAtATime {
            // So that requests at the same time do meet.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (exchange, response) = self.handle(exchange, handler(request)).await;
        drop(under_way);

        let response = match goes_on(&response) {
            Some(GoesOn::Stream) if fault == Fault::BuffersTheBody => buffered(response).await,
            _ => response,
        };
        let status = response.status().as_u16();
        let uncommitted = match fault {
            Fault::CommitsSuccessOnly => status >= 400,
            Fault::CommitsBelow300Only => status >= 300,
            Fault::CommitsNoReads => reads,
            Fault::CommitsOneAtATime => others > 0,
            Fault::CommitsStreamsNever => goes_on(&response) == Some(GoesOn::Stream),
            Fault::CommitsUpgradesNever => goes_on(&response) == Some(GoesOn::Upgrade),
            _ => false,
        };
        let status = if uncommitted { 500 } else { status };
        let status = if fault == Fault::CommitsAlways { 200 } else { status };
        if fault == Fault::CommitsAfterTheHead {
            tokio::spawn(exchange.finish(status));
            return response;
        }
        let session = exchange.request().clone();
        let finished = exchange.finish(status).await;
        let clears = match fault {
            Fault::SupersededIsCleared => {
                finished.vary.is_some() && is(&session, Session::is_superseded).await
            }
            Fault::UnknownIsCleared => {
                ours.is_some() && finished.vary.is_some() && is(&session, Session::is_new).await
            }
            _ => false,
        };
        let response = self.apply(finished, response, ours, clears);
        match (fault, goes_on(&response)) {
            (Fault::CommitsEveryPart, Some(GoesOn::Stream)) => committed(response, session),
            (Fault::StreamsOnePart, Some(GoesOn::Stream)) => {
                response.map(|body| stream(body.into_data_stream().take(1)))
            }
            _ => response,
        }
    }

    async fn handle(
        &self,
        exchange: Exchange,
        handler: Handler<Response<Body>>,
    ) -> (Exchange, Response<Body>) {
        match self.fault {
            Fault::PanicCommits => {
                let answer = AssertUnwindSafe(handler).catch_unwind().await;
                if answer.is_err() {
                    let session = exchange.request().open().await;
                    if let Ok(session) = session {
                        // Whatever becomes of it, the answer is a failure.
                        let _ = session.commit().await;
                    }
                }
                (exchange, answer.unwrap_or_else(|_| empty(500)))
            }
            Fault::PanicForgetsTheEnd => {
                let exchange = ManuallyDrop::new(exchange);
                let answer = handler.await;
                (ManuallyDrop::into_inner(exchange), answer)
            }
            _ => {
                let answer = handler.await;
                (exchange, answer)
            }
        }
    }

    /// The session, for handlers.
    pub(crate) async fn open(&self, request: &Request<Incoming>) -> Result<Session> {
        let Some(session) = request.extensions().get::<RequestSession>().cloned() else {
            return Err(Error::new(ErrorKind::Config, "a request without sessions"));
        };
        let opened = session.open().await;
        match (self.fault, opened) {
            (Fault::StoreDownIsNobody, Err(_)) => self.manager.open(None).await,
            (Fault::StartsAlways, Ok(session)) if session.is_new() => {
                session.insert("started", true)?;
                Ok(session)
            }
            (_, opened) => opened,
        }
    }

    /// The answer where a handler needs a session, and there is none to be had.
    pub(crate) fn no_session(&self, error: &Error) -> Response<Body> {
        let status = if self.fault == Fault::StoreDownIs500 { 500 } else { error.kind().http_status() };
        let mut response = empty(status);
        if self.fault == Fault::StoreDownClearsTheCookie {
            response.headers_mut().append(SET_COOKIE, value(self.removal()));
        }
        response
    }

    fn cookies(&self, headers: &HeaderMap, connection: &Connection) -> Vec<Vec<u8>> {
        let mut cookies: Vec<Vec<u8>> =
            headers.get_all(COOKIE).iter().map(|it| it.as_bytes().to_vec()).collect();
        match self.fault {
            Fault::FirstCookieHeaderOnly => cookies.truncate(1),
            Fault::CookiesAsTextOnly => cookies.retain(|cookie| std::str::from_utf8(cookie).is_ok()),
            Fault::CookieOfTheConnection => {
                let mut first = connection.cookies.lock().expect("no panic under this lock");
                return first.get_or_insert(cookies).clone();
            }
            Fault::FirstCookieOfTheNameOnly => {
                let joined = cookies.join(b"; ".as_slice());
                let prefix = format!("{}=", self.name);
                let mut pairs = joined.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                let first = pairs.find(|pair| pair.starts_with(prefix.as_bytes()));
                return first.map(<[u8]>::to_vec).into_iter().collect();
            }
            _ => {}
        }
        cookies
    }

    /// The first value of our cookie.
    fn ours(&self, cookies: &[Vec<u8>]) -> Option<String> {
        let prefix = format!("{}=", self.name);
        let text = String::from_utf8_lossy(&cookies.join(b"; ".as_slice())).into_owned();
        text.split(';').find_map(|pair| pair.trim().strip_prefix(&prefix).map(str::to_owned))
    }

    fn begin(&self, headers: &HeaderMap, cookies: &[Vec<u8>]) -> Exchange {
        let mut head = Head::new();
        for cookie in cookies {
            head = head.with_cookie(cookie);
        }
        for authorization in headers.get_all(AUTHORIZATION) {
            if self.fault != Fault::BearerNotRead {
                head = head.with_authorization(authorization.as_bytes());
            }
        }
        let bearer = self.ours(cookies).map(|token| format!("Bearer {token}"));
        if let (Fault::CookieAsBearer, Some(bearer)) = (self.fault, &bearer) {
            head = head.with_authorization(bearer.as_bytes());
        }
        self.sessions.begin(&head)
    }

    fn apply(
        &self,
        finished: Finished,
        mut response: Response<Body>,
        ours: Option<String>,
        clears: bool,
    ) -> Response<Body> {
        let fault = self.fault;
        if let Some(error) = &finished.error {
            let status = if fault == Fault::FailedCommitIs500 { 500 } else { error.kind().http_status() };
            match fault {
                Fault::FailedCommitKeepsTheAnswer => {}
                Fault::FailedCommitKeepsTheBody => {
                    *response.status_mut() = status.try_into().expect("a status");
                }
                _ => response = empty(status),
            }
        }
        let succeeded = response.status().is_success();
        let streams = goes_on(&response).is_some();
        let headers = response.headers_mut();

        let removes = finished.set_cookie.as_ref().is_some_and(|cookie| cookie.contains("; Max-Age=0"));
        let sent = match fault {
            Fault::RemovalForgotten => !removes,
            Fault::CookieOnSuccessOnly => succeeded,
            Fault::CookieOfNewSessionsOnly => ours.is_none() || removes,
            Fault::CookieNotWithStreams => !streams,
            Fault::CookieYieldsToOthers => !headers.contains_key(SET_COOKIE),
            _ => true,
        };
        let mut cookie = finished.set_cookie.filter(|_| sent);
        match (fault, &ours) {
            (Fault::RemovalWithoutAttributes, _) if removes => {
                cookie = Some(format!("{}=; Max-Age=0", self.name));
            }
            (Fault::CookieAlways, Some(token)) if cookie.is_none() && !self.bearer => {
                cookie = Some(format!("{}={token}; Path=/; Secure; HttpOnly; SameSite=Lax", self.name));
            }
            _ => {}
        }
        if clears && cookie.is_none() {
            cookie = Some(self.removal());
        }
        if let Some(cookie) = cookie {
            match fault {
                Fault::CookieReplacesOthers => drop(headers.insert(SET_COOKIE, value(cookie))),
                Fault::CookieTwice => {
                    headers.append(SET_COOKIE, value(cookie.clone()));
                    headers.append(SET_COOKIE, value(cookie));
                }
                _ => drop(headers.append(SET_COOKIE, value(cookie))),
            }
        }
        if let Some(token) = finished.session_token {
            if fault == Fault::BearerAlsoAsCookie {
                headers.append(SET_COOKIE, value(format!("{}={token}; Path=/; Secure", self.name)));
            }
            if fault != Fault::SessionTokenNotSent {
                headers.insert(SESSION_TOKEN, value(token));
            }
        }
        let vary = if fault == Fault::VaryAlways { Some("Cookie") } else { finished.vary };
        match (fault, vary) {
            (Fault::VaryForgotten, _) | (_, None) => {}
            (Fault::VaryReplaced, Some(name)) => drop(headers.insert(VARY, HeaderValue::from_static(name))),
            (_, Some(name)) => drop(headers.append(VARY, HeaderValue::from_static(name))),
        }
        let policy = if fault == Fault::NoStoreAlways { Some("no-store") } else { finished.cache_control };
        match (fault, policy) {
            (Fault::NoStoreForgotten, _) | (_, None) => {}
            (Fault::NoStoreAdded, Some(policy)) => {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(policy));
            }
            (_, Some(policy)) => drop(headers.insert(CACHE_CONTROL, HeaderValue::from_static(policy))),
        }
        response
    }

    fn removal(&self) -> String {
        format!("{}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax", self.name)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("fault", &self.fault).finish_non_exhaustive()
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("a header's value")
}

/// Counts a request for as long as it is under way, however it ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn is(session: &RequestSession, property: fn(&Session) -> bool) -> bool {
    session.open().await.is_ok_and(|session| property(&session))
}

async fn buffered(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Response::from_parts(parts, full(body))
}

/// The same answer, with a commit before each of its parts.
fn committed(response: Response<Body>, session: RequestSession) -> Response<Body> {
    response.map(|body| {
        stream(body.into_data_stream().then(move |part| {
            let session = session.clone();
            async move {
                if let Ok(session) = session.open().await {
                    // Whatever becomes of it, the part is sent.
                    let _ = session.commit().await;
                }
                part
            }
        }))
    })
}
