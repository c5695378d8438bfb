//! Answers of hyper out of what the suite's handlers mean.

use std::io;

use conformance_tests::http::{self, Reply};
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::HeaderValue;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer that goes on after its head; in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoesOn {
    Stream,
    Upgrade,
}

pub(crate) fn respond(reply: Reply, upgrade: OnUpgrade) -> Response<Body> {
    let (body, goes_on) = match reply.body {
        http::Body::Full(bytes) => (full(bytes), None),
        http::Body::Stream(parts) => (stream(parts), Some(GoesOn::Stream)),
        http::Body::Upgrade(mut parts) => {
            tokio::spawn(async move {
                let Ok(connection) = upgrade.await else { return };
                let mut connection = TokioIo::new(connection);
                while let Some(Ok(part)) = parts.next().await {
                    if connection.write_all(&part).await.is_err() {
                        return;
                    }
                }
                // A client that is gone already needs no end.
                let _ = connection.shutdown().await;
            });
            (Body::default(), Some(GoesOn::Upgrade))
        }
        other => panic!("a body that this adapter does not know: {other:?}"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status.try_into().expect("a status");
    for (name, value) in reply.headers {
        response.headers_mut().append(name, HeaderValue::try_from(value).expect("a header's value"));
    }
    response.extensions_mut().insert(goes_on);
    response
}

pub(crate) fn goes_on(response: &Response<Body>) -> Option<GoesOn> {
    response.extensions().get::<Option<GoesOn>>().copied().flatten()
}

pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn stream(parts: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(parts.map(|part| part.map(Frame::data))).boxed_unsync()
}

pub(crate) fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status.try_into().expect("a status");
    response
}
