//! The one connection that carries the commands of all callers, and its successor when it breaks.
//!
//! No command is ever sent again: one whose reply was lost may have been run, and which may be repeated only
//! the caller knows.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value,
};
use session_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use crate::error::{ends_the_connection, from_connecting, from_redis};
use crate::home::Home;
use crate::server;

/// A connection that is made anew, once for all who wait, when it is needed and broken. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where connections are made and live; replaced when it is over.
    home: Mutex<Home>,
    client: Client,
    connect_timeout: Duration,
    response_timeout: Duration,
    current: Mutex<Option<Established>>,
    /// Held during an attempt; what the last one failed with.
    attempt: AsyncMutex<Option<Failure>>,
    /// How many attempts have ended.
    attempts: AtomicU64,
}

#[derive(Clone)]
struct Established {
    link: MultiplexedConnection,
    /// Cleared by the connection's own task when it ends, so that nobody sends into the void.
    is_open: Arc<AtomicBool>,
    home: Home,
}

impl Connection {
    /// On the runtime that [`Home::choose`] chooses.
    pub(crate) fn new(client: Client, connect_timeout: Duration, response_timeout: Duration) -> Result<Self> {
        let shared = Shared {
            home: Mutex::new(Home::choose()?),
            client,
            connect_timeout,
            response_timeout,
            current: Mutex::new(None),
            attempt: AsyncMutex::new(None),
            attempts: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sends a command, once; its reply.
    ///
    /// A caller that stops waiting loses its reply alone: the connection reads it and drops it.
    pub(crate) async fn send(&self, command: &Cmd) -> Result<Value> {
        self.send_raw(command).await?.map_err(|error| from_redis(&error))
    }

    /// The same, with the error of the command itself as the client has it.
    pub(crate) async fn send_raw(&self, command: &Cmd) -> Result<RedisResult<Value>> {
        let mut established = self.established().await?;
        let result = established.link.send_packed_command(command).await;
        self.note(&established, result.as_ref().err());
        let result = result.and_then(Value::extract_error);
        self.note(&established, result.as_ref().err());
        Ok(result)
    }

    /// Sends several commands at once; the reply to each.
    pub(crate) async fn send_all(&self, commands: &Pipeline) -> Result<Vec<Result<Value>>> {
        let mut established = self.established().await?;
        let result = established.link.send_packed_commands(commands, 0, commands.len()).await;
        self.note(&established, result.as_ref().err());
        let replies = result.map_err(|error| from_redis(&error))?.into_iter().map(Value::extract_error);
        let replies = replies.map(|reply| {
            self.note(&established, reply.as_ref().err());
            reply.map_err(|error| from_redis(&error))
        });
        Ok(replies.collect())
    }

    /// Connects now, if there is no connection.
    pub(crate) async fn open(&self) -> Result<()> {
        self.established().await.map(drop)
    }

    async fn established(&self) -> Result<Established> {
        if let Some(established) = self.shared.open() {
            return Ok(established);
        }
        let seen = self.shared.attempts.load(Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        let home = self.shared.home()?;
        let place = home.clone();
        // A task, because a caller that goes away must not take the attempt from the others who wait for it.
        home.run(async move { shared.attempt(seen, place).await.map_err(Failure::into_error) }).await
    }

    /// Runs a verb of several commands to its end, whether its caller waits for it or not.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        verb: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.shared.home()?.run(verb).await
    }

    /// Gives the connection up if `error` says that it is of no further use.
    fn note(&self, used: &Established, error: Option<&RedisError>) {
        if error.is_some_and(ends_the_connection) {
            let mut current = lock(&self.shared.current);
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.is_open, &used.is_open)) {
                *current = None;
            }
        }
    }
}

impl Shared {
    fn open(&self) -> Option<Established> {
        let current = lock(&self.current);
        let is_open =
            |current: &&Established| current.is_open.load(Ordering::SeqCst) && !current.home.is_over();
        current.as_ref().filter(is_open).cloned()
    }

    /// Where to connect. A runtime that has ended is followed by one that nobody else can end.
    fn home(&self) -> Result<Home> {
        let mut home = lock(&self.home);
        if home.is_over() {
            *home = Home::make()?;
        }
        Ok(home.clone())
    }

    /// The open connection, or a new one. Who waited for an attempt shares its failure: else those who wait
    /// would time out one after the other.
    async fn attempt(&self, seen: u64, home: Home) -> Result<Established, Failure> {
        let mut failed = self.attempt.lock().await;
        if let Some(established) = self.open() {
            return Ok(established);
        }
        if self.attempts.load(Ordering::SeqCst) != seen
            && let Some(failure) = &*failed
        {
            return Err(failure.clone());
        }
        let result = match timeout(self.connect_timeout, self.connect(home)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Refused(ErrorKind::Unavailable, "no connection in time".into())),
        };
        if let Ok(established) = &result {
            *lock(&self.current) = Some(established.clone());
        }
        *failed = result.as_ref().err().cloned();
        self.attempts.fetch_add(1, Ordering::SeqCst);
        result
    }

    async fn connect(&self, home: Home) -> Result<Established, Failure> {
        let is_open = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&is_open);
        let on_push = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                flag.store(false, Ordering::SeqCst);
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(on_push);
        let mut link = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        server::inspect(&mut link).await?;
        Ok(Established { link, is_open, home })
    }
}

/// Commands that wait for the connection's task to write them; further ones wait until there is room.
const QUEUE: usize = 1024;

/// Why there is no connection; several callers may get the same.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Redis(RedisError),
    Refused(ErrorKind, String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Redis(error) => from_connecting(&error),
            Self::Refused(kind, detail) => Error::describe(kind, detail),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.shared.open().is_some();
        f.debug_struct("Connection").field("is_open", &is_open).finish_non_exhaustive()
    }
}

/// Nothing under this lock can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
