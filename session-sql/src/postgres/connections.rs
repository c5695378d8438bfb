//! The pool of connections, and the tasks that work on them: a verb's future only waits for its task, so
//! that dropping it never leaves a connection half-way through something.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::config::PostgresConfig;
use super::error::{Failure, from_connecting};
use super::parking::{Borrowed, Parking};
use crate::batching::{Connector, Lane, Limits, Request, Verb, serve};
use crate::home::Home;

/// Work on a connection.
pub(super) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;

/// A pool, and a limit to how much may wait for it. Clones share both.
#[derive(Clone)]
pub(super) struct Connections {
    site: Arc<Mutex<Site>>,
    places: Arc<Semaphore>,
    at_work: Arc<AtomicUsize>,
    acquire_timeout: Duration,
    work_timeout: Duration,
}

/// Where connections are made and live.
#[derive(Clone)]
struct Site {
    home: Home,
    pool: PgPool,
    /// How to make the next pool; `None` for one of the application.
    plan: Option<Arc<(PgPoolOptions, PgConnectOptions)>>,
    /// Of a pool that nobody else uses.
    parking: Option<Arc<Parking>>,
}

impl Site {
    fn new(home: Home, pool: PgPoolOptions, connection: PgConnectOptions) -> Self {
        let plan = Arc::new((pool, connection));
        Self { pool: lazy_pool(&home, &plan), home, plan: Some(plan), parking: Some(Arc::default()) }
    }

    /// This one, or its successor if its runtime has ended, which nobody else can end.
    fn lasting(&mut self) -> Result<&Self> {
        if self.home.is_over() {
            self.home = Home::make()?;
            if let Some(plan) = &self.plan {
                self.pool = lazy_pool(&self.home, plan);
                self.parking = Some(Arc::default());
            }
        }
        Ok(self)
    }
}

/// Whose tasks that look after the pool run at `home`, too.
fn lazy_pool(home: &Home, plan: &(PgPoolOptions, PgConnectOptions)) -> PgPool {
    let _at_home = home.enter();
    plan.0.clone().connect_lazy_with(plan.1.clone())
}

impl Connections {
    /// A pool of the driver's own; connections are made when they are needed.
    pub(super) fn open(config: &PostgresConfig, options: PgConnectOptions, home: Home) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections.get())
            .acquire_timeout(config.acquire_timeout)
            // Instead of a round trip before each verb, one before those that find a connection unused for
            // a while, as after a restart of the server.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            // The pool asks the server before it takes a connection back, and waits for its answer for ever.
            .after_release(|connection, _| {
                Box::pin(async move {
                    match timeout(ANSWER_MARGIN, connection.ping()).await {
                        Ok(answer) => answer.map(|()| true),
                        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
                    }
                })
            });
        Self::on(config, Site::new(home, pool, options))
    }

    /// A pool of the application.
    pub(super) fn share(config: &PostgresConfig, pool: PgPool, home: Home) -> Self {
        Self::on(config, Site { home, pool, plan: None, parking: None })
    }

    fn on(config: &PostgresConfig, site: Site) -> Self {
        Self {
            site: Arc::new(Mutex::new(site)),
            places: Arc::new(Semaphore::new(config.queue_capacity.get().min(Semaphore::MAX_PERMITS))),
            at_work: Arc::default(),
            acquire_timeout: config.acquire_timeout,
            work_timeout: config.statement_timeout + ANSWER_MARGIN,
        }
    }

    /// The places of the bounded number of calls.
    pub(super) fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// What bounds the calls of a verb that go together.
    pub(super) fn limits(&self) -> Limits {
        Limits { calls: BATCH_CALLS, bytes: BATCH_BYTES, patience: self.acquire_timeout }
    }

    /// Makes a call of `verb`, with what others call at the same time.
    pub(super) async fn call<V: Verb<Connection = PgConnection>>(
        &self,
        lane: &Lane<V::Request>,
        verb: &Arc<V>,
        request: V::Request,
    ) -> Result<<V::Request as Request>::Outcome> {
        let (answer, turn) = lane.add(request)?;
        if let Some(turn) = turn {
            let site = self.site().lasting()?.clone();
            let home = site.home.clone();
            let lender = Lender { connections: self.clone(), site };
            let task = serve(turn, Arc::clone(verb), lender);
            let _at_home = home.clone().enter();
            tokio::spawn(async move {
                task.await;
                drop(home);
            });
        }
        answer.outcome().await
    }

    /// Does `work` on a connection in a task, which goes on if the returned future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T> {
        self.run_within(self.work_timeout, work).await
    }

    /// The same, with another limit to the work's time.
    pub(super) async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ErrorKind::Overloaded)?;
        let connections = self.clone();
        let site = self.site().lasting()?.clone();
        site.home
            .clone()
            .run(async move {
                let _place = place;
                let mut lease = connections.acquire(&site).await.map_err(|failure| failure.error())?;
                let result = timeout(limit, work(&mut lease)).await;
                let Ok(result) = result else {
                    lease.discard();
                    return Err(Error::describe(ErrorKind::Timeout, "the server did not answer in time"));
                };
                if result.as_ref().is_err_and(|failure| failure.spoils_connection) {
                    lease.discard();
                } else {
                    lease.release();
                }
                result.map_err(|failure| failure.error())
            })
            .await
    }

    fn site(&self) -> MutexGuard<'_, Site> {
        // A site is replaced as a whole.
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn acquire(&self, site: &Site) -> Result<Lease, Failure> {
        let parking = site.parking.clone();
        let parked = parking.as_deref().map(Parking::take);
        let borrowed = match parked {
            Some(Ok(borrowed)) => borrowed,
            // A seeker until there is a connection.
            None | Some(Err(_)) => match timeout(self.acquire_timeout, site.pool.acquire()).await {
                Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => return Err(self.time_is_up()),
                Ok(Err(error)) => return Err(from_connecting(error)),
                Ok(Ok(connection)) => Borrowed::new(connection),
            },
        };
        let _at_work = AtWork::new(&self.at_work);
        Ok(Lease { borrowed, parking: site.parking.clone(), _at_work })
    }

    /// Why there was no connection in time.
    fn time_is_up(&self) -> Failure {
        // Where verbs have connections the server lets them in: there are too few. It may also be that all
        // of the pool's places are taken by attempts to connect.
        if self.at_work.load(Ordering::Relaxed) > 0 {
            let detail = "every connection was in use until the time was up";
            return Failure::describe(ErrorKind::Overloaded, detail);
        }
        sqlx::Error::PoolTimedOut.into()
    }
}

/// Lends the connections of a site.
struct Lender {
    connections: Connections,
    site: Site,
}

impl Connector for Lender {
    type Connection = PgConnection;
    type Lease = Lease;
    type Fault = Failure;

    async fn lease(&self) -> Result<Lease, Failure> {
        self.connections.acquire(&self.site).await
    }

    fn release(&self, lease: Lease) {
        lease.release();
    }

    fn discard(&self, lease: Lease) {
        lease.discard();
    }

    fn time_is_up(&self) -> Error {
        self.connections.time_is_up().error()
    }

    fn work_timeout(&self) -> Duration {
        self.connections.work_timeout
    }
}

/// A connection that is in use. Dropped, it goes back to its pool.
struct Lease {
    borrowed: Borrowed,
    parking: Option<Arc<Parking>>,
    _at_work: AtWork,
}

impl Lease {
    /// Gives back a connection that can be used again at once.
    fn release(self) {
        if let Some(parking) = self.parking {
            parking.put(self.borrowed);
        }
    }

    /// Closes a connection that may be in the middle of something, without waiting for the server.
    fn discard(self) {
        drop(self.borrowed.connection.detach());
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.borrowed.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.borrowed.connection
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site: _, places, at_work, acquire_timeout, work_timeout } = self;
        let pool = self.site().pool.clone();
        f.debug_struct("Connections")
            .field("connections", &pool.size())
            .field("idle", &pool.num_idle())
            .field("at_work", &at_work.load(Ordering::Relaxed))
            .field("free_places", &places.available_permits())
            .field("acquire_timeout", acquire_timeout)
            .field("work_timeout", work_timeout)
            .finish()
    }
}

/// Counts a verb that has a connection, as long as it has it.
struct AtWork(Arc<AtomicUsize>);

impl AtWork {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a connection may have been idle to be used without a test.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How much longer than the server the driver waits, so that the server's own answer comes first.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Calls of a batch at most: more of them gain little, and each waits for all.
const BATCH_CALLS: usize = 128;

/// Bytes of a batch at most.
const BATCH_BYTES: usize = 1 << 20;
