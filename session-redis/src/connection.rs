//! The one connection to a server that carries the commands of all callers, and its successor when it breaks.
//!
//! No command is ever sent again: one whose reply was lost may have been run, and which may be repeated only
//! the caller knows.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, RedisError, Value};
use session_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use crate::error::{ends_the_connection, from_connecting, from_redis, may_have_a_successor, of_script};
use crate::home::{Home, Homes};
use crate::replicas::{Replicas, TooFew};
use crate::source::Source;

/// A connection that is made anew, once for all who wait, when it is needed and broken. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where connections are made and live.
    homes: Arc<Homes>,
    source: Source,
    limits: Limits,
    current: Mutex<Option<Established>>,
    /// Held during an attempt; what the last one failed with.
    attempt: AsyncMutex<Option<Failure>>,
    /// How many attempts have ended.
    attempts: AtomicU64,
    /// When another server was last looked for though there was a connection.
    looked: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Established {
    link: MultiplexedConnection,
    /// Cleared by the connection's own task when it ends, so that nobody sends into the void.
    is_open: Arc<AtomicBool>,
    home: Home,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
}

/// What goes along with a command, on the same connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct With {
    /// `ASKING`, before it: this node serves the key already, while its slot is on the way.
    pub(crate) asking: bool,
    /// `WAIT`, after it.
    pub(crate) replicas: Option<Replicas>,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum SendError {
    /// There was no connection: the command has certainly not been run.
    NotSent(Error),
    /// The server's answer, or the end of a connection that a command had gone into.
    Redis(RedisError),
    /// The command has been run, but too few replicas have it.
    TooFew(TooFew),
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotSent(error) => error,
            SendError::Redis(error) => from_redis(&error),
            SendError::TooFew(too_few) => too_few.into(),
        }
    }
}

impl From<RedisError> for SendError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Connection {
    pub(crate) fn new(source: Source, limits: Limits, homes: Arc<Homes>) -> Self {
        let shared = Shared {
            homes,
            source,
            limits,
            current: Mutex::new(None),
            attempt: AsyncMutex::new(None),
            attempts: AtomicU64::new(0),
            looked: Mutex::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends a command, once; its reply.
    ///
    /// A caller that stops waiting loses its reply alone: the connection reads it and drops it.
    pub(crate) async fn send(&self, command: &Cmd, with: With) -> Result<Value, SendError> {
        let mut established = self.established().await.map_err(SendError::NotSent)?;
        if with.asking {
            return Box::pin(self.send_asking(established, command, with.replicas)).await;
        }
        let reply = self.send_on(&mut established, command).await?;
        self.confirm(established, with.replicas).await?;
        Ok(reply)
    }

    async fn send_on(&self, established: &mut Established, command: &Cmd) -> Result<Value, RedisError> {
        let result = established.link.send_packed_command(command).await;
        self.note(established, result.as_ref().err());
        let result = result.and_then(|reply| reply.extract_error().map_err(of_script));
        self.note(established, result.as_ref().err());
        result
    }

    async fn send_asking(
        &self,
        mut established: Established,
        command: &Cmd,
        replicas: Option<Replicas>,
    ) -> Result<Value, SendError> {
        let mut commands = redis::pipe();
        commands.cmd("ASKING").add_command(command.clone());
        let mut replies = self.replies(&mut established, &commands).await?.into_iter();
        let strange = || {
            RedisError::from((
                redis::ErrorKind::UnexpectedReturnType,
                "the server has not answered every command",
            ))
        };
        replies.next().ok_or_else(strange)??;
        let reply = replies.next().ok_or_else(strange)??;
        self.confirm(established, replicas).await?;
        Ok(reply)
    }

    /// Waits for replicas to have what was written on this connection. Only once it has been: a server that waits for
    /// replicas answers nothing else, not even that it does not know a script.
    async fn confirm(
        &self,
        mut established: Established,
        replicas: Option<Replicas>,
    ) -> Result<(), SendError> {
        let Some(replicas) = replicas else { return Ok(()) };
        let reply = self.send_on(&mut established, &replicas.command()).await;
        replicas.judge(reply).map_err(|too_few| {
            // A master that was cut off has none left, and somewhere else one of them is the master.
            self.look_around();
            SendError::TooFew(too_few)
        })
    }

    /// Sends several commands at once; the reply to each.
    pub(crate) async fn send_all(
        &self,
        commands: &Pipeline,
    ) -> Result<Vec<Result<Value, RedisError>>, SendError> {
        let mut established = self.established().await.map_err(SendError::NotSent)?;
        self.replies(&mut established, commands).await
    }

    async fn replies(
        &self,
        established: &mut Established,
        commands: &Pipeline,
    ) -> Result<Vec<Result<Value, RedisError>>, SendError> {
        let result = established.link.send_packed_commands(commands, 0, commands.len()).await;
        self.note(established, result.as_ref().err());
        let replies = result?.into_iter().map(|reply| {
            let reply = reply.extract_error().map_err(of_script);
            self.note(established, reply.as_ref().err());
            reply
        });
        Ok(replies.collect())
    }

    /// Connects now, if there is no connection.
    pub(crate) async fn open(&self) -> Result<()> {
        self.established().await.map(drop)
    }

    async fn established(&self) -> Result<Established> {
        match self.shared.open() {
            Some(established) => Ok(established),
            // Connecting takes kilobytes, which each command would carry about in vain.
            None => Box::pin(self.establish()).await,
        }
    }

    async fn establish(&self) -> Result<Established> {
        let seen = self.shared.attempts.load(Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        let home = self.shared.homes.current()?;
        let place = home.clone();
        // A task, because a caller that goes away must not take the attempt from the others who wait for it.
        home.run(async move { shared.attempt(seen, place).await.map_err(Failure::into_error) }).await
    }

    /// Gives the connection up if `error` says that it is of no further use.
    fn note(&self, used: &Established, error: Option<&RedisError>) {
        let Some(error) = error else { return };
        if ends_the_connection(error) {
            let mut current = lock(&self.shared.current);
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.is_open, &used.is_open)) {
                *current = None;
            }
        } else if may_have_a_successor(error) {
            self.look_around();
        }
    }

    /// Makes another connection behind the callers, as it may lead to another server. Until it is there, or if
    /// it cannot be made, they keep the one that there is.
    pub(crate) fn look_around(&self) {
        {
            let mut looked = lock(&self.shared.looked);
            if looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
                return;
            }
            *looked = Some(Instant::now());
        }
        let Ok(home) = self.shared.homes.current() else { return };
        let (shared, place) = (Arc::clone(&self.shared), home.clone());
        drop(home.spawn(async move {
            if let Ok(Ok(established)) = timeout(shared.limits.connect, shared.connect(place)).await {
                *lock(&shared.current) = Some(established);
            }
        }));
    }
}

impl Shared {
    fn open(&self) -> Option<Established> {
        let current = lock(&self.current);
        let is_open =
            |current: &&Established| current.is_open.load(Ordering::SeqCst) && !current.home.is_over();
        current.as_ref().filter(is_open).cloned()
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
        let result = match timeout(self.limits.connect, self.connect(home)).await {
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
            .set_response_timeout(Some(self.limits.response))
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(on_push);
        let link = self.source.connect(&config, self.limits).await?;
        Ok(Established { link, is_open, home })
    }
}

/// Commands that wait for the connection's task to write them; further ones wait until there is room.
const QUEUE: usize = 1024;

/// How often another server is looked for at most, however many writes are refused.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    pub(crate) fn into_error(self) -> Error {
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
