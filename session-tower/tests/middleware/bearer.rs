//! Tokens in headers instead of a cookie, for clients that are no browsers.

use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE};
use axum::routing::any;
use session_core::{Error, Operation, Result, Session, SessionToken};

use crate::support::{Answer, Site, count, read, request, send};

/// Answers a request with these headers.
async fn call<H: Handler<T, ()>, T: 'static>(site: &Site, headers: &[(&str, &str)], handler: H) -> Answer {
    let app = Router::new().route("/", any(handler)).layer(site.layer().bearer());
    let mut request = request("/", &[]);
    for (name, value) in headers {
        let name = axum::http::HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = send(app, request).await;
    assert_eq!(answer.set_cookie(), None, "never also a cookie");
    answer
}

async fn call_with<H: Handler<T, ()>, T: 'static>(site: &Site, token: &str, handler: H) -> Answer {
    call(site, &[(AUTHORIZATION.as_str(), &format!("Bearer {token}"))], handler).await
}

/// The client's token from now on.
fn token(answer: &Answer) -> String {
    let [token] = answer.all("session-token")[..] else { panic!("{answer:?}") };
    assert!(SessionToken::parse(token).is_some(), "{token}");
    assert_eq!(answer.cache_control(), ["no-store"]);
    token.to_owned()
}

#[tokio::test]
async fn creating_and_rotating_hand_out_a_token_and_nothing_else_does() {
    let site = Site::new();
    let created = call(&site, &[], count).await;
    let first = token(&created);
    assert_eq!(created.vary(), ["Authorization"]);
    for handler in [count, count] {
        let answer = call_with(&site, &first, handler).await;
        assert!(answer.all("session-token").is_empty() && answer.cache_control().is_empty());
        assert_eq!(answer.vary(), ["Authorization"]);
    }
    let signed_in = call_with(&site, &first, async |session: Session| session.sign_in("alice")).await;
    let second = token(&signed_in);
    assert_ne!(second, first);
    assert_eq!(call_with(&site, &second, read).await.body, "3");
    assert_eq!(call_with(&site, &first, read).await.body, "none");
}

#[tokio::test]
async fn ending_a_session_sends_an_empty_token() {
    for status in [200, 500] {
        let site = Site::new();
        let first = token(&call(&site, &[], count).await);
        let destroy = async move |session: Session| -> Result<_> {
            session.destroy()?;
            Ok((axum::http::StatusCode::from_u16(status).unwrap(), [(CACHE_CONTROL, "public")]))
        };
        let answer = call_with(&site, &first, destroy).await;
        assert_eq!((answer.status, answer.all("session-token")), (status, vec![""]));
        assert_eq!(answer.cache_control(), ["no-store"]);
        assert_eq!(site.store.len(), 0);
        let unknown = call_with(&site, &first, read).await;
        assert!(unknown.all("session-token").is_empty(), "the client may hold a newer one by now");
    }
}

#[tokio::test]
async fn the_applications_own_session_token_header_is_replaced() {
    let site = Site::new();
    let own = async |session: Session| -> Result<_> {
        session.insert("n", 1)?;
        Ok([("session-token", "the application's")])
    };
    assert_ne!(token(&call(&site, &[], own).await), "the application's");
}

#[tokio::test]
async fn cookies_are_not_looked_at() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let answer = call(&site, &[(COOKIE.as_str(), &cookie)], read).await;
    assert_eq!(answer.body, "none");
    let (_, value) = cookie.split_once('=').unwrap();
    assert_eq!(call_with(&site, value, read).await.body, "1", "a token is a token");
    let mut request = request("/", &[]);
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {value}").parse().unwrap());
    assert_eq!(send(site.app(read), request).await.body, "none", "nor is the other header");
}

#[tokio::test]
async fn what_is_no_bearer_token_costs_no_io() {
    let site = Site::new();
    let first = token(&call(&site, &[], count).await);
    site.store.take_calls();
    let basic = format!("Basic {first}");
    let long = format!("Bearer {}", "A".repeat(8192));
    for header in ["", "Bearer", "Bearer ", "Bearer junk", &basic, &long, &first] {
        let answer = call(&site, &[(AUTHORIZATION.as_str(), header)], read).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "none"), "{header}");
    }
    assert_eq!(site.store.take_calls(), []);
}

#[tokio::test]
async fn two_headers_of_two_live_sessions_open_neither() {
    let site = Site::new();
    let (one, two) = (token(&call(&site, &[], count).await), token(&call(&site, &[], count).await));
    let name = AUTHORIZATION.as_str();
    let headers = [(name, &format!("Bearer {one}")[..]), (name, &format!("Bearer {two}")[..])];
    assert_eq!(call(&site, &headers, read).await.body, "none");
    assert_eq!(site.sessions.stats().ambiguous_total, 1);
}

#[tokio::test]
async fn a_store_that_is_down_takes_no_token_away() {
    let site = Site::new();
    let first = token(&call(&site, &[], count).await);
    for operation in [Operation::Load, Operation::Update] {
        site.store.break_down(operation, session_core::ErrorKind::Unavailable);
        let answer = call_with(&site, &first, count).await;
        assert_eq!((answer.status, answer.vary()), (503, vec!["Authorization"]));
        assert!(answer.all("session-token").is_empty());
        site.store.recover();
    }
    assert_eq!(call_with(&site, &first, read).await.body, "1");
}

#[tokio::test]
async fn a_token_that_is_replaced_periodically_is_handed_out() {
    let site = Site::with(|builder| builder.rotate_every(Duration::from_secs(3600)));
    let sign_in = async |session: Session| -> Result<(), Error> {
        session.insert("n", 1)?;
        session.sign_in("alice")
    };
    let first = token(&call(&site, &[], sign_in).await);
    site.clock.advance(Duration::from_secs(3600));
    let second = token(&call_with(&site, &first, read).await);
    for known in [&first, &second] {
        assert_eq!(call_with(&site, known, read).await.body, "1");
    }
}
