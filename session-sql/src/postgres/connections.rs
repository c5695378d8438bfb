//! The pool of connections, and the tasks that work on them: a verb's future only waits for its task, so
//! that dropping it never leaves a connection half-way through something.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::config::PostgresConfig;
use super::error::{Failure, from_connecting};
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
}

impl Site {
    fn new(home: Home, pool: PgPoolOptions, connection: PgConnectOptions) -> Self {
        let plan = Arc::new((pool, connection));
        Self { pool: lazy_pool(&home, &plan), home, plan: Some(plan) }
    }

    /// This one, or its successor if its runtime has ended, which nobody else can end.
    fn lasting(&mut self) -> Result<&Self> {
        if self.home.is_over() {
            self.home = Home::make()?;
            if let Some(plan) = &self.plan {
                self.pool = lazy_pool(&self.home, plan);
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
            });
        Self::on(config, Site::new(home, pool, options))
    }

    /// A pool of the application.
    pub(super) fn share(config: &PostgresConfig, pool: PgPool, home: Home) -> Self {
        Self::on(config, Site { home, pool, plan: None })
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
        let Site { home, pool, .. } = self.site().lasting()?.clone();
        home.run(async move {
            let _place = place;
            let mut connection = connections.acquire(&pool).await?;
            let _at_work = AtWork::new(&connections.at_work);
            let result = timeout(limit, work(&mut connection)).await;
            let Ok(result) = result else {
                discard(connection);
                return Err(Error::describe(ErrorKind::Timeout, "the server did not answer in time"));
            };
            result.map_err(|failure| {
                if failure.spoils_connection {
                    discard(connection);
                }
                failure.error
            })
        })
        .await
    }

    fn site(&self) -> MutexGuard<'_, Site> {
        // A site is replaced as a whole.
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn acquire(&self, pool: &PgPool) -> Result<PoolConnection<Postgres>> {
        match timeout(self.acquire_timeout, pool.acquire()).await {
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                // Where verbs have connections the server lets them in: there are too few. It may also be that all
                // of the pool's places are taken by attempts to connect.
                if self.at_work.load(Ordering::Relaxed) > 0 {
                    let detail = "every connection was in use until the time was up";
                    return Err(Error::describe(ErrorKind::Overloaded, detail));
                }
                Err(Failure::from(sqlx::Error::PoolTimedOut).error)
            }
            Ok(result) => result.map_err(from_connecting),
        }
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

/// Closes a connection that may be in the middle of something, without waiting for the server.
fn discard(connection: PoolConnection<Postgres>) {
    drop(connection.detach());
}

/// How long a connection may have been idle to be used without a test.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How much longer than the server the driver waits, so that the server's own answer comes first.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
