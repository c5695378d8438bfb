//! The session as an argument, and what happens where it cannot be had.

use axum::Router;
use axum::routing::get;
use session_core::{Error, ErrorKind, Operation, Result, Session};

use crate::support::{Site, count, read, request, send};

#[tokio::test]
async fn a_store_that_is_down_is_503_and_the_cookie_stays() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Overloaded] {
        site.store.break_down(Operation::Load, kind);
        for handler in [site.app(read), site.app(count), site.app(async |session: Session| session.destroy())]
        {
            let answer = send(handler, request("/", &[&cookie])).await;
            assert_eq!((answer.status, answer.set_cookie()), (503, None));
            assert_eq!(answer.body, kind.to_string(), "a plain line without detail");
        }
        site.store.recover();
    }
    assert_eq!(site.visit(&cookie, read).await.body, "1", "nothing was written after a failed read");
    assert_eq!(site.store.len(), 1);
}

#[tokio::test]
async fn what_is_damaged_is_500_and_the_cookie_stays() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for kind in [ErrorKind::Corrupt, ErrorKind::UnknownFormat, ErrorKind::SchemaMissing] {
        site.store.break_down(Operation::Load, kind);
        let answer = site.visit(&cookie, count).await;
        assert_eq!((answer.status, answer.set_cookie()), (500, None));
    }
}

#[tokio::test]
async fn visitors_without_a_cookie_do_not_notice_a_store_that_is_down() {
    let site = Site::new();
    site.store.break_down(Operation::Load, ErrorKind::Unavailable);
    assert_eq!(site.visit("", read).await.body, "none");
    assert_eq!(site.visit("__Host-session=junk", read).await.body, "none");
}

#[tokio::test]
async fn a_handler_that_takes_the_result_decides_itself() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let decides = async |session: Result<Session, Error>| match session {
        Ok(session) => read(session).await.unwrap(),
        Err(error) => format!("without a session: {}", error.kind()),
    };
    assert_eq!(site.visit(&cookie, decides).await.body, "1");
    site.store.break_down(Operation::Load, ErrorKind::Timeout);
    let answer = site.visit(&cookie, decides).await;
    assert_eq!((answer.status, answer.set_cookie()), (200, None));
    assert_eq!(answer.body, "without a session: the session store did not answer in time");
}

#[tokio::test]
async fn a_failed_lookup_may_be_tried_again_in_the_same_request() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.store.break_down(Operation::Load, ErrorKind::Timeout);
    let store = site.store.clone();
    let patient = async move |request: axum::Extension<session_core::http::RequestSession>| {
        assert_eq!(request.open().await.unwrap_err().kind(), ErrorKind::Timeout);
        store.recover();
        count(request.open().await?).await
    };
    assert_eq!(site.visit(&cookie, patient).await.body, "2");
    assert_eq!(site.n(&cookie).await, Some(2));
}

#[tokio::test]
async fn all_extractors_of_a_request_get_the_same_session() {
    let site = Site::new();
    let both = async |one: Session, two: Session| -> Result<String> {
        one.insert("n", 7)?;
        read(two).await
    };
    let answer = site.visit("", both).await;
    assert_eq!(answer.body, "7");
    assert_eq!(site.n(&answer.cookie()).await, Some(7));
    assert_eq!(site.store.len(), 1);
}

#[tokio::test]
async fn a_route_without_the_layer_says_so() {
    let app = Router::new().route("/", get(read));
    let answer = send(app, request("/", &[])).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, "the session configuration cannot work");
    let shows = async |session: Result<Session, Error>| session.unwrap_err().to_string();
    let app = Router::new().route("/", get(shows));
    let answer = send(app, request("/", &[])).await;
    assert!(answer.body.contains("no session middleware"), "{}", answer.body);
}
