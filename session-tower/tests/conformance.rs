//! The conformance suite for HTTP on this middleware, in an axum application.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::any;
use conformance_tests::http::{self, Application, HttpHarness, Reply, Scope};
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use session_core::{Error, Result, Session};
use session_tower::SessionLayer;
use tokio::io::AsyncWriteExt as _;

#[derive(Debug)]
struct Tower;

impl HttpHarness for Tower {
    fn name(&self) -> &str {
        "tower"
    }

    fn serve(&self, listener: TcpListener, application: Application) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = router(&application).map_err(io::Error::other)?;
            tokio::select! {
                ended = axum::serve(listener, router) => ended,
                () = application.stopped() => Ok(()),
            }
        })
    }
}

fn router(application: &Application) -> Result<Router> {
    let (outer, inner) = (application.outer(), application.inner());
    let inner = routes(inner).layer(layer(inner)?);
    Ok(routes(outer).nest("/inner", inner).layer(layer(outer)?))
}

fn layer(scope: &Scope) -> Result<SessionLayer> {
    let layer = SessionLayer::new(scope.manager());
    let layer = if scope.is_bearer() { layer.bearer() } else { layer.with_cookie(scope.cookie())? };
    Ok(if scope.touches_always() { layer.touch_always() } else { layer })
}

fn routes(scope: &Scope) -> Router {
    let (plain, session, result) = (scope.clone(), scope.clone(), scope.clone());
    let plain = async move |Path(action): Path<String>, request: Request| {
        respond(plain.plain(&action).await, request)
    };
    let session = async move |Path(action): Path<String>, opened: Session, request: Request| {
        session.session(&action, opened).await.map(|reply| respond(reply, request))
    };
    let result = async move |Path(action): Path<String>, opened: Result<Session, Error>, request: Request| {
        respond(result.result(&action, opened).await, request)
    };
    Router::new()
        .route("/plain/{action}", any(plain))
        .route("/session/{action}", any(session))
        .route("/result/{action}", any(result))
}

fn respond(reply: Reply, request: Request) -> Response {
    let body = match reply.body {
        http::Body::Full(bytes) => Body::from(bytes),
        http::Body::Stream(parts) => Body::from_stream(parts),
        http::Body::Upgrade(mut parts) => {
            tokio::spawn(async move {
                let Ok(connection) = hyper::upgrade::on(request).await else { return };
                let mut connection = TokioIo::new(connection);
                while let Some(Ok(part)) = parts.next().await {
                    if connection.write_all(&part).await.is_err() {
                        return;
                    }
                }
                // A client that is gone already needs no end.
                let _ = connection.shutdown().await;
            });
            Body::empty()
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
    http::run(Tower, "tests/conformance.expected")
}
