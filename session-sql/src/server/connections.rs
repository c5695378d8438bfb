//! The pool of connections, and the tasks that work on them: a verb's future only waits for its task, so
//! that dropping it never leaves a connection half-way through something.

use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::Pool;
use sqlx::pool::PoolOptions;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::failure::{Failure, from_connecting};
use super::hosts::{Hosts, Server};
use super::lease::Lease;
use super::parking::Borrowed;
use super::site::{Plan, Site};
use crate::batching::{Connector, Lane, Request, Verb, serve};
use crate::home::Home;

/// Work on a connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;

/// How much longer than the server the driver waits, so that the server's own answer comes first.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_secs(1);

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
    site: Arc<Mutex<Arc<Site<DB>>>>,
    places: Arc<Semaphore>,
    at_work: Arc<AtomicUsize>,
    acquire_timeout: Duration,
    work_timeout: Duration,
}

impl<DB: Server> Connections<DB> {
    /// A pool of the driver's own.
    pub(crate) fn open(bounds: Bounds, pool: PoolOptions<DB>, hosts: Hosts<DB>, home: Home) -> Self {
        Self::on(bounds, Site::open(home, Plan::new(pool, hosts)))
    }

    /// A pool of the application.
    pub(crate) fn share(bounds: Bounds, pool: Pool<DB>, home: Home) -> Self {
        Self::on(bounds, Site::share(home, pool))
    }

    fn on(bounds: Bounds, site: Site<DB>) -> Self {
        let places = bounds.queue_capacity.get().min(Semaphore::MAX_PERMITS);
        Self {
            site: Arc::new(Mutex::new(Arc::new(site))),
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
            let site = self.lasting_site()?;
            let home = site.home.clone();
            home.spawn(serve(turn, Arc::clone(verb), Lender { connections: self.clone(), site }));
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
        let site = self.lasting_site()?;
        let home = site.home.clone();
        home.run(async move {
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

    fn site(&self) -> MutexGuard<'_, Arc<Site<DB>>> {
        // A site is replaced as a whole.
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The site, or its successor if its runtime has ended, which nobody else can end.
    fn lasting_site(&self) -> Result<Arc<Site<DB>>> {
        let mut site = self.site();
        if site.home.is_over() {
            *site = Arc::new(site.successor()?);
        }
        Ok(Arc::clone(&site))
    }

    async fn acquire(&self, site: &Arc<Site<DB>>) -> Result<Lease<DB>, Failure> {
        let parked = site.parking.as_deref().map(|parking| site.take(parking));
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
        Ok(Lease::new(borrowed, site, &self.at_work))
    }

    async fn ask_pool(&self, site: &Site<DB>) -> Result<Borrowed<DB>, sqlx::Error> {
        let Some(plan) = &site.plan else { return Borrowed::ask(&site.pool).await };
        let is_connecting = || site.pool.size() as usize > self.at_work.load(Ordering::Relaxed);
        plan.hosts.acquire(&site.pool, is_connecting).await
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
    site: Arc<Site<DB>>,
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

#[cfg(test)]
mod tests;
