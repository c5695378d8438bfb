//! Signing out, and who is who.

use crate::on_each_store;
use crate::support::{Browser, Home, Server};

on_each_store![
    signing_out_ends_the_session_and_says_so_once,
    signing_out_signed_out_does_nothing,
    two_browsers_never_mix,
    links_do_not_change_anything,
];

async fn signing_out_ends_the_session_and_says_so_once(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    browser.home().await;
    let token = browser.token().unwrap();
    let answer = browser.post("/sign-out").await;
    assert_eq!((answer.status, answer.location()), (303, Some("/")));
    assert_ne!(browser.token().unwrap()[..22], token[..22]);
    assert_eq!(browser.home().await, Home::of_nobody(1).with_message("You are signed out."));
    assert_eq!(browser.home().await, Home::of_nobody(2));
    let copy = Browser::with_token(&server, &token);
    assert_eq!(copy.views().await, 0);
    assert_eq!(copy.home().await, Home::of_nobody(1));
}

async fn signing_out_signed_out_does_nothing(server: Server) {
    let answer = Browser::new(&server).post("/sign-out").await;
    assert_eq!((answer.status, answer.location(), answer.set_cookie()), (303, Some("/"), None));
    let visitor = Browser::new(&server);
    visitor.home().await;
    let answer = visitor.post("/sign-out").await;
    assert_eq!((answer.status, answer.set_cookie()), (303, None));
    assert_eq!(visitor.home().await, Home::of_nobody(2));
}

async fn two_browsers_never_mix(server: Server) {
    let (alice, bob) = (Browser::new(&server), Browser::new(&server));
    tokio::join!(alice.sign_in("alice"), bob.sign_in("bob"));
    let visits = |browser: Browser, name: &'static str| async move {
        for views in 1..=20 {
            let page = browser.home().await;
            assert_eq!((page.user.as_deref(), page.views), (Some(name), views));
            assert_eq!(browser.views().await, views);
        }
    };
    tokio::join!(visits(alice.clone(), "alice"), visits(bob.clone(), "bob"));
    alice.post("/sign-out").await;
    assert_eq!(bob.home().await, Home::of("bob", 21));
}

async fn links_do_not_change_anything(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    let id = browser.token().unwrap()[..22].to_owned();
    let one = format!("/sessions/{id}/sign-out");
    for path in ["/sign-in", "/sign-out", "/sessions/sign-out-others", &one] {
        assert_eq!(browser.get(path).await.status, 405, "{path}");
    }
    assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
}
