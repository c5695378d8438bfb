//! A counter and a sign-in on hyper alone: `cargo run -p hyper-example`, then http://127.0.0.1:3000.

use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::LOCATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_example::{failure, session, with_sessions};
use hyper_util::rt::TokioIo;
use session_core::http::HttpSessions;
use session_core::{Key, Result};
use tokio::net::TcpListener;

const VIEWS: Key<u64> = Key::new("views");

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Another store is another URL, and its feature of session-kit: `sqlite:sessions.db`, `postgres://..`.
    let manager = session_kit::connect("memory:").await?;
    // Plain http, so a cookie without `Secure`: for this machine only.
    let sessions = HttpSessions::new(manager).insecure_local();
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let sessions = sessions.clone();
        tokio::spawn(async move {
            let service = service_fn(async |request| {
                Ok::<_, Infallible>(with_sessions(&sessions, request, answer).await)
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}

type Page = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>) -> Page {
    let answer = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => counter(request).await,
        (&Method::POST, "/sign-in") => sign_in(request).await,
        (&Method::POST, "/sign-out") => sign_out(request).await,
        _ => Ok(page(StatusCode::NOT_FOUND, "<p>There is no such page.".to_owned())),
    };
    answer.unwrap_or_else(|error| {
        eprintln!("{error}");
        failure(&error)
    })
}

async fn counter(request: Request<Incoming>) -> Result<Page> {
    let session = session(&request).await?;
    let views = session.update(VIEWS, |views| views.unwrap_or(0) + 1)?;
    let form = match session.principal() {
        Some(principal) => format!(
            "<p>You are {}.<form method=post action=/sign-out><button>Sign out</button></form>",
            escape(principal.as_str())
        ),
        None => "<form method=post action=/sign-in><input name=name aria-label=Name required>\
                 <button>Sign in</button></form>"
            .to_owned(),
    };
    Ok(page(StatusCode::OK, format!("<p>Views of this page: {views}.{form}")))
}

/// Takes everybody's word for who they are: check a password here.
async fn sign_in(request: Request<Incoming>) -> Result<Page> {
    let session = session(&request).await?;
    let body = Limited::new(request.into_body(), 1024).collect().await;
    let name = body.ok().and_then(|body| {
        let form = String::from_utf8(body.to_bytes().to_vec()).ok()?;
        // Letters and digits come as they are in a form; whoever has more takes a crate for forms.
        let name = form.strip_prefix("name=")?;
        let plain =
            !name.is_empty() && name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| name.to_owned())
    });
    let Some(name) = name else {
        return Ok(page(StatusCode::BAD_REQUEST, "<p>A name has letters and digits.".to_owned()));
    };
    // Replaces the token: whoever knew the old one is not signed in by it.
    session.sign_in(&name)?;
    Ok(see_other("/"))
}

async fn sign_out(request: Request<Incoming>) -> Result<Page> {
    session(&request).await?.sign_out()?;
    Ok(see_other("/"))
}

fn page(status: StatusCode, content: String) -> Page {
    let document = format!("<!doctype html><meta charset=utf-8><title>Counter</title>{content}");
    let mut page = Response::new(Full::from(document));
    *page.status_mut() = status;
    page.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/html"));
    page
}

fn see_other(path: &'static str) -> Page {
    let mut page = Response::new(Full::default());
    *page.status_mut() = StatusCode::SEE_OTHER;
    page.headers_mut().insert(LOCATION, hyper::header::HeaderValue::from_static(path));
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
