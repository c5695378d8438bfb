//! What time does to a session.

use std::time::Duration;

use accounts_example::FRESH;

use crate::site::Site;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_session_ends_after_half_an_hour_without_a_request() {
    let site = Site::new().await;
    let mut alice = site.alice().await;
    site.clock.advance(29 * MINUTE);
    assert_eq!(alice.get("/account").await.0, 200);
    site.clock.advance(29 * MINUTE);
    assert_eq!(alice.get("/account").await.0, 200, "the last request counted");
    site.clock.advance(30 * MINUTE);
    assert_eq!(alice.get("/account").await.0, 303);
}

#[tokio::test]
async fn a_session_in_use_ends_with_the_working_day() {
    let site = Site::new().await;
    let mut alice = site.alice().await;
    for _ in 0..(12 * 3 - 1) {
        site.clock.advance(20 * MINUTE);
        assert_eq!(alice.get("/account").await.0, 200);
    }
    site.clock.advance(20 * MINUTE);
    assert_eq!(alice.get("/account").await.0, 303);
}

#[tokio::test]
async fn a_remembered_sign_in_outlives_the_browser() {
    let site = Site::new().await;
    let mut browser = site.browser();
    browser.post("/sign-in", "name=alice&password=wonderland&remember=true").await;
    site.clock.advance(29 * DAY);
    assert_eq!(browser.get("/account").await.0, 200);
    site.clock.advance(30 * DAY);
    assert_eq!(browser.get("/account").await.0, 303);
}

#[tokio::test]
async fn the_token_is_replaced_while_it_is_in_use() {
    let site = Site::new().await;
    let mut alice = site.alice().await;
    let first = alice.cookie.clone();
    site.clock.advance(16 * MINUTE);
    assert_eq!(alice.get("/account").await.0, 200);
    assert_ne!(alice.cookie, first);
    assert_eq!(alice.get("/account").await.0, 200);
}

#[tokio::test]
async fn what_matters_most_wants_a_fresh_password() {
    let site = Site::new().await;
    let mut alice = site.alice().await;
    assert_eq!(alice.get("/recovery-codes").await.0, 200);
    site.clock.advance(FRESH);
    assert_eq!(alice.get("/recovery-codes").await.0, 403);
    assert_eq!(alice.get("/account").await.0, 200);

    assert_eq!(alice.post("/confirm", "password=wrong").await.0, 401);
    assert_eq!(alice.get("/recovery-codes").await.0, 403);
    assert_eq!(alice.post("/confirm", "password=wonderland").await.0, 303);
    assert_eq!(alice.get("/recovery-codes").await.0, 200);
}
