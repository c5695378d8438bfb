//! `GET /`: a page for every visitor, whatever their cookie looks like.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::on_each_store;
use crate::support::{Browser, Home, PATIENCE, Server};

on_each_store![
    counts_one_two_three,
    never_adopts_what_a_visitor_presents,
    a_forged_secret_neither_opens_nor_harms_the_session,
    the_session_is_found_among_other_cookies,
    cookies_of_two_live_sessions_open_neither,
    a_header_of_a_mebibyte_does_not_disturb_the_server,
    the_cookie_is_for_loopback_and_out_of_reach_of_scripts,
    pages_are_plain_and_labelled,
    the_page_is_there_while_the_session_is_replaced_and_ended,
];

async fn counts_one_two_three(server: Server) {
    let browser = Browser::new(&server);
    for views in 1..=3 {
        assert_eq!(browser.home().await, Home::of_nobody(views));
    }
}

async fn never_adopts_what_a_visitor_presents(server: Server) {
    let unknown = format!("session={}.{}", "A".repeat(22), "A".repeat(43));
    let oversized = format!("session={}", "A".repeat(8 * 1024));
    let many = "session=x; ".repeat(200);
    let headers: [&[u8]; 14] = [
        b"",
        b"session",
        b"session=",
        b"session=\"\"",
        b"session=.",
        b"session=../../etc/passwd",
        b"session=' OR 1=1 --",
        b"session=%00%ff",
        b"session=\xff\xfe",
        b";;;=;= ;session==;",
        b"sessionid=abc; JSESSIONID=1; __Host-session=2; xsession=3",
        unknown.as_bytes(),
        oversized.as_bytes(),
        many.as_bytes(),
    ];
    let mut tokens = Vec::new();
    for header in headers {
        let shown = header.escape_ascii();
        let answer = Browser::new(&server).get_with_cookie("/", header).await;
        assert_eq!(Home::read(&answer), Home::of_nobody(1), "{shown}");
        let cookie = answer.set_cookie().unwrap_or_else(|| panic!("no cookie after {shown}"));
        let token = cookie.strip_prefix("session=").unwrap().split(';').next().unwrap().to_owned();
        assert!(!unknown.contains(&token[..22]), "{shown}");
        tokens.push(token);
    }
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), headers.len(), "each got a session of its own");
}

async fn a_forged_secret_neither_opens_nor_harms_the_session(server: Server) {
    let owner = Browser::of(&server, "alice").await;
    let token = owner.token().unwrap();
    let (id, secret) = token.split_once('.').unwrap();
    let last = if secret.ends_with('A') { "E" } else { "A" };
    let almost = format!("{id}.{}{last}", &secret[..secret.len() - 1]);
    for forged in [format!("{id}.{}", "A".repeat(43)), almost] {
        let thief = Browser::with_token(&server, &forged);
        assert_eq!(thief.home().await, Home::of_nobody(1));
        assert_ne!(thief.token().unwrap()[..22], *id);
    }
    assert_eq!(owner.home().await, Home::of("alice", 1).with_message("Welcome, alice."));
    assert_eq!(owner.token(), Some(token));
}

async fn the_session_is_found_among_other_cookies(server: Server) {
    let browser = Browser::new(&server);
    browser.home().await;
    let token = browser.token().unwrap();
    for (header, views) in [
        (format!("session={token}; session={token}"), 2),
        (format!("a=b; session=junk; session={token}; c=d"), 3),
        (format!("session=\"{token}\""), 4),
        (format!("session={token}; session={}.{}", "A".repeat(22), "A".repeat(43)), 5),
    ] {
        let answer = browser.get_with_cookie("/", header.as_bytes()).await;
        assert_eq!(Home::read(&answer), Home::of_nobody(views));
        assert_eq!(answer.set_cookie(), None);
    }
}

async fn cookies_of_two_live_sessions_open_neither(server: Server) {
    let (alice, bob) = (Browser::of(&server, "alice").await, Browser::of(&server, "bob").await);
    let header = format!("session={}; session={}", alice.token().unwrap(), bob.token().unwrap());
    let answer = Browser::new(&server).get_with_cookie("/", header.as_bytes()).await;
    assert_eq!(Home::read(&answer), Home::of_nobody(1));
    assert_eq!(alice.home().await.user.as_deref(), Some("alice"));
    assert_eq!(bob.home().await.user.as_deref(), Some("bob"));
}

async fn a_header_of_a_mebibyte_does_not_disturb_the_server(server: Server) {
    let mut connection = server.connect().await;
    let request = format!("GET / HTTP/1.1\r\nHost: demo\r\nCookie: session={}\r\n\r\n", "A".repeat(1 << 20));
    // The server may hang up on it half-way.
    let _ = connection.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(Browser::new(&server).home().await, Home::of_nobody(1));
}

async fn the_cookie_is_for_loopback_and_out_of_reach_of_scripts(server: Server) {
    let answer = Browser::new(&server).get("/").await;
    let (token, attributes) = answer.set_cookie().unwrap().split_once(';').unwrap();
    assert_eq!(token.len(), "session=".len() + 22 + 1 + 43);
    let month = 30 * 24 * 3600;
    assert_eq!(attributes, format!(" Path=/; Max-Age={month}; HttpOnly; SameSite=Lax"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("vary"), Some("Cookie"));
}

async fn pages_are_plain_and_labelled(server: Server) {
    let browser = Browser::new(&server);
    let refused = browser.try_password("alice", "x").await;
    let mut pages = vec![browser.get("/").await, refused, browser.get("/no-such-page").await];
    browser.sign_in("alice").await;
    pages.extend([browser.get("/").await, browser.get("/sessions").await]);
    for page in &pages {
        let body = &page.body;
        assert!(
            body.starts_with("<!DOCTYPE html>") && page.header("content-type").unwrap().contains("utf-8")
        );
        assert!(body.contains("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"));
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; "));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(!body.contains("<script") && !body.contains("type=\"hidden\""), "{body}");
        for input in crate::support::between(body, "<input id=\"", "\"") {
            assert!(body.contains(&format!("<label for=\"{input}\">")), "{input}: {body}");
        }
        assert_eq!(body.matches("<button").count(), body.matches("</button>").count());
        for label in crate::support::between(body, "<button type=\"submit\"", "</button>") {
            assert!(label.split('>').nth(1).is_some_and(|text| !text.is_empty()), "{label}");
        }
    }
}

async fn the_page_is_there_while_the_session_is_replaced_and_ended(server: Server) {
    let browser = Browser::of(&server, "alice").await;
    for end in ["/sessions/sign-out-others", "/sign-out"] {
        // All with the token of before.
        let token = browser.token().unwrap();
        let mut visits = JoinSet::new();
        for _ in 0..20 {
            let visitor = Browser::with_token(&server, &token);
            visits.spawn(async move { visitor.home().await.user });
        }
        browser.post(end).await;
        for user in visits.join_all().await {
            assert!(user.is_none_or(|user| user == "alice"));
        }
    }
    assert_eq!(browser.home().await.user, None);
}
