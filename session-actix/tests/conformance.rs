//! The conformance suite for HTTP on this middleware.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

use actix_web::http::StatusCode;
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use conformance_tests::http::{self, Application, Body, HttpHarness, Reply, Scope};
use session_actix::SessionMiddleware;
use session_core::{Error, Result, Session};

#[derive(Debug)]
struct Actix;

impl HttpHarness for Actix {
    fn name(&self) -> &str {
        "actix"
    }

    fn serve(&self, listener: TcpListener, application: Application) -> io::Result<()> {
        let (outer, inner) = (application.outer().clone(), application.inner().clone());
        let outer_sessions = middleware(&outer).map_err(io::Error::other)?;
        let inner_sessions = middleware(&inner).map_err(io::Error::other)?;
        actix_web::rt::System::new().block_on(async {
            let factory = move || {
                let inner = web::scope("/inner").wrap(inner_sessions.clone()).configure(routes(&inner));
                App::new().service(inner).configure(routes(&outer)).wrap(outer_sessions.clone())
            };
            let server = HttpServer::new(factory).workers(2).disable_signals().listen(listener)?.run();
            let handle = server.handle();
            actix_web::rt::spawn(async move {
                application.stopped().await;
                handle.stop(false).await;
            });
            server.await
        })
    }
}

fn middleware(scope: &Scope) -> Result<SessionMiddleware> {
    let sessions = SessionMiddleware::new(scope.manager());
    let sessions =
        if scope.is_bearer() { sessions.bearer() } else { sessions.with_cookie(scope.cookie())? };
    Ok(if scope.touches_always() { sessions.touch_always() } else { sessions })
}

fn routes(scope: &Scope) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let (plain, session, result) = (scope.clone(), scope.clone(), scope.clone());
    move |routes| {
        let plain = move |action: Path<String>| {
            let scope = plain.clone();
            async move { respond(scope.plain(&action).await) }
        };
        let session = move |action: Path<String>, opened: Session| {
            let scope = session.clone();
            async move { scope.session(&action, opened).await.map(respond) }
        };
        let result = move |action: Path<String>, opened: Result<Session, Error>| {
            let scope = result.clone();
            async move { respond(scope.result(&action, opened).await) }
        };
        routes.route("/plain/{action}", web::to(plain));
        routes.route("/session/{action}", web::to(session));
        routes.route("/result/{action}", web::to(result));
    }
}

fn respond(reply: Reply) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).expect("a status"));
    for header in reply.headers {
        response.append_header(header);
    }
    match reply.body {
        Body::Full(bytes) => response.body(bytes),
        Body::Stream(parts) => response.streaming(parts),
        // Here a body after 101 is what is sent in the other protocol.
        Body::Upgrade(parts) => response.upgrade("websocket").streaming(parts),
        other => panic!("a body that this adapter does not know: {other:?}"),
    }
}

fn main() -> ExitCode {
    http::run(Actix, "tests/conformance.expected")
}
