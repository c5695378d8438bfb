//! Requests that never come to an answer: nothing of them is committed but the end of a session.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::COOKIE;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, FromRequest, Handler, Responder, dev::Service as _, rt, web};
use session_core::Session;
use tokio::sync::Notify;

use crate::support::{PATIENCE, Site, count};

async fn panics<H, T>(site: &Site, cookie: &str, handler: H) -> bool
where
    H: Handler<T, Output: Responder + 'static>,
    T: FromRequest + 'static,
{
    let app = init_service(App::new().wrap(site.middleware()).route("/", web::to(handler))).await;
    let request = TestRequest::default().insert_header((COOKIE, cookie)).to_request();
    // As a worker does: in a task, which takes the panic.
    rt::spawn(async move { app.call(request).await.map(drop) }).await.is_err_and(|error| error.is_panic())
}

async fn count_and_panic(session: Session) -> &'static str {
    count(session).await.unwrap();
    panic!("on purpose");
}

async fn destroy_and_panic(session: Session) -> &'static str {
    session.destroy().unwrap();
    panic!("on purpose");
}

#[actix_web::test]
async fn a_panic_commits_nothing_but_an_end() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for cookie in [&cookie, ""] {
        assert!(panics(&site, cookie, count_and_panic).await);
    }
    assert_eq!((site.store.memory.len(), site.n(&cookie).await), (1, Some(1)));
    assert!(panics(&site, &cookie, destroy_and_panic).await);
    site.has_no_session().await;
}

/// Sends a request, waits until its handler has done its `work` on the session, and goes away.
async fn hang_up(site: &Site, cookie: &str, work: fn(&Session)) {
    let reached = Arc::new(Notify::new());
    let here = reached.clone();
    let handler = move |session: Session| {
        let here = here.clone();
        async move {
            work(&session);
            here.notify_one();
            std::future::pending::<()>().await;
            ""
        }
    };
    let app = Rc::new(init_service(App::new().wrap(site.middleware()).route("/", web::to(handler))).await);
    let request = TestRequest::default().insert_header((COOKIE, cookie)).to_request();
    let answer = rt::spawn(async move { app.call(request).await.map(drop) });
    tokio::time::timeout(PATIENCE, reached.notified()).await.unwrap();
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
}

#[actix_web::test]
async fn a_client_that_goes_away_commits_nothing_but_an_end() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for cookie in [&cookie, ""] {
        hang_up(&site, cookie, |session| session.insert("n", 9).unwrap()).await;
    }
    assert_eq!((site.store.memory.len(), site.n(&cookie).await), (1, Some(1)));
    hang_up(&site, &cookie, |session| {
        session.sign_out().unwrap();
        session.flash("signed out").unwrap();
    })
    .await;
    site.has_no_session().await;
}
