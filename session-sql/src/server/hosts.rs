//! The servers that a connection may go to: which of them takes it now, and which one after a failover. The pool
//! knows one at a time; a change of it is made here.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use session_core::{Error, ErrorKind};
use sqlx::{Connection, Database, Pool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::parking::Borrowed;

/// How a connection to one of the servers is made.
pub(crate) type Options<DB> = <<DB as Database>::Connection as Connection>::Options;

/// What a dialect says of its servers.
pub(crate) trait Server: Database + Sized {
    /// Where a server is, without who asks.
    fn place(options: &Options<Self>) -> String;

    /// Whether the server of a new connection takes writes.
    fn takes_writes(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Why there is no connection.
    fn explain(error: sqlx::Error, options: &Options<Self>) -> Error;
}

/// A server that is not the one, and why.
struct Refusal {
    place: String,
    error: Error,
}

/// One or several servers, and which of them new connections go to. Clones share that.
pub(crate) struct Hosts<DB: Server>(Arc<Shared<DB>>);

struct Shared<DB: Server> {
    candidates: Vec<Options<DB>>,
    /// Whether the one to go to must take writes.
    must_take_writes: bool,
    /// How long one of them may take to let somebody in.
    patience: Duration,
    place: Mutex<Place>,
    /// Told of each change of place.
    moves: watch::Sender<()>,
    is_searching: AtomicBool,
    /// How many wait for a connection.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Place {
    current: usize,
    /// When the last search ended with another one.
    moved: Option<Instant>,
}

impl<DB: Server> Hosts<DB> {
    /// At least one.
    pub(crate) fn new(candidates: Vec<Options<DB>>, must_take_writes: bool, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            candidates,
            must_take_writes,
            patience,
            place: Mutex::default(),
            moves: watch::Sender::new(()),
            is_searching: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// Where new connections go.
    pub(crate) fn current(&self) -> Options<DB> {
        self.0.candidates[self.place().current].clone()
    }

    /// A connection to the first server that is fit, to which those of the pool go as well from then on. Or what is
    /// wrong with each. They are asked one after the other.
    pub(crate) async fn connect(&self) -> Result<DB::Connection, Error> {
        let mut refusals = Vec::new();
        for index in 0..self.0.candidates.len() {
            match self.attempt(index).await {
                Ok(connection) => {
                    self.place().current = index;
                    return Ok(connection);
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(nobody::<DB>(refusals))
    }

    /// The error of the current server when it lets somebody in and then does not answer.
    pub(crate) fn silent(&self) -> Error {
        let place = DB::place(&self.current());
        nobody::<DB>(vec![Refusal { place, error: ErrorKind::Timeout.into() }])
    }

    /// Makes sure of a new connection of the pool's: the server may be another than it was when it was chosen.
    pub(crate) async fn check(&self, connection: &mut DB::Connection) -> Result<(), sqlx::Error> {
        if self.0.must_take_writes && !DB::takes_writes(connection).await? {
            return Err(sqlx::Error::Io(std::io::Error::other(TakesNoWrites)));
        }
        Ok(())
    }

    /// Whether a connection of this age leads to where no new one would go.
    pub(crate) fn have_moved_within(&self, age: Duration) -> bool {
        self.place().moved.is_some_and(|moved| moved.elapsed() <= age)
    }

    /// The same of one that was asked for then.
    pub(super) fn have_moved_since(&self, asked: Instant) -> bool {
        self.place().moved.is_some_and(|moved| moved >= asked)
    }

    /// A connection of the pool, from another server if need be: for as long as the caller waits. The pool is at a
    /// loss if it `is_connecting` for long.
    pub(super) async fn acquire(
        &self,
        pool: &Pool<DB>,
        is_connecting: impl Fn() -> bool + Send,
    ) -> Result<Borrowed<DB>, sqlx::Error> {
        if !self.may_move() {
            return Borrowed::ask(pool).await;
        }
        let _waiting = Waiting::new(&self.0.waiting);
        let mut moves = self.0.moves.subscribe();
        loop {
            let mut asked = pin!(Borrowed::ask(pool));
            // The pool may be trying a server that never answers.
            let first = loop {
                match timeout(PAUSE, first(moves.changed(), asked.as_mut())).await {
                    Ok(first) => break first,
                    Err(_) if is_connecting() => self.suspect(pool),
                    Err(_) => {}
                }
            };
            match first {
                First::Left(_) => {}
                First::Right(Ok(borrowed)) => return Ok(borrowed),
                First::Right(Err(error)) => {
                    self.suspect(pool);
                    match error {
                        sqlx::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
                            let _ = timeout(PAUSE, moves.changed()).await;
                        }
                        error => return Err(error),
                    }
                }
            }
        }
    }

    /// Looks for the server that is fit now, unless somebody is at it. To be called when a connection was lost, or
    /// none could be made, on the runtime where connections live.
    pub(crate) fn suspect(&self, pool: &Pool<DB>) {
        if !self.may_move() || self.0.is_searching.swap(true, Ordering::AcqRel) {
            return;
        }
        let (search, pool) = (Search(self.clone()), pool.clone());
        tokio::spawn(async move { search.run(&pool).await });
    }

    fn may_move(&self) -> bool {
        self.0.candidates.len() > 1
    }

    /// The first server to answer that it is fit. The current one is asked ahead of the others and stays if it is well
    /// and merely slow: they begin when it has said no, or after a while.
    async fn find(&self) -> Option<(usize, DB::Connection)> {
        let current = self.place().current;
        let mut attempts = JoinSet::new();
        let others = (0..self.0.candidates.len()).filter(|index| *index != current);
        for index in std::iter::once(current).chain(others) {
            let hosts = self.clone();
            attempts.spawn(async move { (index, hosts.attempt(index).await) });
            if index == current
                && let Ok(Some(Ok((index, Ok(connection))))) = timeout(LEAD, attempts.join_next()).await
            {
                return Some((index, connection));
            }
        }
        while let Some(answer) = attempts.join_next().await {
            if let Ok((index, Ok(connection))) = answer {
                return Some((index, connection));
            }
        }
        None
    }

    async fn attempt(&self, index: usize) -> Result<DB::Connection, Refusal> {
        let options = &self.0.candidates[index];
        let attempt = async {
            let mut connection = DB::Connection::connect_with(options).await?;
            let is_fit = !self.0.must_take_writes || DB::takes_writes(&mut connection).await?;
            Ok((connection, is_fit))
        };
        let error = match timeout(self.0.patience, attempt).await {
            Ok(Ok((connection, true))) => return Ok(connection),
            Ok(Ok((connection, false))) => {
                let _ = timeout(PAUSE, connection.close()).await;
                Error::new(ErrorKind::Unavailable, TakesNoWrites)
            }
            Ok(Err(error)) => DB::explain(error, options),
            Err(_) => ErrorKind::Timeout.into(),
        };
        Err(Refusal { place: DB::place(options), error })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caller is told of one or several servers, of which none is fit. A mistake of the configuration is what can be mended.
fn nobody<DB: Server>(mut refusals: Vec<Refusal>) -> Error {
    let name = <DB as Database>::NAME;
    let detail = match &*refusals {
        [only] if only.error.source().is_some_and(|source| source.is::<TakesNoWrites>()) => {
            format!("the {name} server at {} takes no writes", only.place)
        }
        [only] => format!("no connection to the {name} server at {}", only.place),
        several => {
            let reasons: Vec<_> = several.iter().map(ToString::to_string).collect();
            format!("no connection to any of the {name} servers: {}", reasons.join(", "))
        }
    };
    let worst = refusals.iter().position(|refusal| refusal.error.kind() == ErrorKind::Config).unwrap_or(0);
    refusals.swap_remove(worst).error.with_detail(detail)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.source() {
            Some(source) => write!(f, "{} ({source})", self.place),
            None => write!(f, "{} ({})", self.place, self.error),
        }
    }
}

/// Of a replica, or a server that is read-only by its settings.
#[derive(Debug)]
struct TakesNoWrites;

impl fmt::Display for TakesNoWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it takes no writes: a replica, or read-only by its settings")
    }
}

impl StdError for TakesNoWrites {}

/// Looking for a server, one at a time.
struct Search<DB: Server>(Hosts<DB>);

impl<DB: Server> Search<DB> {
    /// Goes on while somebody waits.
    async fn run(self, pool: &Pool<DB>) {
        let shared = &self.0.0;
        loop {
            if let Some((index, connection)) = self.0.find().await {
                self.move_to(index, pool);
                let _ = timeout(PAUSE, connection.close()).await;
                return;
            }
            if shared.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    fn move_to(&self, index: usize, pool: &Pool<DB>) {
        let mut place = self.0.place();
        // Always: it may be a pool that was made meanwhile.
        pool.set_connect_options(self.0.0.candidates[index].clone());
        if place.current == index {
            return;
        }
        *place = Place { current: index, moved: Some(Instant::now()) };
        drop(place);
        tracing::info!(host = index + 1, "sessions are kept on another server of the list now");
        self.0.0.moves.send_replace(());
    }
}

impl<DB: Server> Drop for Search<DB> {
    fn drop(&mut self) {
        self.0.0.is_searching.store(false, Ordering::Release);
    }
}

impl<DB: Server> Clone for Hosts<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<DB: Server> fmt::Debug for Hosts<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The candidates know passwords.
        f.debug_struct("Hosts").field("current", &self.place().current).finish_non_exhaustive()
    }
}

/// Which of two futures ended first, and how.
enum First<L, R> {
    Left(L),
    Right(R),
}

async fn first<L, R>(left: impl Future<Output = L>, right: impl Future<Output = R>) -> First<L, R> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| match left.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(First::Left(output)),
        Poll::Pending => right.as_mut().poll(context).map(First::Right),
    })
    .await
}

/// Counts somebody who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much earlier than the others the current server is asked, so that a busy one is not left for being slow.
const LEAD: Duration = Duration::from_secs(1);

/// How long a pool may be at a loss until somebody looks for another server, and a search that found none pauses.
const PAUSE: Duration = Duration::from_millis(250);
