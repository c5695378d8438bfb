//! The end of the process, by force and by request, and what is there afterwards.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Browser, Home, PATIENCE, Server};

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let server = Server::on_sqlite().await;
    let browser = Browser::of(&server, "alice").await;
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let browser = browser.clone();
        requests.spawn(async move { browser.count_view().await });
    }
    requests.join_all().await;
    let server = server.kill_and_restart().await;
    let browser = browser.at(&server);
    assert_eq!(browser.views().await, 50);
    assert_eq!(browser.count_view().await, 51);
    assert_eq!(browser.home().await, Home::of("alice", 52).with_message("Welcome, alice."));
    let server = server.kill_and_restart().await;
    assert_eq!(browser.at(&server).home().await, Home::of("alice", 53));
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_process_ends() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::on_sqlite().await;
        let mut idle = BufReader::new(server.connect().await);
        let mut busy = BufReader::new(server.connect().await);
        idle.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nHost: demo\r\n\r\n").await.unwrap();
        assert_eq!(read_head(&mut idle).await[0], "HTTP/1.1 200 OK");

        let form = "username=alice&password=wonderland";
        let head = format!(
            "POST /sign-in HTTP/1.1\r\nHost: demo\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            form.len()
        );
        busy.get_mut().write_all(head.as_bytes()).await.unwrap();
        // The handler waits for the body.
        assert_eq!(read_head(&mut busy).await, ["HTTP/1.1 100 Continue"]);
        server.signal(signal).await;
        // The server hangs up on connections without a request: it is about to end.
        timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.unwrap().unwrap();

        busy.get_mut().write_all(form.as_bytes()).await.unwrap();
        let answer = read_head(&mut busy).await;
        assert_eq!(answer[0], "HTTP/1.1 303 See Other");
        assert!(server.end().await.success());

        let cookie = answer.iter().find_map(|line| line.strip_prefix("set-cookie: session=")).unwrap();
        let server = server.restart_after_end().await;
        let browser = Browser::with_token(&server, cookie.split(';').next().unwrap());
        assert_eq!(browser.home().await.user.as_deref(), Some("alice"));
    }
}

/// Reads the lines of an answer's head.
async fn read_head(connection: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        timeout(PATIENCE, connection.read_line(&mut line)).await.unwrap().unwrap();
        match line.trim_end() {
            "" => return lines,
            text => lines.push(text.to_owned()),
        }
    }
}
