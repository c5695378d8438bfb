//! The middleware behind a real server, whose workers are threads with a runtime each.

use std::net::SocketAddr;

use actix_web::{App, HttpServer, rt, web};
use session_core::{Result, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Site, count};

/// Sends a request over a connection of its own, and returns the whole answer: nothing, if the server hangs up.
async fn get(address: SocketAddr, path: &str, cookie: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn leave_and_panic(session: Session) -> Result<&'static str> {
    session.destroy()?;
    panic!("on purpose");
}

#[actix_web::test]
async fn workers_share_sessions_and_survive_panics() {
    let site = Site::new();
    let middleware = site.middleware();
    let server = HttpServer::new(move || {
        App::new()
            .wrap(middleware.clone())
            .route("/", web::get().to(count))
            .route("/panic", web::get().to(leave_and_panic))
    })
    .workers(2)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    let running = rt::spawn(running);

    let created = get(address, "/", "").await;
    let (_, cookie) = created.split_once("set-cookie: ").expect(&created);
    let (cookie, _) = cookie.split_once(';').unwrap();
    let requests = (0..40).map(|_| get(address, "/", cookie));
    for answer in futures_util::future::join_all(requests).await {
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("vary: Cookie\r\n"), "{answer}");
    }
    assert_eq!(site.n(cookie).await, Some(41), "parallel requests lose nothing");

    assert_eq!(get(address, "/panic", cookie).await, "");
    site.has_no_session().await;
    assert!(get(address, "/", cookie).await.starts_with("HTTP/1.1 200 "));
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}
