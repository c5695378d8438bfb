//! Several profiles and several tabs.

use crate::profile::password_of;
use crate::server::Server;
use crate::stage::step;

#[tokio::test]
async fn own_session_only() {
    step("a second profile sees its own session only", async |stage| {
        let server = Server::on_sqlite().await;
        let (alice, other) = (stage.desktop(&server).await, stage.desktop(&server).await);
        alice.sign_in("alice").await;
        other.visit("/").await;
        assert_eq!((other.user().await, other.views().await), (None, 1));
        assert_eq!(other.messages().await, [""; 0]);
        other.visit("/sessions").await;
        assert_eq!(other.path().await, "/", "the list is for those who are signed in");

        other.sign_in("bob").await;
        assert_ne!(alice.token().await, other.token().await);
        for (browser, user) in [(&alice, "alice"), (&other, "bob")] {
            browser.visit("/").await;
            assert_eq!(browser.user().await.as_deref(), Some(user));
            browser.click("Your sessions").await;
            assert_eq!(browser.sessions().await.len(), 1, "{user}");
        }
    })
    .await;
}

#[tokio::test]
async fn sign_out_the_others() {
    step("sign out the others", async |stage| {
        let server = Server::on_sqlite().await;
        let (here, there) = (stage.desktop(&server).await, stage.desktop(&server).await);
        here.sign_in("alice").await;
        there.sign_in("alice").await;
        here.click("Your sessions").await;
        assert_eq!(here.sessions().await.len(), 2);
        here.click("Sign out the others").await;
        assert_eq!(here.messages().await, ["One other session is signed out."]);
        assert_eq!(here.sessions().await.len(), 1);

        there.click("Your sessions").await;
        assert_eq!((there.path().await.as_str(), there.user().await), ("/", None), "ended at its next click");
        here.click("Home").await;
        assert_eq!(here.user().await.as_deref(), Some("alice"));
    })
    .await;
}

#[tokio::test]
async fn two_tabs_sign_in_at_once() {
    step("two tabs signing in at once", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.visit("/").await;
        browser.run("window.second = window.open('/')", &[]).await;
        let loaded = "return second.document.readyState === 'complete' && second.document.forms.length > 0";
        browser.wait_until("the second tab", loaded, &[]).await;
        let tabs = browser.tabs().await;
        assert_eq!(tabs.len(), 2);
        for tab in &tabs {
            browser.switch_to(tab).await;
            browser.fill_credentials("alice", password_of("alice")).await;
        }
        browser.switch_to(&tabs[0]).await;
        // Both requests leave before either is answered: within one turn of the page's event loop.
        browser.run("second.document.forms[0].submit(); document.forms[0].submit()", &[]).await;
        for tab in &tabs {
            browser.switch_to(tab).await;
            let arrived = "return document.readyState === 'complete' \
                && document.getElementById('who')?.innerText === 'Signed in as alice'";
            browser.wait_until("signed in", arrived, &[]).await;
        }
        for tab in &tabs {
            browser.switch_to(tab).await;
            let views = {
                browser.reload().await;
                browser.views().await
            };
            browser.reload().await;
            assert_eq!((browser.user().await.as_deref(), browser.views().await), (Some("alice"), views + 1));
            browser.click("Your sessions").await;
            let sessions = browser.sessions().await;
            assert_eq!(sessions.iter().filter(|text| text.contains("(this one)")).count(), 1, "{sessions:?}");
            browser.click("Home").await;
        }
    })
    .await;
}
