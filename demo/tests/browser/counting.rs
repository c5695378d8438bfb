//! What one person sees who signs in and clicks around.

use crate::server::Server;
use crate::stage::step;

#[tokio::test]
async fn sign_in() {
    step("sign in", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.visit("/").await;
        assert_eq!(browser.user().await, None);
        let token = browser.token().await;

        browser.expect_complaint(
            "/sign-in - Failed to load resource: the server responded with a status of 401",
        );
        browser.fill_credentials("alice", "looking-glass").await;
        browser.click("Sign in").await;
        let page = browser.text().await;
        assert!(page.contains("That name and password do not belong together."), "{page}");

        browser.fill_credentials("alice", "wonderland").await;
        browser.click("Sign in").await;
        assert_eq!((browser.path().await.as_str(), browser.user().await.as_deref()), ("/", Some("alice")));
        assert_ne!(browser.token().await, token, "a token from before would be known to whoever planted it");
    })
    .await;
}

#[tokio::test]
async fn count() {
    step("count", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.visit("/").await;
        for views in 1..=3 {
            assert_eq!((browser.views().await, browser.user().await), (views, None));
            browser.reload().await;
        }
        browser.sign_in("alice").await;
        let views = browser.views().await;
        browser.reload().await;
        assert_eq!(browser.views().await, views + 1);
    })
    .await;
}

#[tokio::test]
async fn flash_once() {
    step("flash once", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.sign_in("alice").await;
        assert_eq!(browser.messages().await, ["Welcome, alice."]);
        browser.reload().await;
        assert_eq!(browser.messages().await, [""; 0]);
        browser.click("Sign out").await;
        assert_eq!(browser.messages().await, ["You are signed out."]);
        browser.reload().await;
        assert_eq!(browser.messages().await, [""; 0]);
    })
    .await;
}
