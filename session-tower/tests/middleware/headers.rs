//! What caches are told, and that the application's own headers stay.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use session_core::http::RequestSession;
use session_core::{Error, ErrorKind, Operation, Result, Session};

use crate::support::{Site, count, read};

#[tokio::test]
async fn answers_vary_by_cookie_exactly_when_the_session_was_asked_for() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for cookie in ["", &cookie] {
        assert_eq!(site.visit(cookie, read).await.vary(), ["Cookie"]);
        assert_eq!(site.visit(cookie, count).await.vary(), ["Cookie"]);
        assert!(site.visit(cookie, async || "hello").await.vary().is_empty());
        let held = async |axum::Extension(_): axum::Extension<RequestSession>| "hello";
        assert!(site.visit(cookie, held).await.vary().is_empty(), "held, not opened");
        let failing = async |_: Session| StatusCode::INTERNAL_SERVER_ERROR;
        assert_eq!(site.visit(cookie, failing).await.vary(), ["Cookie"]);
    }
}

#[tokio::test]
async fn an_answer_to_a_failed_lookup_varies_too() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.store.break_down(Operation::Load, ErrorKind::Unavailable);
    assert_eq!(site.visit(&cookie, read).await.vary(), ["Cookie"]);
    let decides = async |session: Result<Session, Error>| session.is_err().to_string();
    let answer = site.visit(&cookie, decides).await;
    assert_eq!((answer.body.as_str(), answer.vary()), ("true", vec!["Cookie"]));
}

#[tokio::test]
async fn an_answer_to_a_failed_commit_varies_too() {
    let site = Site::new();
    site.store.break_down(Operation::Create, ErrorKind::Unavailable);
    let answer = site.visit("", count).await;
    assert_eq!((answer.status, answer.vary()), (503, vec!["Cookie"]));
}

#[tokio::test]
async fn an_answer_with_the_cookie_is_not_stored_whatever_the_application_says() {
    let site = Site::new();
    let cacheable = async |session: Session| -> Result<_> {
        session.insert("n", 1)?;
        Ok([(CACHE_CONTROL, "public, max-age=3600")])
    };
    let answer = site.visit("", cacheable).await;
    assert_eq!(answer.cache_control(), ["no-store"]);
    let again = site.visit(&answer.cookie(), cacheable).await;
    assert_eq!(again.cache_control(), ["public, max-age=3600"], "no cookie in this one");
    let destroy = async |session: Session| session.destroy().map(|()| [(CACHE_CONTROL, "public")]);
    assert_eq!(site.visit(&answer.cookie(), destroy).await.cache_control(), ["no-store"]);
    assert!(site.visit("", read).await.cache_control().is_empty());
}

#[tokio::test]
async fn the_applications_own_headers_stay() {
    let site = Site::new();
    let own = async |session: Session| -> Result<_> {
        session.insert("n", 1)?;
        Ok(([(SET_COOKIE, "theme=dark"), (VARY, "Accept-Encoding")], "hello"))
    };
    let answer = site.visit("", own).await;
    assert_eq!(answer.all(VARY), ["Accept-Encoding", "Cookie"]);
    let [theirs, ours] = answer.all(SET_COOKIE)[..] else { panic!("{answer:?}") };
    assert_eq!(theirs, "theme=dark");
    assert!(ours.starts_with("__Host-session="));
    assert_eq!(answer.body, "hello");
}
