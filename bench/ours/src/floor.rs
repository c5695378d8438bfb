//! The limit of a layer: what none can do without. It finds the cookie; who reads digests the token, finds the
//! session in a map and decodes the one value; who writes puts new bytes there. Nothing expires, is checked,
//! compared or answered with a cookie.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::routing::get;
use bench_harness::{Cookies, Failure, Program, id, payload};
use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tower::{Layer, Service};

use crate::site::{Site, bare};

/// As long as one of ours.
type Token = [u8; 64];

type Sessions = Arc<DashMap<[u8; 32], Bytes>>;

pub(crate) async fn open(program: Program) -> Result<Site, Failure> {
    let mut values = payload::values(program.values, 0);
    values.insert("count".into(), 0.into());
    let values = serde_json::to_vec(&values)?;
    let sessions = Sessions::default();
    let mut cookies = Vec::new();
    for number in 0..program.sessions {
        let token = format!("{:064x}", u128::from_be_bytes(id(number)));
        sessions.insert(Sha256::digest(&token).into(), Bytes::copy_from_slice(&values));
        cookies.push(format!("session={token}"));
    }
    let router = Router::new().route("/read", get(read)).route("/count", get(count)).with_state(sessions);
    Ok(Site::new(bare().merge(router).layer(FindCookie), Cookies::new(&cookies)?))
}

async fn read(
    State(sessions): State<Sessions>,
    Extension(token): Extension<Token>,
) -> Result<String, StatusCode> {
    #[derive(Deserialize)]
    struct Values {
        name: String,
    }
    let bytes = load(&sessions, &token)?.1;
    let values: Values = serde_json::from_slice(&bytes).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(values.name)
}

/// Puts the number's new digits between the bytes around it.
async fn count(
    State(sessions): State<Sessions>,
    Extension(token): Extension<Token>,
) -> Result<String, StatusCode> {
    let (key, bytes) = load(&sessions, &token)?;
    let text = str::from_utf8(&bytes).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (before, rest) = text.split_once("\"count\":").ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = rest[..digits].parse().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let count = (count + 1).to_string();
    let changed = [before, "\"count\":", &count, &rest[digits..]].concat();
    sessions.insert(key, Bytes::from(changed));
    Ok(count)
}

fn load(sessions: &Sessions, token: &Token) -> Result<([u8; 32], Bytes), StatusCode> {
    let key = Sha256::digest(token).into();
    let bytes = sessions.get(&key).map(|bytes| Bytes::clone(&bytes));
    Ok((key, bytes.ok_or(StatusCode::UNAUTHORIZED)?))
}

/// Leaves the token of the session's cookie in the request.
#[derive(Clone)]
struct FindCookie;

#[derive(Clone)]
struct WithCookie<S>(S);

impl<S> Layer<S> for FindCookie {
    type Service = WithCookie<S>;

    fn layer(&self, inner: S) -> WithCookie<S> {
        WithCookie(inner)
    }
}

impl<S: Service<Request>> Service<Request> for WithCookie<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        let cookies = request.headers().get(header::COOKIE).map_or(&[][..], HeaderValue::as_bytes);
        let mut cookies = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let token = cookies.find_map(|cookie| cookie.strip_prefix(b"session="));
        if let Some(token) = token.and_then(|token| Token::try_from(token).ok()) {
            request.extensions_mut().insert(token);
        }
        self.0.call(request)
    }
}
