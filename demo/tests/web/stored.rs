//! What the database holds: the values in plain JSON, and nothing that signs anybody in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Browser, Server};

#[tokio::test]
async fn the_files_hold_no_secret() {
    let server = Server::on_sqlite().await;
    let browser = Browser::new(&server);
    browser.home().await;
    let mut tokens = vec![browser.token().unwrap()];
    browser.sign_in("alice").await;
    tokens.push(browser.token().unwrap());
    browser.post("/sessions/sign-out-others").await;
    tokens.push(browser.token().unwrap());
    Browser::with_token(&server, &tokens[0]).post("/api/views").await;
    Browser::with_token(&server, &format!("{}.{}", &tokens[0][..22], "B".repeat(42) + "A")).home().await;

    let mut files = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", server.database_file().display());
        files.push((path.clone(), std::fs::read(path).unwrap()));
    }
    files.push(("the log".to_owned(), server.log().into_bytes()));
    let contains = |needle: &[u8]| {
        files.iter().find(|(_, bytes)| bytes.windows(needle.len()).any(|window| window == needle))
    };
    let id = URL_SAFE_NO_PAD.decode(&tokens[0][..22]).unwrap();
    assert!(contains(&id).is_some(), "the id is there, so it is the right file");
    for token in tokens {
        let secret = &token[23..];
        let raw = URL_SAFE_NO_PAD.decode(secret).unwrap();
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in [token.as_bytes(), secret.as_bytes(), &raw, hex.as_bytes(), hex.to_uppercase().as_bytes()]
        {
            assert!(contains(form).is_none(), "{:?} holds a secret", contains(form).unwrap().0);
        }
    }
}

#[tokio::test]
async fn the_document_holds_the_account_as_plain_json() {
    let server = Server::on_sqlite().await;
    for (username, account) in [("alice", 1), ("bob", 2)] {
        Browser::of(&server, username).await.home().await;
        let document: String = server
            .database()
            .query_row("SELECT data FROM sessions_json WHERE principal = ?1", [username], |row| row.get(0))
            .unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["account"]["current_user_id"], account);
        assert_eq!(document["views"], 1);
        assert_eq!(document["browser"], "unknown");
    }
}

#[tokio::test]
async fn only_those_who_need_one_get_a_row() {
    let server = Server::on_sqlite().await;
    let rows = || -> i64 {
        server.database().query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap()
    };
    let browser = Browser::new(&server);
    for path in ["/api/views", "/sessions", "/healthz", "/no-such-page"] {
        browser.get(path).await;
    }
    for path in ["/sign-out", "/sessions/sign-out-others", "/sessions/x/sign-out"] {
        browser.post(path).await;
    }
    browser.try_password("alice", "wrong").await;
    assert_eq!((rows(), browser.token()), (0, None));
    browser.home().await;
    browser.sign_in("alice").await;
    assert_eq!(rows(), 1);
    browser.post("/sign-out").await;
    assert_eq!(rows(), 1, "the session is gone, the one with the message is there");
}
