//! Forms that only the application's own pages can send, and the devices that they end.

use crate::browser::Browser;
use crate::site::Site;

/// The token of the forms on a page of the account.
pub(crate) async fn form_token(browser: &mut Browser) -> String {
    let (status, page) = browser.get("/account").await;
    assert_eq!(status, 200);
    page.split_whitespace().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_form_without_the_sign_ins_token_is_refused() {
    let site = Site::new().await;
    let (mut alice, mut other) = (site.alice().await, site.alice().await);
    let of_the_other = form_token(&mut other).await;
    assert_eq!(of_the_other.len(), 32);
    for token in ["", "0", &of_the_other] {
        let form = format!("form_token={token}");
        assert_eq!(alice.post("/devices/sign-out-others", &form).await.0, 403, "{token:?}");
    }
    assert_eq!(other.get("/account").await.0, 200);
}

#[tokio::test]
async fn a_session_without_a_token_accepts_no_form() {
    let site = Site::new().await;
    let mut browser = site.alice().await;
    let token = browser.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
    let session = site.sessions.open(Some(&token)).await.unwrap();
    session.remove("sign_in.form_token").unwrap();
    let _ = session.commit().await.unwrap();
    assert_eq!(browser.post("/devices/sign-out-others", "form_token=").await.0, 403);
}

#[tokio::test]
async fn devices_are_listed_and_ended() {
    let site = Site::new().await;
    let (mut here, mut there) = (site.alice().await, site.alice().await);
    let (_, page) = here.get("/devices").await;
    assert_eq!(page.lines().count(), 2);
    let other = page.lines().find(|line| !line.contains("this one")).unwrap();
    let id = other.split_whitespace().next().unwrap().to_owned();

    let form = format!("form_token={}", form_token(&mut here).await);
    assert_eq!(here.post(&format!("/devices/{id}/sign-out"), &form).await.0, 303);
    assert_eq!(there.get("/account").await.0, 303);
    assert_eq!(here.post(&format!("/devices/{id}/sign-out"), &form).await.0, 404, "it has ended");
    assert_eq!(here.post("/devices/what/sign-out", &form).await.0, 404);
}

#[tokio::test]
async fn a_damaged_session_is_listed_among_the_others_and_can_be_ended() {
    let site = Site::new().await;
    let (mut here, mut there) = (site.alice().await, site.alice().await);
    let token = there.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
    let damaged = site.sessions.open(Some(&token)).await.unwrap();
    damaged.insert("sign_in.device", 5).unwrap();
    let _ = damaged.commit().await.unwrap();
    let id = damaged.id().unwrap().to_string();

    let (status, page) = here.get("/devices").await;
    assert_eq!((status.as_u16(), page.lines().count()), (200, 2), "{page}");
    assert!(page.lines().any(|line| line == format!("{id} unknown")), "{page}");
    let form = format!("form_token={}", form_token(&mut here).await);
    assert_eq!(here.post(&format!("/devices/{id}/sign-out"), &form).await.0, 303);
    assert_eq!(there.get("/account").await.0, 303);
}

#[tokio::test]
async fn a_form_stays_good_when_the_password_is_checked_once_more() {
    let site = Site::new().await;
    let mut alice = site.alice().await;
    let token = form_token(&mut alice).await;
    for (path, form) in [("/confirm", "password=wonderland"), ("/sign-in", "name=alice&password=wonderland")]
    {
        let cookie = alice.cookie.clone();
        assert_eq!(alice.post(path, form).await.0, 303);
        assert_ne!(alice.cookie, cookie, "{path}");
        let form = format!("form_token={token}");
        assert_eq!(alice.post("/devices/sign-out-others", &form).await.0, 303, "{path}");
    }
}

#[tokio::test]
async fn the_next_user_of_a_browser_gets_another_form_token() {
    let site = Site::new().await;
    site.accounts.add("2", "bob", "builder").await.unwrap();
    let mut browser = site.alice().await;
    let token = form_token(&mut browser).await;
    assert_eq!(browser.post("/sign-in", "name=bob&password=builder").await.0, 303);
    assert_ne!(form_token(&mut browser).await, token);
}

#[tokio::test]
async fn nobody_ends_a_session_of_somebody_else() {
    let site = Site::new().await;
    site.accounts.add("2", "bob", "builder").await.unwrap();
    let (mut alice, mut bob) = (site.alice().await, site.browser());
    bob.post("/sign-in", "name=bob&password=builder").await;
    let id = site.sessions.list("1").await.unwrap()[0].id();
    let form = format!("form_token={}", form_token(&mut bob).await);
    assert_eq!(bob.post(&format!("/devices/{id}/sign-out"), &form).await.0, 404);
    assert_eq!(alice.get("/account").await.0, 200);
}

#[tokio::test]
async fn the_others_are_signed_out_and_this_one_gets_a_new_token() {
    let site = Site::new().await;
    let (mut here, mut there) = (site.alice().await, site.alice().await);
    let old = here.cookie.clone();
    let form = format!("form_token={}", form_token(&mut here).await);
    assert_eq!(here.post("/devices/sign-out-others", &form).await.0, 303);
    assert_ne!(here.cookie, old);
    assert_eq!(here.get("/account").await.0, 200);
    assert_eq!(there.get("/account").await.0, 303);
}

#[tokio::test]
async fn forms_of_other_hosts_are_refused() {
    let site = Site::new().await;
    for sender in ["cross-site", "same-site"] {
        let mut browser = site.browser();
        let (status, _) = browser.post_from(sender, "/sign-in", "name=alice&password=wonderland").await;
        assert_eq!((status.as_u16(), browser.cookie), (403, None), "{sender}");
    }
    let mut browser = site.browser();
    assert_eq!(browser.post_from("none", "/sign-in", "name=alice&password=wonderland").await.0, 303);
}
