//! What an integration serves: handlers that the suite gave names, behind routes that the integration makes.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use session_core::http::SessionCookie;
use session_core::{Result, Session, SessionManager};
use tokio::sync::{mpsc, watch};

/// The suite's application. Clones are the same.
#[derive(Clone, Debug)]
pub struct Application {
    pub(super) outer: Scope,
    pub(super) inner: Scope,
    pub(super) stop: watch::Receiver<bool>,
}

impl Application {
    /// The routes at `/`.
    #[must_use]
    pub fn outer(&self) -> &Scope {
        &self.outer
    }

    /// The routes below `/inner`, with sessions of their own.
    #[must_use]
    pub fn inner(&self) -> &Scope {
        &self.inner
    }

    /// Returns when the server is to end.
    pub async fn stopped(mut self) {
        // An error: the case is over, and nobody is left to say so.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Routes with one kind of session. Clones are the same.
#[derive(Clone)]
pub struct Scope {
    pub(super) manager: SessionManager,
    pub(super) cookie: SessionCookie,
    pub(super) bearer: bool,
    pub(super) touch_always: bool,
    pub(super) handlers: Handlers,
}

impl Scope {
    /// The sessions of these routes.
    #[must_use]
    pub fn manager(&self) -> SessionManager {
        self.manager.clone()
    }

    /// The cookie that they are to be in, unless they are [bearer](Self::is_bearer) sessions.
    #[must_use]
    pub fn cookie(&self) -> SessionCookie {
        self.cookie.clone()
    }

    /// Whether tokens travel in headers of their own: `HttpSessions::bearer`.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.bearer
    }

    /// Whether every request is activity: `HttpSessions::touch_always`.
    #[must_use]
    pub fn touches_always(&self) -> bool {
        self.touch_always
    }

    /// Handles a request without its session.
    pub async fn plain(&self, action: &str) -> Reply {
        let reply = self.handlers.run(action, Given::Nothing).await;
        reply.unwrap_or_else(|_| Reply::new(500))
    }

    /// Handles a request with its session.
    ///
    /// # Errors
    ///
    /// What the handler returns with `?`.
    pub async fn session(&self, action: &str, session: Session) -> Result<Reply> {
        self.handlers.run(action, Given::Session(session)).await
    }

    /// Handles a request whose handler decides what a session that cannot be opened means.
    pub async fn result(&self, action: &str, session: Result<Session>) -> Reply {
        let reply = self.handlers.run(action, Given::Outcome(session)).await;
        reply.unwrap_or_else(|_| Reply::new(500))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

/// What a handler got from its framework.
#[derive(Debug)]
pub(super) enum Given {
    Nothing,
    Session(Session),
    Outcome(Result<Session>),
}

type Running = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;
type Handler = Arc<dyn Fn(Given) -> Running + Send + Sync>;

/// Handlers by the name of their action. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Handlers(Arc<Mutex<HashMap<String, Handler>>>);

impl Handlers {
    pub(super) fn insert<F>(&self, action: &str, handler: impl Fn(Given) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Reply>> + Send + 'static,
    {
        let mut handlers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(action.to_owned(), Arc::new(move |given| Box::pin(handler(given))));
    }

    async fn run(&self, action: &str, given: Given) -> Result<Reply> {
        let handler = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(action).cloned();
        match handler {
            Some(handler) => handler(given).await,
            None => Ok(Reply::new(404)),
        }
    }
}

/// An answer as the application means it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status: 101 with [`Body::Upgrade`], else 200 to 599.
    pub status: u16,
    /// Headers to add, in this order; a name may come twice.
    pub headers: Vec<(&'static str, String)>,
    /// What follows the head.
    pub body: Body,
}

/// What follows the head of a [`Reply`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Body {
    /// All of it.
    Full(Bytes),
    /// Parts, to be sent as they come.
    Stream(ByteStream),
    /// After status 101, bytes of another protocol, to be sent as they come; the connection ends with
    /// them. What the client sends is not looked at.
    Upgrade(ByteStream),
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Full(Bytes::new()) }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { body: Body::Full(Bytes::from(text.into())), ..Self::new(200) }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// A body that is made while it is sent, by a task that this starts.
    pub(super) fn stream<F>(make: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let body = Body::Stream(ByteStream::made_by(make));
        Self { body, ..Self::new(200) }.with_header("content-type", "text/event-stream")
    }

    /// Another protocol on the same connection.
    pub(super) fn upgrade<F>(make: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let body = Body::Upgrade(ByteStream::made_by(make));
        Self { body, ..Self::new(101) }
            .with_header("connection", "upgrade")
            .with_header("upgrade", "websocket")
    }
}

/// Bytes that are made while they are sent. It never fails.
#[derive(Debug)]
pub struct ByteStream(mpsc::Receiver<Bytes>);

impl ByteStream {
    fn made_by<F>(make: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(make(sender));
        Self(receiver)
    }
}

impl Stream for ByteStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|part| part.map(Ok))
    }
}
