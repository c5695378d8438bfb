//! A server on hyper alone with the suite's application.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use conformance_tests::http::{Application, HttpHarness, Scope};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::answer::{Body, empty, respond};
use crate::fault::Fault;
use crate::sessions::{Connection, Sessions};

/// The integration that breaks this rule.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) fault: Fault,
}

impl HttpHarness for Server {
    fn name(&self) -> &str {
        "broken"
    }

    fn serve(&self, listener: TcpListener, application: Application) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let routes = Routes::new(self.fault, &application).map_err(io::Error::other)?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                ended = accept(listener, Arc::new(routes)) => ended,
                () = application.stopped() => Ok(()),
            }
        })
    }
}

async fn accept(listener: tokio::net::TcpListener, routes: Arc<Routes>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (routes, state) = (routes.clone(), Arc::new(Connection::default()));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = routes.clone().answer(request, state.clone());
                async { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // The suite breaks connections on purpose.
            let _ = connection.with_upgrades().await;
        });
    }
}

#[derive(Debug)]
struct Routes {
    fault: Fault,
    outer: (Scope, Arc<Sessions>),
    inner: (Scope, Arc<Sessions>),
}

impl Routes {
    fn new(fault: Fault, application: &Application) -> session_core::Result<Self> {
        let (outer, inner) = (application.outer(), application.inner());
        let inner_sessions = match fault {
            Fault::OuterSessionsInside => Sessions::new(fault, outer, &inner.cookie())?,
            Fault::OuterCookieInside => Sessions::new(fault, inner, &outer.cookie())?,
            _ => Sessions::new(fault, inner, &inner.cookie())?,
        };
        let outer_sessions = Sessions::new(fault, outer, &outer.cookie())?;
        Ok(Self {
            fault,
            outer: (outer.clone(), Arc::new(outer_sessions)),
            inner: (inner.clone(), Arc::new(inner_sessions)),
        })
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, state: Arc<Connection>) -> Response<Body> {
        let fault = self.fault;
        let sessions = self.outer.1.clone();
        let (inner, connection) = (state.clone(), state.clone());
        let handler = move |request| -> BoxFuture<'static, _> { Box::pin(self.inside(request, inner)) };
        let answer = async move { sessions.serve(request, &connection, handler).await };
        if fault != Fault::HandlerOutlivesTheClient {
            return answer.await;
        }
        tokio::spawn(answer).await.unwrap_or_else(|_| empty(500))
    }

    async fn inside(self: Arc<Self>, request: Request<Incoming>, state: Arc<Connection>) -> Response<Body> {
        if !request.uri().path().starts_with("/inner/") {
            return route(&self.outer.0, &self.outer.1, request).await;
        }
        let (scope, sessions) = self.inner.clone();
        let handler = move |request| -> BoxFuture<'static, _> {
            Box::pin(async move { route(&scope, &sessions, request).await })
        };
        self.inner.1.serve(request, &state, handler).await
    }
}

async fn route(scope: &Scope, sessions: &Sessions, mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let path = request.uri().path().to_owned();
    let mut segments = path.trim_start_matches("/inner").split('/').skip(1);
    let (kind, action) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    if kind == "plain" {
        return respond(scope.plain(action).await, upgrade);
    }
    let opened = sessions.open(&request).await;
    let reply = match (kind, opened) {
        ("result", opened) if sessions.fault != Fault::ResultsAreErrors || opened.is_ok() => {
            Ok(scope.result(action, opened).await)
        }
        (_, Ok(session)) => scope.session(action, session).await,
        (_, Err(error)) => return sessions.no_session(&error),
    };
    match reply {
        Ok(reply) => respond(reply, upgrade),
        Err(_) if sessions.fault == Fault::ErrorsAre500 => empty(500),
        Err(error) => empty(error.kind().http_status()),
    }
}
