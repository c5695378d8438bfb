//! Who is let in, and who is not.

use session_kit::{Committed, SessionManager};

use crate::site::Site;

#[tokio::test]
async fn signing_in_opens_the_account() {
    let site = Site::new().await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/account").await.0, 303, "a stranger is sent to the form");
    assert_eq!(browser.post("/sign-in", "name=alice&password=wrong").await.0, 401);
    assert_eq!(browser.post("/sign-in", "name=nobody&password=wonderland").await.0, 401);
    assert_eq!(browser.cookie, None, "nothing was stored");

    assert_eq!(browser.post("/sign-in", "name=alice&password=wonderland").await.0, 303);
    let (status, page) = browser.get("/account").await;
    assert_eq!(status, 200);
    assert!(page.starts_with("alice"), "{page}");
}

/// What the browser of somebody sends who is signed in.
async fn signed_in_cookie(sessions: &SessionManager, id: &str) -> String {
    let session = sessions.open(None).await.unwrap();
    session.sign_in(id).unwrap();
    session.insert("sign_in.password_epoch", 0).unwrap();
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no token") };
    format!("__Host-session={}", token.expose())
}

#[tokio::test]
async fn a_session_from_the_manager_is_as_good_as_one_from_the_form() {
    let site = Site::new().await;
    let mut browser = site.browser();
    browser.cookie = Some(signed_in_cookie(&site.sessions, "1").await);
    assert_eq!(browser.get("/account").await.0, 200);
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let site = Site::new().await;
    let mut browser = site.alice().await;
    let old = browser.cookie.clone();
    assert_eq!(browser.post("/sign-out", "").await.0, 303);
    assert_ne!(browser.cookie, old);
    assert_eq!(browser.get("/account").await.0, 303);
    browser.cookie = old;
    assert_eq!(browser.get("/account").await.0, 303, "a copy of the cookie");
}

#[tokio::test]
async fn strangers_who_sign_out_leave_nothing_behind() {
    let site = Site::new().await;
    let mut browser = site.browser();
    assert_eq!(browser.post("/sign-out", "").await.0, 303);
    assert_eq!(browser.cookie, None);
    assert_eq!(site.sessions.stats().created_total, 0);
}

#[tokio::test]
async fn one_account_has_five_sessions_at_most() {
    let site = Site::new().await;
    let mut first = site.alice().await;
    for _ in 0..5 {
        site.clock.advance(std::time::Duration::from_secs(1));
        site.alice().await;
    }
    assert_eq!(first.get("/account").await.0, 303, "the one that signed in longest ago gives way");
    assert_eq!(site.sessions.list("1").await.unwrap().len(), 5);
}
