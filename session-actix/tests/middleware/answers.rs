//! Which headers an answer gets, and when.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use actix_web::web::ReqData;
use session_core::http::RequestSession;
use session_core::{Operation, Result, Session};

use crate::support::{Site, count, read};

#[actix_web::test]
async fn a_cookie_comes_with_creating_rotating_and_ending_and_with_nothing_else() {
    let site = Site::new();
    assert_eq!(site.visit("", read).await.set_cookie(), None);
    assert_eq!(site.store.memory.len(), 0);

    let created = site.visit("", count).await;
    let cookie = created.cookie();
    let whole = format!("{cookie}; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax");
    assert_eq!((created.body.as_str(), created.set_cookie()), ("1", Some(whole.as_str())));
    for handler in [count, count] {
        assert_eq!(site.visit(&cookie, handler).await.set_cookie(), None);
    }
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(site.visit(&cookie, read).await.set_cookie(), None, "a touch");

    let sign_in = async |session: Session| session.sign_in("alice").map(|()| "signed in");
    let signed_in = site.visit(&cookie, sign_in).await.cookie();
    assert_ne!(signed_in, cookie);
    assert_eq!(site.visit(&signed_in, read).await.body, "3");
    assert_eq!(site.visit(&cookie, read).await.body, "none", "the earlier token is dead");

    let destroy = async |session: Session| session.destroy().map(|()| "gone");
    let removed = site.visit(&signed_in, destroy).await;
    assert_eq!(
        removed.set_cookie(),
        Some("__Host-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
    );
    assert_eq!(site.store.memory.len(), 0);
    let ended = site.visit(&signed_in, read).await;
    assert_eq!((ended.body.as_str(), ended.set_cookie()), ("none", None));
}

#[actix_web::test]
async fn a_request_that_never_asks_costs_no_io_and_does_not_vary() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.store.take_calls();
    let held = async |_: ReqData<RequestSession>| "held, not opened";
    for answer in [site.visit(&cookie, async || "hello").await, site.visit(&cookie, held).await] {
        assert_eq!((answer.status, answer.vary(), answer.cache_control()), (200, vec![], vec![]));
    }
    assert_eq!(site.store.take_calls(), []);
    assert_eq!(site.visit(&cookie, read).await.vary(), ["Cookie"]);
    assert_eq!(site.store.take_calls(), [Operation::Load]);
}

#[actix_web::test]
async fn an_answer_with_a_cookie_is_not_stored_and_keeps_the_applications_headers() {
    let site = Site::new();
    let own = async |session: Session| -> Result<HttpResponse> {
        session.insert("n", 1)?;
        let mut response = HttpResponse::Ok();
        response.append_header((SET_COOKIE, "theme=dark")).append_header((VARY, "Accept-Encoding"));
        Ok(response.append_header((CACHE_CONTROL, "public")).body("hello"))
    };
    let answer = site.visit("", own).await;
    assert_eq!((answer.body.as_str(), answer.cache_control()), ("hello", vec!["no-store"]));
    assert_eq!(answer.vary(), ["Accept-Encoding", "Cookie"]);
    let [theirs, ours] = answer.all(SET_COOKIE)[..] else { panic!("{answer:?}") };
    assert_eq!(theirs, "theme=dark");
    let cookie = ours.split(';').next().unwrap();
    let again = site.visit(cookie, own).await;
    assert_eq!((again.cache_control(), again.set_cookie()), (vec!["public"], Some("theme=dark")));
}

#[actix_web::test]
async fn bearer_tokens_come_and_go_in_headers_of_their_own() {
    let site = Site::new();
    let created = site.call("", count).await;
    assert_eq!((created.set_cookie(), created.vary()), (None, vec!["Authorization"]));
    assert_eq!(created.cache_control(), ["no-store"]);
    let [token] = created.all("session-token")[..] else { panic!("{created:?}") };

    let again = site.call(token, count).await;
    assert_eq!((again.body.as_str(), again.all("session-token")), ("2", vec![]));
    let removed = site.call(token, async |session: Session| session.destroy().map(|()| "")).await;
    assert_eq!((removed.set_cookie(), removed.all("session-token")), (None, vec![""]));

    let cookie = site.visitor().await;
    let headers = [(actix_web::http::header::COOKIE, cookie.as_str())];
    assert_eq!(site.visit_by(site.middleware().bearer(), &headers, read).await.body, "none");
}

#[actix_web::test]
async fn touch_always_keeps_a_session_alive_that_nobody_asks_for() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let headers = [(actix_web::http::header::COOKIE, cookie.as_str())];
    for _ in 0..3 {
        site.clock.advance(Duration::from_secs(20 * 3600));
        site.store.take_calls();
        let middleware = site.middleware().touch_always();
        let answer = site.visit_by(middleware, &headers, async || "a picture").await;
        assert_eq!((answer.body.as_str(), answer.vary()), ("a picture", vec![]));
        let touched = async {
            let mut calls = Vec::new();
            while !calls.contains(&Operation::Touch) {
                tokio::task::yield_now().await;
                calls.extend(site.store.take_calls());
            }
            calls
        };
        let calls = tokio::time::timeout(crate::support::PATIENCE, touched).await.unwrap();
        assert_eq!(calls, [Operation::Load, Operation::Touch]);
    }
    assert_eq!(site.n(&cookie).await, Some(1));
}
