//! A running server: the suite's application behind an integration, and requests over the wire.

use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use session_core::http::SessionCookie;
use session_core::{Result, Session, SessionManager, SessionManagerBuilder, SessionToken};
use tokio::sync::{Notify, watch};

use super::application::{Application, Given, Handlers, Reply, Scope};
use super::client::{Answer, Connection, Request};
use super::context::HttpContext;
use crate::check::{CaseResult, Failure, ensure};
use crate::site::{Site, add_one, id};
use crate::spy::Spy;

/// The cookie of the outer scope.
pub(super) const NAME: &str = "__Host-session";
/// The cookie of the inner one.
pub(super) const INNER_NAME: &str = "__Host-inner";

const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How the application of a case differs from the usual one.
pub(super) struct Plan {
    settings: fn(SessionManagerBuilder) -> SessionManagerBuilder,
    cookie: SessionCookie,
    bearer: bool,
    touch_always: bool,
}

impl Plan {
    /// With other settings of the outer scope's sessions.
    pub(super) fn settings(mut self, settings: fn(SessionManagerBuilder) -> SessionManagerBuilder) -> Self {
        self.settings = settings;
        self
    }

    /// With another cookie of the outer scope.
    pub(super) fn cookie(mut self, cookie: SessionCookie) -> Self {
        self.cookie = cookie;
        self
    }

    /// With bearer tokens in the outer scope.
    pub(super) fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }

    /// With every request of the outer scope as activity.
    pub(super) fn touch_always(mut self) -> Self {
        self.touch_always = true;
        self
    }
}

/// A server under test. It ends with this.
pub(super) struct HttpSite {
    /// The sessions of the outer scope.
    pub(super) outer: Site,
    /// The sessions of the inner one, on a store of their own.
    pub(super) inner: Site,
    http: HttpContext,
    name: String,
    address: SocketAddr,
    handlers: Handlers,
    stop: watch::Sender<bool>,
}

impl HttpSite {
    pub(super) async fn start(http: &HttpContext) -> CaseResult<Self> {
        Self::with(http, |plan| plan).await
    }

    pub(super) async fn with(http: &HttpContext, change: impl FnOnce(Plan) -> Plan) -> CaseResult<Self> {
        let usual = Plan {
            settings: |builder| builder,
            cookie: SessionCookie::new(),
            bearer: false,
            touch_always: false,
        };
        let plan = change(usual);
        let outer = Site::with(&http.ctx, plan.settings)?;
        let inner = Spy::new(http.ctx.open_other(&format!("{}inner", http.ctx.namespace())).await?);
        let manager = SessionManager::builder(inner.clone()).clock(http.ctx.clock().clone()).build()?;
        let inner = Site { ctx: http.ctx.clone(), spy: inner, manager };
        let handlers = Handlers::default();
        let (stop, stopped) = watch::channel(false);
        let scope = |site: &Site, cookie| Scope {
            manager: site.manager.clone(),
            cookie,
            bearer: false,
            touch_always: false,
            handlers: handlers.clone(),
        };
        let outer_scope = scope(&outer, plan.cookie.clone());
        let application = Application {
            outer: Scope { bearer: plan.bearer, touch_always: plan.touch_always, ..outer_scope },
            inner: scope(&inner, SessionCookie::new().with_name(INNER_NAME)),
            stop: stopped,
        };
        let address = serve(http, application)?;
        let name = plan.cookie.name;
        let site = Self { outer, inner, http: http.clone(), name, address, handlers, stop };
        site.add_usual_handlers();
        Ok(site)
    }

    fn add_usual_handlers(&self) {
        self.on_plain("hello", || Reply::text("hello"));
        self.on("read", read);
        self.on("count", |session| {
            add_one(session)?;
            read(session)
        });
        self.on("sign-in", |session| session.sign_in("alice").and_then(|()| read(session)));
        self.on("rotate", |session| session.rotate().and_then(|()| read(session)));
        self.on("destroy", |session| session.destroy().map(|()| Reply::text("destroyed")));
        self.on("sign-out", |session| session.sign_out().map(|()| Reply::text("signed out")));
    }

    /// Adds a handler without a session.
    pub(super) fn on_plain(&self, action: &str, handler: impl Fn() -> Reply + Send + Sync + 'static) {
        self.handlers.insert(action, move |_| std::future::ready(Ok(handler())));
    }

    /// Adds a handler that works on the session in memory.
    pub(super) fn on(
        &self,
        action: &str,
        handler: impl Fn(&Session) -> Result<Reply> + Send + Sync + 'static,
    ) {
        self.handlers.insert(action, move |given| {
            std::future::ready(match given {
                Given::Session(session) => handler(&session),
                Given::Nothing | Given::Outcome(_) => Ok(Reply::new(404)),
            })
        });
    }

    /// Adds a handler that does more with the session.
    pub(super) fn on_async<F>(&self, action: &str, handler: impl Fn(Session) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.handlers.insert(action, move |given| {
            let answer = match given {
                Given::Session(session) => Some(handler(session)),
                Given::Nothing | Given::Outcome(_) => None,
            };
            async {
                match answer {
                    Some(answer) => answer.await,
                    None => Ok(Reply::new(404)),
                }
            }
        });
    }

    /// Adds a handler that is told what became of the session.
    pub(super) fn on_result(
        &self,
        action: &str,
        handler: impl Fn(&Result<Session>) -> Reply + Send + Sync + 'static,
    ) {
        self.handlers.insert(action, move |given| {
            std::future::ready(Ok(match &given {
                Given::Outcome(outcome) => handler(outcome),
                Given::Nothing | Given::Session(_) => Reply::new(404),
            }))
        });
    }

    pub(super) async fn connect(&self) -> CaseResult<Connection> {
        Connection::open(self.address, self.http.patience).await
    }

    /// Sends a request over a connection of its own, which goes on.
    pub(super) async fn begin(&self, request: &Request) -> CaseResult<Connection> {
        let mut connection = self.connect().await?;
        connection.send(request).await?;
        Ok(connection)
    }

    /// A whole request over a connection of its own.
    pub(super) async fn send(&self, request: Request) -> CaseResult<Answer> {
        let mut connection = self.begin(&request).await?;
        let answer = connection.answer().await;
        self.log(&request, &answer);
        answer
    }

    fn log(&self, request: &Request, answer: &CaseResult<Answer>) {
        let answer = match answer {
            Ok(Answer { head, body }) => format!("{head:?} {:?}", body.get(..60).unwrap_or(body)),
            Err(failure) => failure.to_string(),
        };
        self.http.steps.push(format!("{} -> {answer}", request.brief()));
    }

    /// A request with this `Cookie` header, or none if it is empty.
    pub(super) async fn visit(&self, path: &str, cookie: &str) -> CaseResult<Answer> {
        self.send(Request::new(path).with_cookie(cookie)).await
    }

    /// The outer scope's `Set-Cookie` in an answer.
    pub(super) fn set_cookie<'a>(&self, answer: &'a Answer) -> CaseResult<Option<&'a str>> {
        answer.head.set_cookie(&self.name)
    }

    /// The pair that the browser sends after this answer.
    #[track_caller]
    pub(super) fn cookie(&self, answer: &Answer) -> CaseResult<String> {
        let Some(header) = self.set_cookie(answer)? else {
            return Err(Failure::new(format!("the answer sets no cookie: {answer:?}")));
        };
        pair(header)
    }

    /// Fails unless the answer leaves the browser's cookie alone.
    #[track_caller]
    pub(super) fn no_cookie(&self, answer: &Answer, what: &str) -> CaseResult {
        let header = self.set_cookie(answer)?;
        ensure(header.is_none(), format!("{what}: the answer sets a cookie: {header:?}"))
    }

    /// Fails unless the answer makes the browser forget its cookie.
    #[track_caller]
    pub(super) fn cookie_removed(&self, answer: &Answer, what: &str) -> CaseResult {
        let header = self.set_cookie(answer)?.unwrap_or("nothing");
        let removes = header.starts_with(&format!("{}=;", self.name)) && header.contains("; Max-Age=0");
        ensure(removes, format!("{what}: the cookie is not removed, but {header}"))
    }

    /// A visitor whose session holds `n = 0`, made without the integration: the cookie.
    pub(super) async fn visitor(&self) -> CaseResult<String> {
        Ok(format!("{}={}", self.name, self.outer.visit().await?))
    }

    /// The same of somebody who is signed in.
    pub(super) async fn member(&self, principal: &str) -> CaseResult<String> {
        Ok(format!("{}={}", self.name, self.outer.member(principal).await?))
    }

    /// What is stored for this cookie, read without the integration.
    pub(super) async fn n(&self, cookie: &str) -> CaseResult<Option<u64>> {
        let session = self.outer.manager.open(Some(token(cookie))).await?;
        Ok(session.get("n")?)
    }

    /// Fails unless `n` is this for this cookie.
    pub(super) async fn expect_n(&self, cookie: &str, n: u64, what: &str) -> CaseResult {
        crate::check::equal(self.n(cookie).await?, Some(n), what)
    }

    /// Waits for what a handler tells.
    pub(super) async fn heard(&self, signal: &Signal, what: &str) -> CaseResult {
        let heard = tokio::time::timeout(self.http.patience, signal.notify.notified()).await;
        heard.map_err(|_| Failure::new(format!("it never came to this: {what}")))
    }

    /// Waits until `n` is this for this cookie: what happens after an answer, or without one.
    pub(super) async fn until_n(&self, cookie: &str, n: Option<u64>, what: &str) -> CaseResult {
        let reached = async {
            while self.n(cookie).await? != n {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(())
        };
        self.in_time(what, reached).await
    }

    /// Waits until the session of this cookie was touched now.
    pub(super) async fn until_touched(&self, cookie: &str) -> CaseResult {
        let (ctx, id) = (&self.http.ctx, id(token(cookie))?);
        let touched = async {
            while let Some(record) = ctx.backend().load(id, ctx.now()).await? {
                if record.touched_at == ctx.now() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(Failure::new("the session that is to be touched is gone"))
        };
        self.in_time("a touch", touched).await
    }

    async fn in_time(&self, what: &str, reached: impl Future<Output = CaseResult>) -> CaseResult {
        let reached = tokio::time::timeout(self.http.patience, reached).await;
        reached.unwrap_or_else(|_| Err(Failure::new(format!("it never came to this: {what}"))))
    }
}

impl Drop for HttpSite {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl fmt::Debug for HttpSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSite").field("address", &self.address).finish_non_exhaustive()
    }
}

fn serve(http: &HttpContext, application: Application) -> CaseResult<SocketAddr> {
    let failed = |error: std::io::Error| Failure::new(format!("no socket for the server: {error}"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (harness, steps) = (http.harness.clone(), http.steps.clone());
    let body = move || {
        if let Err(error) = harness.serve(listener, application) {
            steps.push(format!("the server failed: {error}"));
        }
    };
    thread::Builder::new().name("server".into()).spawn(body).map_err(failed)?;
    Ok(address)
}

/// `n`, or `none`.
pub(super) fn read(session: &Session) -> Result<Reply> {
    Ok(Reply::text(session.get::<u64>("n")?.map_or("none".to_owned(), |n| n.to_string())))
}

/// The `name=token` of a `Set-Cookie` header that hands one out.
#[track_caller]
pub(super) fn pair(header: &str) -> CaseResult<String> {
    let (pair, _) = header.split_once(';').unwrap_or((header, ""));
    ensure(SessionToken::parse(token(pair)).is_some(), format!("no token in the cookie: {header}"))?;
    Ok(pair.to_owned())
}

/// The token in `name=token`.
pub(super) fn token(cookie: &str) -> &str {
    cookie.split_once('=').map_or("", |(_, token)| token)
}

/// What a handler tells its case, or the other way round: once for each listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Signal {
    notify: Arc<Notify>,
}

impl Signal {
    pub(super) fn tell(&self) {
        self.notify.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }
}

/// Tells when it is dropped: where a handler ends that never answers.
#[derive(Debug)]
pub(super) struct TellsItsEnd(pub(super) Signal);

impl Drop for TellsItsEnd {
    fn drop(&mut self) {
        self.0.tell();
    }
}
