//! Requests that never come to an answer: nothing of them is committed but the end of a session.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use session_core::http::{Head, HttpSessions, RequestSession};
use session_core::{Operation, Session};
use tokio::sync::Notify;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::support::{PATIENCE, Site, count, request};

async fn count_and_panic(session: Session) {
    count(session).await.unwrap();
    panic!("on purpose");
}

async fn destroy_and_panic(session: Session) {
    session.destroy().unwrap();
    panic!("on purpose");
}

/// Runs a request as a server does: in a task, which takes the panic.
async fn panics(app: axum::Router, cookie: &str) -> bool {
    let request = request("/", &[cookie]);
    tokio::spawn(app.oneshot(request)).await.is_err_and(|error| error.is_panic())
}

#[tokio::test]
async fn a_panic_commits_nothing() {
    let site = Site::new();
    let cookie = site.visitor().await;
    assert!(panics(site.app(count_and_panic), &cookie).await);
    assert!(panics(site.app(count_and_panic), "").await);
    assert_eq!((site.store.len(), site.n(&cookie).await), (1, Some(1)));
}

#[tokio::test]
async fn a_panic_still_ends_the_session() {
    let site = Site::new();
    let cookie = site.visitor().await;
    assert!(panics(site.app(destroy_and_panic), &cookie).await);
    site.store.has_ended(Operation::Delete).await;
    assert_eq!(site.store.len(), 0);
}

/// Sends a request, waits until its handler is at `reached`, and goes away.
async fn hang_up(app: axum::Router, cookie: &str, reached: &Notify) {
    let mut answer = Box::pin(app.oneshot(request("/", &[cookie])));
    let at_the_point = tokio::time::timeout(PATIENCE, reached.notified());
    tokio::select! {
        biased;
        answer = &mut answer => panic!("an answer: {answer:?}"),
        reached = at_the_point => reached.unwrap(),
    }
}

#[tokio::test]
async fn a_client_that_goes_away_commits_nothing() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for cookie in [&cookie, ""] {
        let reached = Arc::new(Notify::new());
        let here = reached.clone();
        let handler = async move |session: Session| {
            count(session).await.unwrap();
            here.notify_one();
            std::future::pending::<()>().await;
        };
        hang_up(site.app(handler), cookie, &reached).await;
    }
    assert_eq!((site.store.len(), site.n(&cookie).await), (1, Some(1)));
}

#[tokio::test]
async fn a_client_that_goes_away_still_ends_the_session() {
    let site = Site::new();
    for signs_out in [true, false] {
        let cookie = site.visitor().await;
        let reached = Arc::new(Notify::new());
        let here = reached.clone();
        let handler = async move |session: Session| {
            if signs_out {
                session.sign_out().unwrap();
                session.flash("signed out").unwrap();
            } else {
                session.destroy().unwrap();
            }
            here.notify_one();
            std::future::pending::<()>().await;
        };
        site.store.take_calls();
        hang_up(site.app(handler), &cookie, &reached).await;
        site.store.has_ended(Operation::Delete).await;
        assert_eq!(site.store.len(), 0, "and the message is not stored");
    }
}

#[tokio::test]
async fn a_finish_that_nobody_waits_for_commits_nothing_but_an_end() {
    for ends in [false, true] {
        let site = Site::new();
        let cookie = site.visitor().await;
        let exchange =
            HttpSessions::new(site.sessions.clone()).begin(&Head::new().with_cookie(cookie.as_bytes()));
        let session = exchange.request().open().await.unwrap();
        session.insert("n", 9).unwrap();
        if ends {
            session.destroy().unwrap();
        }
        drop(exchange.finish(200));
        if ends {
            site.store.has_ended(Operation::Delete).await;
            assert_eq!(site.store.len(), 0);
        } else {
            assert_eq!(site.n(&cookie).await, Some(1));
        }
    }
}

#[tokio::test]
async fn a_commit_under_way_goes_on_when_the_client_goes_away() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let mut answer = Box::pin(site.app(count).oneshot(request("/", &[&cookie])));
    site.store.hold(Operation::Update);
    tokio::select! {
        biased;
        answer = &mut answer => panic!("an answer: {answer:?}"),
        () = site.store.has_begun(Operation::Update) => {}
    }
    drop(answer);
    assert_eq!(site.n(&cookie).await, Some(1));
    site.store.release();
    site.store.has_ended(Operation::Update).await;
    assert_eq!(site.n(&cookie).await, Some(2));
}

#[tokio::test]
async fn an_error_of_the_inner_service_commits_nothing_but_an_end() {
    for ends in [false, true] {
        let site = Site::new();
        let cookie = site.visitor().await;
        let failing = service_fn(move |request: Request<Body>| async move {
            let session = request.extensions().get::<RequestSession>().unwrap().open().await.unwrap();
            if ends {
                session.destroy().unwrap();
            } else {
                session.insert("n", 9).unwrap();
            }
            Err::<Response<Body>, _>("the connection broke")
        });
        let answer = site.layer().layer(failing).oneshot(request("/", &[&cookie])).await;
        assert_eq!(answer.unwrap_err(), "the connection broke");
        if ends {
            site.store.has_ended(Operation::Delete).await;
            assert_eq!(site.store.len(), 0);
        } else {
            assert_eq!(site.n(&cookie).await, Some(1));
        }
    }
}

#[tokio::test]
async fn the_inner_services_readiness_is_passed_on() {
    let site = Site::new();
    let busy = tower::util::BoxService::new(Busy);
    let mut service = site.layer().layer(busy);
    let ready =
        std::future::poll_fn(|context| std::task::Poll::Ready(service.poll_ready(context).is_ready()));
    assert!(!ready.await);
}

struct Busy;

impl Service<Request<Body>> for Busy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Pending
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        panic!("it is not ready");
    }
}
