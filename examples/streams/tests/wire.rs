//! The streams over the wire: what is stored when their heads arrive, and how they end.

#![expect(clippy::unwrap_used, reason = "in a test it is the assertion")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Response;
use reqwest::header::{COOKIE, HeaderMap};
use session_kit::axum::SessionLayer;
use session_kit::{Session, SessionManager};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// How long anything may take that is expected to happen: only a failing test waits for its end.
const PATIENCE: Duration = Duration::from_secs(30);

struct Site {
    address: SocketAddr,
    sessions: SessionManager,
}

impl Site {
    async fn start() -> Self {
        let sessions = session_kit::connect("memory:").await.unwrap();
        let layer = SessionLayer::new(sessions.clone()).insecure_local();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = streams_example::router(layer, Duration::from_millis(5));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, sessions }
    }

    async fn visit(&self, path: &str, cookie: &str) -> Response {
        let request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        let answer = request.header(COOKIE, cookie).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    }

    async fn upgrade(&self, cookie: &str) -> (WebSocketStream<TcpStream>, HeaderMap) {
        let mut request = format!("ws://{}/notes", self.address).into_client_request().unwrap();
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(answer.status().as_u16(), 101);
        (socket, answer.headers().clone())
    }

    /// The session as somebody else's request would find it.
    async fn session(&self, cookie: &str) -> Session {
        let (_, token) = cookie.split_once('=').unwrap();
        self.sessions.open(Some(token)).await.unwrap()
    }

    async fn revoke(&self, cookie: &str) {
        let id = self.session(cookie).await.id().unwrap();
        assert!(self.sessions.revoke(id).await.unwrap());
    }
}

/// The cookie that an answer sets.
fn cookie(headers: &HeaderMap) -> String {
    assert_eq!(headers["vary"], "Cookie");
    assert_eq!(headers["cache-control"], "no-store");
    headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// Reads the stream until it says this.
async fn hear(stream: &mut Response, expected: &str) {
    let mut heard = String::new();
    let hear = async {
        while !heard.contains(expected) {
            heard.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    timeout(PATIENCE, hear).await.expect(expected);
}

async fn say(socket: &mut WebSocketStream<TcpStream>, note: &str) -> Message {
    socket.send(Message::text(note)).await.unwrap();
    timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn events_begin_with_a_committed_session_and_follow_it_to_its_end() {
    let site = Site::start().await;
    let mut stream = site.visit("/events", "").await;
    let cookie = cookie(stream.headers());
    assert_eq!(site.session(&cookie).await.get("watched").unwrap(), Some(true), "with the head");
    hear(&mut stream, "data: 0\n\n").await;
    for views in 1..=3 {
        site.visit("/", &cookie).await;
        hear(&mut stream, &format!("data: {views}\n\n")).await;
    }
    site.revoke(&cookie).await;
    hear(&mut stream, "event: over\n").await;
    while stream.chunk().await.unwrap().is_some() {}
    assert!(site.session(&cookie).await.is_new(), "the stream did not bring it back");
}

#[tokio::test]
async fn a_websocket_begins_with_a_committed_session() {
    let site = Site::start().await;
    let (_socket, headers) = site.upgrade("").await;
    let session = site.session(&cookie(&headers)).await;
    assert_eq!(session.get("took_notes").unwrap(), Some(true), "before anything was said");
}

#[tokio::test]
async fn notes_are_kept_beside_what_requests_change() {
    let site = Site::start().await;
    let (mut socket, headers) = site.upgrade("").await;
    let cookie = cookie(&headers);
    for number in 1..=3_u64 {
        assert_eq!(say(&mut socket, "milk").await, Message::text(number.to_string()));
        site.visit("/", &cookie).await;
        let session = site.session(&cookie).await;
        assert_eq!(session.get("views").unwrap(), Some(number));
        assert_eq!(session.get::<Vec<String>>("notes").unwrap().unwrap().len() as u64, number);
    }
    let (mut second, headers) = site.upgrade(&cookie).await;
    assert!(headers.get("set-cookie").is_none(), "a known visitor's");
    assert_eq!(say(&mut second, "bread").await, Message::text("4"));
    assert_eq!(say(&mut socket, "salt").await, Message::text("5"));
}

#[tokio::test]
async fn a_websocket_ends_with_its_session() {
    let site = Site::start().await;
    let (mut socket, headers) = site.upgrade("").await;
    let cookie = cookie(&headers);
    assert_eq!(say(&mut socket, "milk").await, Message::text("1"));
    site.revoke(&cookie).await;
    let Message::Close(Some(frame)) = say(&mut socket, "more").await else { panic!("it goes on") };
    assert_eq!(frame.code, CloseCode::Policy);
    assert!(site.session(&cookie).await.is_new(), "the note did not bring it back");
}

#[tokio::test]
async fn a_websocket_ends_when_somebody_signs_in() {
    let site = Site::start().await;
    let (mut socket, headers) = site.upgrade("").await;
    let cookie = cookie(&headers);
    let session = site.session(&cookie).await;
    session.sign_in("alice").unwrap();
    let _ = session.commit().await.unwrap();
    let Message::Close(Some(frame)) = say(&mut socket, "milk").await else { panic!("it goes on") };
    assert_eq!(frame.code, CloseCode::Policy);
    assert_eq!(session.get::<Vec<String>>("notes").unwrap(), None);
}
