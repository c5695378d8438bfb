//! The pool of connections, and the tasks that work on them: a verb's future only waits for its task, so
//! that dropping it never leaves a connection half-way through something.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::pool::PoolOptions;
use sqlx::{Connection as _, Pool};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::failure::{Failure, from_connecting};
use super::hosts::{Hosts, Server};
use super::parking::{Borrowed, Parking, Seeker};
use crate::batching::{Connector, Lane, Request, Verb, serve};
use crate::home::Home;

/// Work on a connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;

/// What bounds the work on connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many calls may be under way or wait.
    pub(crate) queue_capacity: NonZeroUsize,
    /// How long a call waits for a connection.
    pub(crate) acquire_timeout: Duration,
    /// How long the server works on a statement.
    pub(crate) statement_timeout: Duration,
}

/// A pool, and a limit to how much may wait for it. Clones share both.
pub(crate) struct Connections<DB: Server> {
    site: Arc<Mutex<Site<DB>>>,
    places: Arc<Semaphore>,
    at_work: Arc<AtomicUsize>,
    acquire_timeout: Duration,
    work_timeout: Duration,
}

/// Where connections are made and live.
struct Site<DB: Server> {
    home: Home,
    pool: Pool<DB>,
    /// How to make the next pool; `None` for one of the application.
    plan: Option<Arc<(PoolOptions<DB>, Hosts<DB>)>>,
    /// Of a pool that nobody else uses.
    parking: Option<Arc<Parking<DB>>>,
}

impl<DB: Server> Site<DB> {
    fn new(home: Home, pool: PoolOptions<DB>, hosts: Hosts<DB>) -> Self {
        let plan = Arc::new((pool, hosts));
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

    /// A parked connection that leads where new ones go.
    fn take<'a>(&self, parking: &'a Parking<DB>) -> Result<Borrowed<DB>, Seeker<'a, DB>> {
        loop {
            match parking.take() {
                // The pool ends it.
                Ok(borrowed) if self.is_outdated(&borrowed) => drop(borrowed),
                taken => return taken,
            }
        }
    }

    fn is_outdated(&self, borrowed: &Borrowed<DB>) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.1.have_moved_since(borrowed.since))
    }
}

/// Whose tasks that look after the pool run at `home`, too.
fn lazy_pool<DB: Server>(home: &Home, plan: &(PoolOptions<DB>, Hosts<DB>)) -> Pool<DB> {
    let _at_home = home.enter();
    plan.0.clone().connect_lazy_with(plan.1.current())
}

/// Connections are made when they are needed, at most so many. What the driver asks of a new one is for `after_connect`,
/// [`Hosts::check`] included.
pub(crate) fn pool_options<DB: Server>(
    most: NonZeroU32,
    bounds: Bounds,
    hosts: &Hosts<DB>,
) -> PoolOptions<DB> {
    let hosts = hosts.clone();
    PoolOptions::new()
        .max_connections(most.get())
        .acquire_timeout(bounds.acquire_timeout)
        // Instead of a round trip before each verb, one before those that find a connection unused for a while, as
        // after a restart of the server.
        .test_before_acquire(false)
        .before_acquire(move |connection: &mut DB::Connection, about| {
            let is_outdated = hosts.have_moved_within(about.age);
            Box::pin(async move {
                if is_outdated {
                    return Ok(false);
                }
                if about.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // The pool asks the server before it takes a connection back, and waits for its answer for ever.
        .after_release(|connection: &mut DB::Connection, _| {
            Box::pin(async move {
                match timeout(ANSWER_MARGIN, connection.ping()).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
                }
            })
        })
}

impl<DB: Server> Connections<DB> {
    /// A pool of the driver's own.
    pub(crate) fn open(bounds: Bounds, pool: PoolOptions<DB>, hosts: Hosts<DB>, home: Home) -> Self {
        Self::on(bounds, Site::new(home, pool, hosts))
    }

    /// A pool of the application.
    pub(crate) fn share(bounds: Bounds, pool: Pool<DB>, home: Home) -> Self {
        Self::on(bounds, Site { home, pool, plan: None, parking: None })
    }

    fn on(bounds: Bounds, site: Site<DB>) -> Self {
        let places = bounds.queue_capacity.get().min(Semaphore::MAX_PERMITS);
        Self {
            site: Arc::new(Mutex::new(site)),
            places: Arc::new(Semaphore::new(places)),
            at_work: Arc::default(),
            acquire_timeout: bounds.acquire_timeout,
            work_timeout: bounds.statement_timeout + ANSWER_MARGIN,
        }
    }

    /// The places of the bounded number of calls.
    pub(super) fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// How long a call waits for a connection.
    pub(super) fn patience(&self) -> Duration {
        self.acquire_timeout
    }

    /// Makes a call of `verb`, with what others call at the same time.
    pub(super) async fn call<V: Verb<Connection = DB::Connection>>(
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
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut DB::Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T> {
        self.run_within(self.work_timeout, work).await
    }

    /// The same, with another limit to the work's time.
    pub(crate) async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl for<'c> FnOnce(&'c mut DB::Connection) -> Work<'c, T> + Send + 'static,
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

    fn site(&self) -> MutexGuard<'_, Site<DB>> {
        // A site is replaced as a whole.
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn acquire(&self, site: &Site<DB>) -> Result<Lease<DB>, Failure> {
        let parking = site.parking.clone();
        let parked = parking.as_deref().map(|parking| site.take(parking));
        let borrowed = match parked {
            Some(Ok(borrowed)) => borrowed,
            // A seeker until there is a connection. Asking takes tens of kilobytes, which most calls would carry about in
            // vain.
            None | Some(Err(_)) => match timeout(self.acquire_timeout, Box::pin(self.ask_pool(site))).await {
                Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => return Err(self.time_is_up()),
                Ok(Err(error)) => return Err(from_connecting(error)),
                Ok(Ok(borrowed)) => borrowed,
            },
        };
        let _at_work = AtWork::new(&self.at_work);
        Ok(Lease { borrowed: Some(borrowed), site: site.clone(), _at_work })
    }

    async fn ask_pool(&self, site: &Site<DB>) -> Result<Borrowed<DB>, sqlx::Error> {
        let Some(plan) = &site.plan else { return Borrowed::ask(&site.pool).await };
        let is_connecting = || site.pool.size() as usize > self.at_work.load(Ordering::Relaxed);
        plan.1.acquire(&site.pool, is_connecting).await
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
struct Lender<DB: Server> {
    connections: Connections<DB>,
    site: Site<DB>,
}

impl<DB: Server> Connector for Lender<DB> {
    type Connection = DB::Connection;
    type Lease = Lease<DB>;
    type Fault = Failure;

    async fn lease(&self) -> Result<Lease<DB>, Failure> {
        self.connections.acquire(&self.site).await
    }

    fn release(&self, lease: Lease<DB>) {
        lease.release();
    }

    fn discard(&self, lease: Lease<DB>) {
        lease.discard();
    }

    fn time_is_up(&self) -> Error {
        self.connections.time_is_up().error()
    }

    fn work_timeout(&self) -> Duration {
        self.connections.work_timeout
    }
}

/// A connection that is in use. Dropped, it is closed: it may be in the middle of something.
struct Lease<DB: Server> {
    /// There until the end.
    borrowed: Option<Borrowed<DB>>,
    site: Site<DB>,
    _at_work: AtWork,
}

impl<DB: Server> Lease<DB> {
    /// Gives back a connection that can be used again at once.
    fn release(mut self) {
        let borrowed = self.borrowed.take();
        if let (Some(parking), Some(borrowed)) = (&self.site.parking, borrowed) {
            parking.put(borrowed);
        }
    }

    /// Closes it without waiting for the server.
    fn discard(self) {
        if let Some(plan) = &self.site.plan {
            plan.1.suspect(&self.site.pool);
        }
    }
}

impl<DB: Server> Drop for Lease<DB> {
    fn drop(&mut self) {
        if let Some(borrowed) = self.borrowed.take() {
            drop(borrowed.connection.detach());
        }
    }
}

impl<DB: Server> Deref for Lease<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match &self.borrowed {
            Some(borrowed) => &borrowed.connection,
            None => unreachable!("it is there until the end"),
        }
    }
}

impl<DB: Server> DerefMut for Lease<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        match &mut self.borrowed {
            Some(borrowed) => &mut borrowed.connection,
            None => unreachable!("it is there until the end"),
        }
    }
}

// Derived, either would ask the database's type to be it, too.
impl<DB: Server> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self {
            site: Arc::clone(&self.site),
            places: Arc::clone(&self.places),
            at_work: Arc::clone(&self.at_work),
            ..*self
        }
    }
}

impl<DB: Server> Clone for Site<DB> {
    fn clone(&self) -> Self {
        let Self { home, pool, plan, parking } = self;
        Self { home: home.clone(), pool: pool.clone(), plan: plan.clone(), parking: parking.clone() }
    }
}

impl<DB: Server> fmt::Debug for Connections<DB> {
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
