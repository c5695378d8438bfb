//! `/sessions`: where somebody is signed in, and ending what they do not recognise.

use crate::on_each_store;
use crate::support::{Browser, Home, Server};

on_each_store![
    visitors_are_sent_home,
    own_sessions_are_listed_and_nobody_elses,
    another_own_session_can_be_ended,
    nobody_elses_session_can_be_ended,
    what_is_no_session_is_not_found,
    ending_this_one_signs_out,
    ending_the_others_keeps_this_one_under_a_new_token,
];

async fn visitors_are_sent_home(server: Server) {
    let visitor = Browser::new(&server);
    for answer in [visitor.get("/sessions").await, visitor.post("/sessions/sign-out-others").await] {
        assert_eq!((answer.status, answer.location(), answer.set_cookie()), (303, Some("/"), None));
    }
}

async fn own_sessions_are_listed_and_nobody_elses(server: Server) {
    let (one, two) = (Browser::of(&server, "alice").await, Browser::of(&server, "alice").await);
    let bob = Browser::of(&server, "bob").await;
    Browser::new(&server).home().await;
    for (browser, other) in [(&one, &two), (&two, &one)] {
        let mut rows = browser.sessions().await;
        rows.sort_by_key(|row| !row.is_this_one);
        let [this, that] = &rows[..] else { panic!("{rows:?}") };
        assert!(this.is_this_one && !that.is_this_one);
        assert_eq!(this.id, browser.token().unwrap()[..22]);
        assert_eq!(that.id, other.token().unwrap()[..22]);
        for row in &rows {
            for part in ["<dt>Created</dt>", " GMT</dd>", "<dt>Last seen</dt>", "just now", "unknown"] {
                assert!(row.text.contains(part), "{part}: {}", row.text);
            }
        }
    }
    let rows = bob.sessions().await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].is_this_one);
    let secret = one.token().unwrap()[23..].to_owned();
    assert!(!one.get("/sessions").await.body.contains(&secret), "ids are shown, secrets never");
}

async fn another_own_session_can_be_ended(server: Server) {
    let (here, there) = (Browser::of(&server, "alice").await, Browser::of(&server, "alice").await);
    there.home().await;
    let id = there.token().unwrap()[..22].to_owned();
    let answer = here.post(&format!("/sessions/{id}/sign-out")).await;
    assert_eq!((answer.status, answer.location()), (303, Some("/sessions")));
    assert_eq!(there.views().await, 0);
    assert_eq!(there.home().await, Home::of_nobody(1));
    assert_eq!(here.sessions().await.len(), 1);
    assert_eq!(here.home().await.user.as_deref(), Some("alice"));
    let again = here.post(&format!("/sessions/{id}/sign-out")).await;
    assert_eq!(again.status, 404, "it has ended already");
}

async fn nobody_elses_session_can_be_ended(server: Server) {
    let (alice, bob) = (Browser::of(&server, "alice").await, Browser::of(&server, "bob").await);
    let visitor = Browser::new(&server);
    visitor.home().await;
    let end = |browser: &Browser, other: &Browser| {
        let (browser, id) = (browser.clone(), other.token().unwrap()[..22].to_owned());
        async move { browser.post(&format!("/sessions/{id}/sign-out")).await.status }
    };
    assert_eq!(end(&bob, &alice).await, 404);
    assert_eq!(end(&bob, &visitor).await, 404);
    assert_eq!(end(&visitor, &alice).await, 404);
    assert_eq!(end(&visitor, &visitor).await, 404);
    assert_eq!(end(&Browser::new(&server), &alice).await, 404);
    assert_eq!(alice.home().await.user.as_deref(), Some("alice"));
    assert_eq!(visitor.home().await, Home::of_nobody(2));
}

async fn what_is_no_session_is_not_found(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    let unknown = "A".repeat(22);
    let long = "A".repeat(5000);
    for id in [
        &unknown,
        "x",
        "%20",
        "%00",
        "%FF",
        "..%2F..%2Fetc%2Fpasswd",
        "'; DROP TABLE sessions; --",
        "AAAAAAAAAAAAAAAAAAAAAB",
        &long,
    ] {
        let answer = browser.post(&format!("/sessions/{id}/sign-out")).await;
        assert_eq!(answer.status, 404, "{id}");
    }
    assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
}

async fn ending_this_one_signs_out(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    let row = browser.sessions().await.remove(0);
    let answer = browser.post(&format!("/sessions/{}/sign-out", row.id)).await;
    assert_eq!((answer.status, answer.location()), (303, Some("/")));
    assert_eq!(browser.home().await, Home::of_nobody(1).with_message("You are signed out."));
}

async fn ending_the_others_keeps_this_one_under_a_new_token(server: Server) {
    let here = Browser::of(&server, "alice").await;
    let others = [Browser::of(&server, "alice").await, Browser::of(&server, "alice").await];
    let bob = Browser::of(&server, "bob").await;
    here.home().await;
    let before = here.token().unwrap();
    let answer = here.post("/sessions/sign-out-others").await;
    assert_eq!((answer.status, answer.location()), (303, Some("/sessions")));
    assert_ne!(here.token().unwrap(), before);
    assert_eq!(here.token().unwrap()[..22], before[..22]);

    let page = here.get("/sessions").await;
    assert!(page.body.contains("2 other sessions are signed out."), "{}", page.body);
    assert_eq!(here.sessions().await.len(), 1);
    assert_eq!(here.home().await, Home::of("alice", 2), "signed in as before, values kept");
    for other in others {
        assert_eq!(other.home().await, Home::of_nobody(1));
    }
    assert_eq!(bob.home().await.user.as_deref(), Some("bob"));
    let thief = Browser::with_token(&server, &before);
    assert_eq!(thief.home().await, Home::of_nobody(0), "a copy of the old token opens nothing");

    here.post("/sessions/sign-out-others").await;
    assert!(here.get("/sessions").await.body.contains("There were no other sessions."));
}
