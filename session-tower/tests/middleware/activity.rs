//! What keeps a session alive where every request counts as activity.

use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::any;
use session_core::{ErrorKind, Operation, Result, Session};

use crate::support::{Answer, NAME, Site, count, read, request, send};

const HOUR: Duration = Duration::from_secs(3600);

async fn picture() -> &'static str {
    "a picture"
}

async fn visit<H: Handler<T, ()>, T: 'static>(site: &Site, cookie: &str, handler: H) -> Answer {
    let app = Router::new().route("/", any(handler)).layer(site.layer().touch_always());
    send(app, request("/", &[cookie])).await
}

#[tokio::test]
async fn a_request_that_does_not_ask_keeps_the_session_alive() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    for _ in 0..5 {
        site.clock.advance(HOUR / 2);
        site.store.take_calls();
        let answer = visit(&site, &cookie, picture).await;
        assert_eq!((answer.body.as_str(), answer.set_cookie()), ("a picture", None));
        assert!(answer.vary().is_empty(), "the answer does not depend on it");
        site.store.has_ended(Operation::Touch).await;
        assert_eq!(site.store.take_calls(), [Operation::Load, Operation::Touch]);
    }
    assert_eq!(site.n(&cookie).await, Some(1));
}

#[tokio::test]
async fn by_default_it_costs_nothing_afterwards_either() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    site.clock.advance(HOUR / 2);
    site.store.take_calls();
    site.visit(&cookie, picture).await;
    assert_eq!(site.last_calls().await, []);
}

#[tokio::test]
async fn a_touch_that_is_not_due_is_not_sent() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    site.store.take_calls();
    visit(&site, &cookie, picture).await;
    assert_eq!(site.last_calls().await, [Operation::Load]);
}

#[tokio::test]
async fn a_request_that_asks_costs_what_it_did() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    site.clock.advance(HOUR / 2);
    site.store.take_calls();
    assert_eq!(visit(&site, &cookie, read).await.body, "1");
    visit(&site, &cookie, count).await;
    let (read, counted) = ([Operation::Load, Operation::Touch], [Operation::Load, Operation::Update]);
    assert_eq!(site.last_calls().await, [read, counted].concat());
}

#[tokio::test]
async fn who_has_no_token_or_a_bad_answer_touches_nothing() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    site.clock.advance(HOUR / 2);
    site.store.take_calls();
    visit(&site, "a=b", picture).await;
    visit(&site, &format!("{NAME}=junk"), picture).await;
    visit(&site, &cookie, async || StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(site.last_calls().await, []);
}

#[tokio::test]
async fn the_answer_waits_for_no_store_and_fails_with_none() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    site.clock.advance(HOUR / 2);
    site.store.take_calls();
    site.store.hold(Operation::Load);
    assert_eq!(visit(&site, &cookie, picture).await.status, 200);
    site.store.release();
    site.store.has_ended(Operation::Touch).await;

    site.store.take_calls();
    site.store.break_down(Operation::Load, ErrorKind::Unavailable);
    let answer = visit(&site, &cookie, picture).await;
    assert_eq!((answer.status, answer.set_cookie()), (200, None));
    site.store.has_ended(Operation::Load).await;
}

#[tokio::test]
async fn a_rotation_that_is_due_waits_for_a_request_that_asks() {
    let site = Site::with(|builder| builder.idle_timeout(2 * HOUR).rotate_every(HOUR));
    let sign_in = async |session: Session| -> Result<()> {
        session.insert("n", 1)?;
        session.sign_in("alice")
    };
    let cookie = site.visit("", sign_in).await.cookie();
    site.clock.advance(HOUR);
    site.store.take_calls();
    assert_eq!(visit(&site, &cookie, picture).await.set_cookie(), None);
    site.store.has_ended(Operation::Touch).await;
    assert_eq!(site.store.take_calls(), [Operation::Load, Operation::Touch]);
    let _ = visit(&site, &cookie, read).await.cookie();
}
