//! When a cookie is sent: with a new session, a new token or the end of a session, and at no other time.

use std::time::Duration;

use session_core::http::{SameSite, SessionCookie};
use session_core::{CookieLifetime, Result, Session};

use crate::support::{Answer, Site, count, read, request, send};

#[tokio::test]
async fn reading_nothing_sets_no_cookie_and_stores_nothing() {
    let site = Site::new();
    let answer = site.visit("", read).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.set_cookie()), (200, "none", None));
    let changes_undone = async |session: Session| -> Result<()> {
        session.insert("n", 1)?;
        session.remove("n").map(drop)
    };
    assert_eq!(site.visit("", changes_undone).await.set_cookie(), None);
    assert_eq!(site.store.len(), 0);
}

#[tokio::test]
async fn creating_rotating_and_ending_send_one_and_nothing_else_does() {
    let site = Site::new();
    let created = site.visit("", count).await;
    let cookie = created.cookie();
    assert_eq!(
        created.set_cookie().unwrap(),
        format!("{cookie}; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax")
    );

    for _ in 0..3 {
        assert_eq!(site.visit(&cookie, count).await.set_cookie(), None);
    }
    assert_eq!(site.visit(&cookie, read).await.set_cookie(), None);
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(site.visit(&cookie, read).await.set_cookie(), None, "a touch");

    let rotated = site.visit(&cookie, async |session: Session| session.rotate()).await.cookie();
    assert_ne!(rotated, cookie);
    let signed_in = site.visit(&rotated, async |session: Session| session.sign_in("alice")).await.cookie();
    assert_ne!(signed_in, rotated);
    assert_eq!(site.n(&signed_in).await, Some(4));

    let ended = site.visit(&signed_in, async |session: Session| session.destroy()).await;
    assert!(ended.removes_cookie());
    assert_eq!(site.store.len(), 0);
}

#[tokio::test]
async fn signing_out_removes_the_cookie_or_replaces_it() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let answer = site.visit(&cookie, async |session: Session| session.sign_out()).await;
    assert!(answer.removes_cookie());

    let cookie = site.visitor().await;
    let with_message = async |session: Session| -> Result<()> {
        session.sign_out()?;
        session.flash("signed out")
    };
    let next = site.visit(&cookie, with_message).await.cookie();
    assert_ne!(next, cookie);
    assert_eq!(site.session(&next).await.take_flash::<String>().unwrap(), ["signed out"]);
    assert_eq!(site.n(&cookie).await, None);
}

#[tokio::test]
async fn destroying_what_never_was_sends_nothing() {
    let site = Site::new();
    let create_and_destroy = async |session: Session| -> Result<()> {
        session.insert("n", 1)?;
        session.destroy()
    };
    let answer = site.visit("", create_and_destroy).await;
    assert_eq!((answer.status, answer.set_cookie()), (200, None));
    assert_eq!(site.store.len(), 0);
}

#[tokio::test]
async fn removal_mirrors_the_attributes() {
    let parent = || Some("example.org".to_owned());
    for cookie in [
        SessionCookie::new(),
        SessionCookie::insecure_local(),
        SessionCookie::new().with_name("sid").with_domain(parent()).with_path("/app"),
        SessionCookie::new().with_name("sid").with_http_only(false).with_same_site(SameSite::None),
        SessionCookie::new().with_same_site(SameSite::Strict),
    ] {
        let site = Site::new();
        let app = |handler| {
            let layer = site.layer().with_cookie(cookie.clone()).unwrap();
            axum::Router::new().route("/", handler).layer(layer)
        };
        let set = send(app(axum::routing::get(count)), request("/", &[])).await;
        let destroy = axum::routing::get(async |session: Session| session.destroy());
        let removed = send(app(destroy), request("/", &[&set.cookie()])).await;
        let attributes = |answer: &Answer| -> Vec<String> {
            let (_, attributes) = answer.set_cookie().unwrap().split_once("; ").unwrap();
            attributes.split("; ").filter(|part| !part.starts_with("Max-Age")).map(str::to_owned).collect()
        };
        assert_eq!(attributes(&removed), attributes(&set));
        assert!(removed.set_cookie().unwrap().starts_with(&format!("{}=; ", cookie.name)));
        assert!(removed.set_cookie().unwrap().contains("; Max-Age=0"));
    }
}

#[tokio::test]
async fn a_cookie_for_the_browser_session_has_no_age() {
    let site = Site::with(|builder| builder.cookie_lifetime(CookieLifetime::BrowserSession));
    let answer = site.visit("", count).await;
    assert!(!answer.set_cookie().unwrap().contains("Max-Age"));
    let removed = site.visit(&answer.cookie(), async |session: Session| session.destroy()).await;
    assert!(removed.removes_cookie() && removed.set_cookie().unwrap().contains("; Max-Age=0"));
}

#[tokio::test]
async fn unknown_expired_ended_and_superseded_ones_are_not_cleared() {
    let site = Site::new();
    let unknown = format!("{}={}.{}", crate::support::NAME, "A".repeat(22), "A".repeat(43));
    let expired = site.visitor().await;
    site.clock.advance(Duration::from_secs(40 * 24 * 3600));
    let ended = site.visitor().await;
    let session = site.session(&ended).await;
    session.destroy().unwrap();
    let _ = session.commit().await.unwrap();
    let superseded = site.visitor().await;
    site.visit(&superseded, async |session: Session| session.rotate()).await;
    for cookie in [&unknown, &expired, &ended, &superseded] {
        let answer = site.visit(cookie, read).await;
        assert_eq!((answer.body.as_str(), answer.set_cookie()), ("none", None), "{cookie}");
    }
    // The browser may hold a newer one by now; what these can get is a session of their own.
    for cookie in [&unknown, &expired, &ended] {
        let fresh = site.visit(cookie, count).await.cookie();
        assert_ne!(fresh[..fresh.len() - 44], cookie[..cookie.len() - 44], "a presented id is never adopted");
    }
}
