//! A store in trouble: typed answers, nothing lost, and on as before once it is over.

use tokio::process::Command;

use crate::support::{Browser, Home, PrivateServer, Server, Workplace, missing_is_allowed};

#[tokio::test]
async fn health_tells_a_store_that_works_from_one_that_does_not() {
    let server = Server::on_sqlite().await;
    let browser = Browser::new(&server);
    let answer = browser.get("/healthz").await;
    assert_eq!((answer.status, answer.set_cookie()), (200, None));
    server.database().execute_batch("ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    assert_eq!(browser.get("/healthz").await.status, 503);
    server.database().execute_batch("ALTER TABLE elsewhere RENAME TO sessions").unwrap();
    assert_eq!(browser.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_stopped_server_is_a_friendly_page_and_signs_nobody_out() {
    let Some(mut store) = PrivateServer::start(&[]).await else {
        return assert!(missing_is_allowed(), "PostgreSQL is not installed");
    };
    let server = Server::on(&store.url(""), &[]).await;
    let browser = Browser::of(&server, "alice").await;
    assert_eq!(browser.count_view().await, 1);
    let token = browser.token();

    store.stop();
    let try_again = |path| ["Back in a moment", "whoever was signed in still is", path];
    let (home, sessions) = ("<a href=\"/\">Try again</a>", "<a href=\"/sessions\">Try again</a>");
    for (answer, parts) in [
        (browser.get("/").await, try_again(home)),
        (browser.get("/sessions").await, try_again(sessions)),
        (
            browser.post("/sign-out").await,
            ["You are not signed out yet", "does not answer", "action=\"/sign-out\""],
        ),
        (browser.post("/sessions/sign-out-others").await, try_again(sessions)),
        (browser.try_password("alice", "wonderland").await, try_again(home)),
        (Browser::new(&server).get("/").await, try_again(home)),
    ] {
        assert_eq!((answer.status, answer.set_cookie()), (503, None), "{}", answer.body);
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
        let body = answer.body.replace("Whoever", "whoever");
        for part in parts.into_iter().chain(["Please try again in a few seconds"]) {
            assert!(body.contains(part), "{part}: {body}");
        }
    }
    assert_eq!(browser.post("/api/views").await.status, 503);
    assert_eq!(browser.get("/healthz").await.status, 503);

    store.run(&[]).await;
    assert_eq!(browser.token(), token);
    assert_eq!(browser.views().await, 1, "what failed has not counted");
    assert_eq!(browser.home().await, Home::of("alice", 2).with_message("Welcome, alice."));
    assert_eq!(browser.sessions().await.len(), 1);
    assert_eq!(browser.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_missing_table_is_a_page_and_takes_no_cookie_away() {
    let server = Server::on_sqlite().await;
    let browser = Browser::of(&server, "alice").await;
    let token = browser.token();
    server.database().execute_batch("ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    for (answer, title) in [
        (browser.get("/").await, "Something went wrong"),
        (browser.get("/sessions").await, "Something went wrong"),
        (browser.post("/sign-out").await, "You are not signed out yet"),
        (Browser::new(&server).get("/").await, "Something went wrong"),
    ] {
        assert_eq!((answer.status, answer.set_cookie()), (500, None));
        assert!(answer.body.contains(title), "{}", answer.body);
        assert!(!answer.body.contains("still is"), "{}", answer.body);
    }
    server.database().execute_batch("ALTER TABLE elsewhere RENAME TO sessions").unwrap();
    assert_eq!(browser.token(), token);
    assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_failed_commit_is_a_page_and_one_line_of_the_log() {
    let server = Server::on_sqlite().await;
    let browser = Browser::of(&server, "alice").await;
    let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'refused'); END";
    server.database().execute_batch(refuse).unwrap();
    let answer = browser.post("/sign-out").await;
    assert_eq!((answer.status, answer.set_cookie()), (500, None), "{}", answer.body);
    assert!(answer.body.contains("You may not be signed out yet"), "{}", answer.body);
    let log = server.log();
    let complaints = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert_eq!(complaints.count(), 1, "{log}");
}

/// Another process holds the write lock for longer than the driver waits: what waits may still be done.
#[tokio::test]
async fn a_locked_database_leaves_posts_in_doubt_and_visits_signed_in() {
    let server = Server::on("sqlite:demo-sessions.db?busy_timeout=100", &[]).await;
    let browser = Browser::of(&server, "alice").await;
    browser.home().await;
    let token = browser.token();
    let other = server.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let visit = browser.get("/").await;
    assert!(visit.body.contains("Whoever was signed in still is"), "{}", visit.body);
    let ending = browser.post("/sessions/sign-out-others").await;
    let sign_in = browser.try_password("alice", "wonderland").await;
    let sign_out = browser.post("/sign-out").await;
    for (answer, title) in [
        (&ending, "Sessions may be left"),
        (&sign_in, "You may not be signed in yet"),
        (&sign_out, "You may not be signed out yet"),
    ] {
        assert_eq!((answer.status, answer.set_cookie()), (503, None), "{}", answer.body);
        assert!(answer.body.contains(title) && !answer.body.contains("still is"), "{}", answer.body);
    }
    assert_eq!(browser.token(), token);
    other.execute_batch("ROLLBACK").unwrap();
    // Once more, as the page offers it, and whatever came of the first one.
    assert_eq!(browser.post("/sign-out").await.status, 303);
    assert_eq!(browser.home().await.user, None);
}

#[tokio::test]
async fn a_damaged_row_is_a_page_and_stays_as_it_is() {
    let server = Server::on_sqlite().await;
    let database = server.database();
    let (bob, elsewhere) = (Browser::of(&server, "bob").await, Browser::of(&server, "alice").await);
    for damage in [
        "meta = x'00'",
        "meta = x''",
        "meta = CAST(x'63' || substr(meta, 2) AS BLOB)",
        "data = CAST('{\"views\":' AS BLOB)",
        "data = CAST('{\"views\":1,\"views\":2}' AS BLOB)",
        "data = CAST('{\"views\":\"canary\"}' AS BLOB)",
        "data = CAST('{\"views\":-1}' AS BLOB)",
        "data = 'text'",
        "revision = -1",
        "principal = x'ff'",
        "deadline = 'tomorrow'",
    ] {
        let alice = Browser::of(&server, "alice").await;
        let id = base64_id(&alice.token().unwrap());
        let changed = database.execute(&format!("UPDATE sessions SET {damage} WHERE id = ?1"), [&id]);
        assert_eq!(changed.unwrap(), 1);
        let row = || -> Vec<rusqlite::types::Value> {
            let columns = |row: &rusqlite::Row<'_>| (0..8).map(|column| row.get(column)).collect();
            database.query_row("SELECT * FROM sessions WHERE id = ?1", [&id], columns).unwrap()
        };
        let before = row();
        let page = alice.get("/").await;
        assert_eq!((page.status, page.set_cookie()), (500, None), "{damage}: {}", page.body);
        assert!(page.body.contains("Something went wrong"), "{damage}: {}", page.body);
        assert_eq!(alice.get("/api/views").await.status, 500, "{damage}");
        assert_eq!(alice.post("/api/views").await.status, 500, "{damage}");
        assert_eq!(row(), before, "{damage}");
        assert_eq!(bob.home().await.user.as_deref(), Some("bob"), "{damage}");
        assert_eq!(Browser::new(&server).home().await, Home::of_nobody(1), "{damage}");
        let page = elsewhere.get("/sessions").await;
        assert_eq!(page.status, 200, "{damage}: {}", page.body);
    }
    let log = server.log();
    assert!(log.contains(" WARN "), "{log}");
    assert!(!log.contains("canary"), "values stay out of the log: {log}");
}

#[tokio::test]
async fn a_session_with_damaged_values_can_be_ended_from_elsewhere() {
    let server = Server::on_sqlite().await;
    let (here, there) = (Browser::of(&server, "alice").await, Browser::of(&server, "alice").await);
    let id = there.token().unwrap()[..22].to_owned();
    let damage = "UPDATE sessions SET data = CAST('{\"browser\":' AS BLOB) WHERE id = ?1";
    server.database().execute(damage, [base64_id(&id)]).unwrap();
    let rows = here.sessions().await;
    assert!(
        rows.len() == 2 && rows.iter().any(|row| row.id == id && row.text.contains("unknown")),
        "{rows:?}"
    );
    assert_eq!(here.post(&format!("/sessions/{id}/sign-out")).await.status, 303);
    assert_eq!(there.home().await, Home::of_nobody(1), "and its browser is free again");
}

fn base64_id(token: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&token[..22]).unwrap()
}

/// The session is deleted, and then the one for the message cannot be made.
#[tokio::test]
async fn half_a_sign_out_is_a_sign_out() {
    let server = Server::on_sqlite().await;
    let browser = Browser::of(&server, "alice").await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'refused'); END";
    server.database().execute_batch(refuse).unwrap();
    let answer = browser.post("/sign-out").await;
    assert!(answer.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=0")), "{}", answer.body);
    assert!(answer.status >= 500 && answer.body.contains("You are signed out"), "{}", answer.body);
    server.database().execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(browser.home().await, Home::of_nobody(1));
}

#[tokio::test]
async fn a_full_disk_is_a_page_and_loses_nothing() {
    let workplace = Workplace::new();
    // Writing past the limit is an error instead of the process's end.
    let ignoring = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let options = ["-c", ignoring, env!("CARGO_BIN_EXE_demo"), "--listen", "127.0.0.1:0"];
    let command = workplace.program("/bin/sh", &options);
    let server = workplace.serve(command).await;
    let browser = Browser::of(&server, "alice").await;
    browser.home().await;
    let token = browser.token();

    limit_files(&server, "0").await;
    for (answer, title) in [
        (browser.get("/").await, "Back in a moment"),
        (browser.post("/sign-out").await, "You may not be signed out yet"),
        (browser.try_password("alice", "wonderland").await, "You may not be signed in yet"),
        (Browser::new(&server).get("/").await, "Back in a moment"),
    ] {
        assert_eq!((answer.status, answer.set_cookie()), (503, None), "{}", answer.body);
        assert!(answer.body.contains(title), "{}", answer.body);
    }
    assert_eq!(browser.post("/api/views").await.status, 503);
    assert_eq!(browser.views().await, 1, "reading goes on");
    assert_eq!(browser.sessions().await.len(), 1);

    limit_files(&server, "unlimited").await;
    assert_eq!(browser.token(), token);
    assert_eq!(browser.home().await, Home::of("alice", 2));
    assert_eq!(Browser::new(&server).home().await, Home::of_nobody(1));
    let server = server.kill_and_restart().await;
    assert_eq!(browser.at(&server).home().await, Home::of("alice", 3));
}

/// Limits how long the files may get that the server writes, from now on.
async fn limit_files(server: &Server, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let status =
        Command::new("prlimit").args(["--pid", &server.process_id(), &limit]).status().await.unwrap();
    assert!(status.success());
}
