//! The conformance suite for HTTP on this integration.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

use conformance_tests::http::{self, Application, HttpHarness, Reply, Scope};
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_example::{failure, session, with_sessions};
use hyper_util::rt::TokioIo;
use session_core::Result;
use session_core::http::HttpSessions;
use tokio::io::AsyncWriteExt as _;

type Body = UnsyncBoxBody<Bytes, io::Error>;

#[derive(Debug)]
struct Hyper;

impl HttpHarness for Hyper {
    fn name(&self) -> &str {
        "hyper"
    }

    fn serve(&self, listener: TcpListener, application: Application) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                ended = accept(listener, &application) => ended,
                () = application.clone().stopped() => Ok(()),
            }
        })
    }
}

async fn accept(listener: tokio::net::TcpListener, application: &Application) -> io::Result<()> {
    let scopes = [application.outer(), application.inner()];
    let [outer, inner] = scopes.map(|scope| sessions(scope).map(|sessions| (scope.clone(), sessions)));
    let (outer, inner) = (outer.map_err(io::Error::other)?, inner.map_err(io::Error::other)?);
    loop {
        let (stream, _) = listener.accept().await?;
        let (outer, inner) = (outer.clone(), inner.clone());
        tokio::spawn(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                let answer = async |request: Request<Incoming>| {
                    if request.uri().path().starts_with("/inner/") {
                        with_sessions(&inner.1, request, |request| route(&inner.0, request)).await
                    } else {
                        route(&outer.0, request).await
                    }
                };
                Ok::<_, Infallible>(with_sessions(&outer.1, request, answer).await)
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // The suite breaks connections on purpose.
            let _ = connection.with_upgrades().await;
        });
    }
}

fn sessions(scope: &Scope) -> Result<HttpSessions> {
    let sessions = HttpSessions::new(scope.manager());
    let sessions =
        if scope.is_bearer() { sessions.bearer() } else { sessions.with_cookie(scope.cookie())? };
    Ok(if scope.touches_always() { sessions.touch_always() } else { sessions })
}

async fn route(scope: &Scope, mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let path = request.uri().path().to_owned();
    let mut segments = path.trim_start_matches("/inner").split('/').skip(1);
    let (kind, action) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let reply = match kind {
        "plain" => Ok(scope.plain(action).await),
        "result" => Ok(scope.result(action, session(&request).await).await),
        _ => match session(&request).await {
            Ok(session) => scope.session(action, session).await,
            Err(error) => Err(error),
        },
    };
    reply.map_or_else(|error| failure(&error), |reply| respond(reply, upgrade))
}

fn respond(reply: Reply, upgrade: OnUpgrade) -> Response<Body> {
    let body = match reply.body {
        http::Body::Full(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
        http::Body::Stream(parts) => StreamBody::new(parts.map(|part| part.map(Frame::data))).boxed_unsync(),
        http::Body::Upgrade(mut parts) => {
            tokio::spawn(async move {
                let Ok(connection) = upgrade.await else { return };
                let mut connection = TokioIo::new(connection);
                while let Some(Ok(part)) = parts.next().await {
                    if connection.write_all(&part).await.is_err() {
                        return;
                    }
                }
                // A client that is gone already needs no end.
                let _ = connection.shutdown().await;
            });
            Body::default()
        }
        other => panic!("a body that this adapter does not know: {other:?}"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status.try_into().expect("a status");
    for (name, value) in reply.headers {
        response.headers_mut().append(name, HeaderValue::try_from(value).expect("a header's value"));
    }
    response
}

fn main() -> ExitCode {
    http::run(Hyper, "tests/conformance.expected")
}
