//! What the log is told of a cookie that browsers may drop.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::header::HOST;
use axum::routing::get;
use session_tower::SessionLayer;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::support::{Site, count, request, send};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How often the log warns when two visitors come to `host`.
async fn warnings(host: &'static str, layer: impl FnOnce(SessionLayer) -> SessionLayer) -> usize {
    let log = Log::default();
    let writer = log.clone();
    let _logging =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish().set_default();
    let app = Router::new().route("/", get(count)).layer(layer(Site::new().layer()));
    for _ in 0..2 {
        let mut visit = request("/", &[]);
        visit.headers_mut().insert(HOST, host.parse().unwrap());
        assert!(send(app.clone(), visit).await.set_cookie().is_some());
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.matches("use `insecure_local` there").count()
}

#[tokio::test]
async fn a_secure_cookie_for_loopback_is_warned_of_once() {
    assert_eq!(warnings("127.0.0.1:3000", |layer| layer).await, 1);
    assert_eq!(warnings("shop.example", |layer| layer).await, 0);
    assert_eq!(warnings("127.0.0.1:3000", SessionLayer::insecure_local).await, 0);
}
