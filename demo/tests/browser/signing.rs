//! The cookie, and what is left of a session that has ended.

use std::time::{SystemTime, UNIX_EPOCH};

use thirtyfour::SameSite;

use reqwest::header::{COOKIE, SET_COOKIE};

use crate::profile::password_of;
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
        has_every_attribute_by_name(&server).await;
    })
    .await;
}

/// What a browser does not tell: it reports its own defaults for what the server has left out.
async fn has_every_attribute_by_name(server: &Server) {
    let browserless = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = browserless.build().unwrap();
    let address = format!("http://{}", server.address());
    let mut cookie = String::new();
    for request in [
        client.get(format!("{address}/")),
        client
            .post(format!("{address}/sign-in"))
            .form(&[("username", "alice"), ("password", password_of("alice"))]),
        client.post(format!("{address}/sessions/sign-out-others")),
        client.post(format!("{address}/sign-out")),
    ] {
        let answer = request.header(COOKIE, &cookie).send().await.unwrap();
        let header = answer.headers()[SET_COOKIE].to_str().unwrap();
        let [token, "Path=/", max_age, "HttpOnly", "SameSite=Lax"] =
            header.split("; ").collect::<Vec<_>>()[..]
        else {
            panic!("{}: {header}", answer.url())
        };
        let max_age = max_age.strip_prefix("Max-Age=").unwrap().parse::<i64>().unwrap();
        assert!((30 * DAY - 300..=30 * DAY).contains(&max_age), "{header}");
        cookie = token.to_owned();
    }
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
