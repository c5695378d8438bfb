//! The cookie, and what is left of a session that has ended.

use std::time::{SystemTime, UNIX_EPOCH};

use thirtyfour::SameSite;

use crate::server::Server;
use crate::stage::step;

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn cookie_attributes() {
    step("cookie attributes", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.visit("/").await;
        for user in [None, Some("alice")] {
            if let Some(user) = user {
                browser.sign_in(user).await;
            }
            let cookie = browser.cookie().await;
            assert_eq!(cookie.name, "session");
            assert_eq!(cookie.domain.as_deref(), Some("127.0.0.1"), "this host alone");
            assert_eq!(cookie.path.as_deref(), Some("/"));
            assert_eq!(
                (cookie.http_only, cookie.secure),
                (Some(true), Some(false)),
                "plain http on loopback"
            );
            assert_eq!(cookie.same_site, Some(SameSite::Lax));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let left = cookie.expiry.unwrap() - i64::try_from(now).unwrap();
            assert!((30 * DAY - 300..=30 * DAY).contains(&left), "{left} seconds");
            assert_eq!(browser.run("return document.cookie", &[]).await, "");
        }
    })
    .await;
}

#[tokio::test]
async fn back_after_sign_out() {
    step("back after sign-out", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.sign_in("alice").await;
        browser.click("Your sessions").await;
        browser.click("Home").await;
        browser.click("Sign out").await;
        assert_eq!(browser.user().await, None);
        // The home page as it was, the list, the home page after the sign-in.
        for _ in 0..3 {
            browser.back().await;
            let page = browser.text().await;
            assert!(!page.contains("Signed in as") && !page.contains("is signed in"), "{page}");
            assert_eq!(browser.user().await, None);
            browser.reload().await;
            assert_eq!(browser.user().await, None);
        }
    })
    .await;
}
