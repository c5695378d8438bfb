//! Signing in: the right password, a new token, and the old one out of use.

use crate::on_each_store;
use crate::support::{Browser, Home, Server};

on_each_store![
    only_the_right_password_signs_in,
    what_people_type_is_escaped,
    an_incomplete_form_is_refused,
    signing_in_changes_the_token_and_keeps_the_values,
    the_welcome_is_shown_once,
    the_old_token_is_superseded_and_can_do_nothing,
    the_old_token_may_sign_in_under_a_fresh_id,
    signing_in_again_replaces_the_token_again,
    two_sign_ins_in_parallel_leave_a_usable_cookie,
    bob_over_alice_finds_nothing_of_hers,
    a_failed_sign_in_leaves_a_signed_in_person_alone,
];

async fn only_the_right_password_signs_in(server: Server) {
    let browser = Browser::new(&server);
    for (username, password) in [
        ("alice", "builder"),
        ("alice", "Wonderland"),
        ("alice", "wonderland "),
        ("alice", ""),
        ("bob", "wonderland"),
        ("Alice", "wonderland"),
        ("", ""),
        ("mallory", "wonderland"),
        ("alice' --", "x"),
    ] {
        let answer = browser.try_password(username, password).await;
        assert_eq!(answer.status, 401, "{username}/{password}");
        assert_eq!(answer.set_cookie(), None);
        assert!(!answer.body.contains("Signed in as"));
    }
    assert_eq!(browser.token(), None);
    assert_eq!(browser.home().await, Home::of_nobody(1));
    for (username, password) in [("alice", "wonderland"), ("bob", "builder")] {
        let browser = Browser::new(&server);
        assert_eq!(browser.try_password(username, password).await.status, 303);
        assert_eq!(browser.home().await.user.as_deref(), Some(username));
    }
}

async fn what_people_type_is_escaped(server: Server) {
    let answer = Browser::new(&server).try_password("\"><script>alert(1)</script>", "x").await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("&lt;script&gt;alert(1)") && !answer.body.contains("<script"));
}

async fn an_incomplete_form_is_refused(server: Server) {
    let browser = Browser::new(&server);
    let send = |form| browser.send(reqwest::Method::POST, "/sign-in", form);
    for form in [None, Some(&[][..]), Some(&[("username", "alice")]), Some(&[("password", "wonderland")])] {
        let answer = send(form).await;
        assert!((400..500).contains(&answer.status), "{form:?}: {}", answer.status);
        assert_eq!(answer.set_cookie(), None);
    }
    assert_eq!(browser.home().await, Home::of_nobody(1));
}

async fn signing_in_changes_the_token_and_keeps_the_values(server: Server) {
    let browser = Browser::new(&server);
    browser.home().await;
    browser.home().await;
    let before = browser.token().unwrap();
    browser.sign_in("alice").await;
    let after = browser.token().unwrap();
    let ((id, secret), (new_id, new_secret)) =
        (before.split_once('.').unwrap(), after.split_once('.').unwrap());
    assert_eq!(id, new_id);
    assert_ne!(secret, new_secret);
    assert_eq!(browser.home().await, Home::of("alice", 3).with_message("Welcome, alice."));
}

async fn the_welcome_is_shown_once(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    assert_eq!(browser.home().await.messages, ["Welcome, alice."]);
    assert!(browser.home().await.messages.is_empty());
}

async fn the_old_token_is_superseded_and_can_do_nothing(server: Server) {
    let browser = Browser::new(&server);
    browser.home().await;
    let old = browser.token().unwrap();
    browser.sign_in("alice").await;
    let straggler = Browser::with_token(&server, &old);

    let page = straggler.get("/").await;
    assert_eq!(Home::read(&page), Home::of_nobody(0), "reads nothing and counts nothing");
    let views = straggler.get("/api/views").await;
    assert_eq!(views.views(), 0);
    let count = straggler.post("/api/views").await;
    let list = straggler.get("/sessions").await;
    let id = browser.token().unwrap()[..22].to_owned();
    let end_one = straggler.post(&format!("/sessions/{id}/sign-out")).await;
    let end_others = straggler.post("/sessions/sign-out-others").await;
    let sign_out = straggler.post("/sign-out").await;
    for refused in [&count, &end_one, &end_others, &sign_out] {
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
    assert_eq!((list.status, list.location()), (303, Some("/")));
    for answer in [page, views, count, list, end_one, end_others, sign_out] {
        assert_eq!(answer.set_cookie(), None, "it could overwrite the cookie of the sign-in");
    }
    assert_eq!(straggler.token(), Some(old));
    assert_eq!(browser.home().await, Home::of("alice", 2).with_message("Welcome, alice."));
}

async fn the_old_token_may_sign_in_under_a_fresh_id(server: Server) {
    let browser = Browser::new(&server);
    browser.home().await;
    let straggler = Browser::with_token(&server, &browser.token().unwrap());
    browser.sign_in("alice").await;
    straggler.sign_in("alice").await;
    let (first, second) = (browser.token().unwrap(), straggler.token().unwrap());
    assert_ne!(first[..22], second[..22]);
    assert_eq!(straggler.home().await, Home::of("alice", 1).with_message("Welcome, alice."));
    assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
}

async fn signing_in_again_replaces_the_token_again(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    browser.home().await;
    let first = browser.token().unwrap();
    browser.sign_in("alice").await;
    assert_ne!(browser.token().unwrap(), first);
    assert_eq!(browser.home().await, Home::of("alice", 2).with_message("Welcome, alice."));
    assert_eq!(Browser::with_token(&server, &first).home().await, Home::of_nobody(0));
}

async fn two_sign_ins_in_parallel_leave_a_usable_cookie(server: Server) {
    for visited_before in [true, false] {
        let browser = Browser::new(&server);
        if visited_before {
            browser.home().await;
        }
        let tab = browser.clone();
        tokio::join!(browser.sign_in("alice"), tab.sign_in("alice"));
        assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
        assert_eq!(browser.count_view().await, browser.views().await);
    }
}

async fn bob_over_alice_finds_nothing_of_hers(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    browser.home().await;
    browser.home().await;
    let alices = browser.token().unwrap();
    browser.sign_in("bob").await;
    assert_ne!(browser.token().unwrap()[22..], alices[22..]);
    assert_eq!(browser.home().await, Home::of("bob", 1).with_message("Welcome, bob."));
    assert_eq!(browser.sessions().await.len(), 1);
    let straggler = Browser::with_token(&server, &alices);
    assert_eq!(straggler.home().await, Home::of_nobody(0), "hers has ended");
    assert_eq!(straggler.token().as_deref(), Some(&*alices), "a late request keeps its hands off the cookie");
}

async fn a_failed_sign_in_leaves_a_signed_in_person_alone(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    let token = browser.token();
    let answer = browser.try_password("bob", "wrong").await;
    assert_eq!((answer.status, answer.set_cookie()), (401, None));
    assert_eq!(browser.token(), token);
    assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
}
