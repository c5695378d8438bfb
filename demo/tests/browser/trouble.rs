//! The demo and its store in trouble, and a browser that stays signed in.

use crate::looks::inspect;
use crate::private_server::PrivateServer;
use crate::profile::Screen;
use crate::server::Server;
use crate::stage::{leave_out, step};

#[tokio::test]
async fn killed_and_restarted() {
    step("kill -9 and restart", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.sign_in("alice").await;
        let (views, token) = (browser.views().await, browser.token().await);
        let address = server.address().to_owned();
        let _server = server.kill_and_restart_at(&address).await;
        browser.click("Your sessions").await;
        assert_eq!(browser.sessions().await.len(), 1);
        browser.click("Home").await;
        assert_eq!((browser.user().await.as_deref(), browser.views().await), (Some("alice"), views + 1));
        assert_eq!(browser.token().await, token);
    })
    .await;
}

#[tokio::test]
async fn store_stopped() {
    let name = "store stopped and back";
    let Some(mut store) = PrivateServer::start(&[]).await else {
        return leave_out(name, "PostgreSQL is not installed");
    };
    step(name, async |stage| {
        let server = Server::on(&store.url(""), &[]).await;
        let browsers = [stage.desktop(&server).await, stage.profile(&server, Screen::PHONE).await];
        let mut before = Vec::new();
        for browser in &browsers {
            browser.expect_complaint("the server responded with a status of 503");
            browser.sign_in("alice").await;
            before.push((browser.views().await, browser.token().await));
        }
        store.stop();
        for (browser, (_, token)) in browsers.iter().zip(&before) {
            let shows = async |path: &str, title: &str, promise: &str| {
                let page = browser.text().await;
                assert!(page.contains(title) && page.contains(promise), "{page}");
                assert_eq!((browser.path().await.as_str(), browser.status().await), (path, 503), "{title}");
                assert_eq!(browser.token().await, *token, "{title}");
            };
            for _ in ["from the home page", "by the form that the answer offers again"] {
                browser.click("Sign out").await;
                shows("/sign-out", "You are not signed out yet", "Please try again").await;
            }
            inspect(browser, "sign-out-failed").await;
            browser.click("Home").await;
            shows("/", "Back in a moment", "Whoever was signed in still is").await;
            browser.visit("/sessions").await;
            shows("/sessions", "Back in a moment", "Whoever was signed in still is").await;
            browser.click("Try again").await;
            shows("/sessions", "Back in a moment", "Whoever was signed in still is").await;
            inspect(browser, "store-stopped").await;
        }
        store.run(&[]).await;
        for (browser, (views, token)) in browsers.iter().zip(before) {
            browser.click("Try again").await;
            assert_eq!((browser.sessions().await.len(), browser.status().await), (browsers.len(), 200));
            browser.click("Home").await;
            assert_eq!((browser.user().await.as_deref(), browser.views().await), (Some("alice"), views + 1));
            assert_eq!(browser.token().await, token);
        }
        for browser in &browsers {
            browser.click("Sign out").await;
            assert_eq!(browser.user().await, None);
        }
    })
    .await;
}
