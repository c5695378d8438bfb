//! A client that sees what is on the wire: it can send what no browser would, read a head before its
//! body, and hang up in the middle.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::check::{CaseResult, Failure, ensure, equal};

const MAX_HEADERS: usize = 64;

/// A request of the case.
#[derive(Clone, Debug)]
pub(super) struct Request {
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Request {
    pub(super) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), headers: Vec::new() }
    }

    /// Adds a header, be its value text or not.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a `Cookie` header, unless it is empty.
    pub(super) fn with_cookie(self, cookie: &str) -> Self {
        if cookie.is_empty() { self } else { self.with("Cookie", cookie) }
    }

    /// The path and the beginning of each header, for the report of a failure.
    pub(super) fn brief(&self) -> String {
        let mut text = format!("GET {}", self.path);
        for (name, value) in &self.headers {
            let (shown, more) = value.split_at(value.len().min(40));
            let dots = if more.is_empty() { "" } else { ".." };
            text.push_str(&format!(", {name}: {}{dots}", shown.escape_ascii()));
        }
        text
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("GET {} HTTP/1.1\r\n", self.path).into_bytes();
        if !self.headers.iter().any(|(name, _)| *name == "Host") {
            text.extend_from_slice(b"Host: example.org\r\n");
        }
        for (name, value) in &self.headers {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

/// An answer's status line and headers.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Every value of a header, in order.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// The members of headers that are lists, as `Vary` is.
    pub(super) fn members(&self, name: &str) -> Vec<&str> {
        self.all(name).into_iter().flat_map(|value| value.split(',').map(str::trim)).collect()
    }

    /// Whether `Vary` names this header.
    pub(super) fn varies_by(&self, name: &str) -> bool {
        self.members("vary").iter().any(|member| member.eq_ignore_ascii_case(name))
    }

    /// The `Set-Cookie` of this cookie; two are a failure.
    pub(super) fn set_cookie(&self, name: &str) -> CaseResult<Option<&str>> {
        let ours = |value: &&str| value.split_once('=').is_some_and(|(pair, _)| pair == name);
        let found: Vec<_> = self.all("set-cookie").into_iter().filter(ours).collect();
        ensure(found.len() <= 1, format!("one answer sets the cookie twice: {found:?}"))?;
        Ok(found.first().copied())
    }

    fn content_length(&self) -> CaseResult<Option<usize>> {
        let lengths = self.all("content-length");
        let Some(length) = lengths.first() else { return Ok(None) };
        length.parse().map(Some).map_err(|_| Failure::new(format!("Content-Length: {length}")))
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: String,
}

/// How much of a body there still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Bytes(usize),
    Chunks,
    UntilTheEnd,
}

/// One connection; its requests follow each other.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    rest: Rest,
    patience: Duration,
}

impl Connection {
    /// Connects. Nothing on the connection takes longer than `patience`.
    pub(super) async fn open(address: SocketAddr, patience: Duration) -> CaseResult<Self> {
        let stream = within(patience, "connecting", TcpStream::connect(address)).await?;
        let no_delay = stream.set_nodelay(true);
        no_delay.map_err(|error| Failure::new(format!("no TCP_NODELAY: {error}")))?;
        Ok(Self { stream, buffer: BytesMut::new(), rest: Rest::Bytes(0), patience })
    }

    pub(super) async fn send(&mut self, request: &Request) -> CaseResult {
        within(self.patience, "sending", self.stream.write_all(&request.to_bytes())).await
    }

    /// The head of the next answer; `None` if the server hung up instead.
    pub(super) async fn head_or_end(&mut self) -> CaseResult<Option<Head>> {
        loop {
            if let Some((head, length)) = parse_head(&self.buffer)? {
                self.buffer.advance(length);
                self.rest = rest(&head)?;
                return Ok(Some(head));
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) if self.buffer.is_empty() => return Ok(None),
                Ok(false) => return Err(Failure::new("the answer's head is cut off")),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(Failure::new(format!("no answer's head: {error}"))),
            }
        }
    }

    /// The head of the next answer.
    pub(super) async fn head(&mut self) -> CaseResult<Head> {
        self.head_or_end().await?.ok_or_else(|| Failure::new("the server hung up without an answer"))
    }

    /// The next part of the body, as the server sent it; `None` at its end.
    pub(super) async fn part(&mut self) -> CaseResult<Option<Bytes>> {
        loop {
            match self.rest {
                Rest::Bytes(0) => return Ok(None),
                Rest::Bytes(left) if !self.buffer.is_empty() => {
                    let part = self.buffer.split_to(left.min(self.buffer.len())).freeze();
                    self.rest = Rest::Bytes(left - part.len());
                    return Ok(Some(part));
                }
                Rest::UntilTheEnd if !self.buffer.is_empty() => {
                    return Ok(Some(self.buffer.split().freeze()));
                }
                Rest::Chunks => {
                    if let Some(part) = self.chunk()? {
                        return Ok((!part.is_empty()).then_some(part));
                    }
                }
                Rest::Bytes(_) | Rest::UntilTheEnd => {}
            }
            let read = self.read().await.map_err(|error| Failure::new(format!("no body: {error}")))?;
            if !read {
                ensure(self.rest == Rest::UntilTheEnd, "the body is cut off")?;
                return Ok(None);
            }
        }
    }

    /// A whole chunk out of the buffer; an empty one is the last.
    fn chunk(&mut self) -> CaseResult<Option<Bytes>> {
        let parsed = httparse::parse_chunk_size(&self.buffer);
        let parsed = parsed.map_err(|error| Failure::new(format!("not a chunk: {error}")))?;
        let httparse::Status::Complete((start, length)) = parsed else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Failure::new("a chunk of any length"))?;
        if self.buffer.len() < start + length + 2 {
            return Ok(None);
        }
        self.buffer.advance(start);
        let part = self.buffer.split_to(length).freeze();
        self.buffer.advance(2);
        if part.is_empty() {
            self.rest = Rest::Bytes(0);
        }
        Ok(Some(part))
    }

    /// What is left of the body.
    pub(super) async fn body(&mut self) -> CaseResult<String> {
        let mut body = Vec::new();
        while let Some(part) = self.part().await? {
            body.extend_from_slice(&part);
        }
        String::from_utf8(body).map_err(|_| Failure::new("the body is no text"))
    }

    /// Fails unless the next part of the body is this text.
    pub(super) async fn expect(&mut self, text: &str) -> CaseResult {
        let mut got = Vec::new();
        while got.len() < text.len() {
            let part = self.part().await?;
            got.extend_from_slice(
                &part.ok_or_else(|| Failure::new(format!("the body ends before {text:?}")))?,
            );
        }
        equal(String::from_utf8_lossy(&got).as_ref(), text, "the next part of the body")
    }

    pub(super) async fn answer(&mut self) -> CaseResult<Answer> {
        let head = self.head().await?;
        Ok(Answer { head, body: self.body().await? })
    }

    /// Breaks the connection, as a device does that loses its network.
    pub(super) fn hang_up(self) -> CaseResult {
        self.stream.set_zero_linger().map_err(|error| Failure::new(format!("no SO_LINGER: {error}")))
    }

    /// Whether there was more to read.
    async fn read(&mut self) -> io::Result<bool> {
        self.buffer.reserve(4096);
        let read = timeout(self.patience, self.stream.read_buf(&mut self.buffer)).await;
        Ok(read.map_err(|_| io::Error::other(format!("nothing came within {:?}", self.patience)))?? > 0)
    }
}

fn parse_head(buffer: &[u8]) -> CaseResult<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(buffer).map_err(|error| Failure::new(format!("not a head: {error}")))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let text = |header: &httparse::Header<'_>| String::from_utf8_lossy(header.value).into_owned();
    let headers = response.headers.iter().map(|header| (header.name.to_owned(), text(header))).collect();
    Ok(Some((Head { status: response.code.unwrap_or_default(), headers }, length)))
}

/// RFC 9112, 6.3.
fn rest(head: &Head) -> CaseResult<Rest> {
    if head.status == 101 {
        return Ok(Rest::UntilTheEnd);
    }
    if head.status < 200 || matches!(head.status, 204 | 304) {
        return Ok(Rest::Bytes(0));
    }
    if head.members("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(Rest::Chunks);
    }
    Ok(head.content_length()?.map_or(Rest::UntilTheEnd, Rest::Bytes))
}

async fn within<T>(
    patience: Duration,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> CaseResult<T> {
    match timeout(patience, work).await {
        Ok(result) => result.map_err(|error| Failure::new(format!("{what}: {error}"))),
        Err(_) => Err(Failure::new(format!("{what}: not done within {patience:?}"))),
    }
}
