//! The pool of connections, and the tasks that work on them: a verb's future only waits for its task, so
//! that dropping it never leaves a connection half-way through something.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, MySql, MySqlConnection, MySqlPool};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::config::MysqlConfig;
use super::error::{Failure, from_connecting};
use super::settings::Settings;
use crate::home::Home;
use crate::hosts::Hosts;

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
    pool: MySqlPool,
    /// How to make the next pool; `None` for one of the application.
    plan: Option<Arc<(MySqlPoolOptions, Hosts<MySql>)>>,
}

impl Site {
    fn new(home: Home, pool: MySqlPoolOptions, hosts: Hosts<MySql>) -> Self {
        let plan = Arc::new((pool, hosts));
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
fn lazy_pool(home: &Home, plan: &(MySqlPoolOptions, Hosts<MySql>)) -> MySqlPool {
    let _at_home = home.enter();
    plan.0.clone().connect_lazy_with(plan.1.current())
}

impl Connections {
    /// A pool of the driver's own; connections are made when they are needed.
    pub(super) fn open(config: &MysqlConfig, hosts: Hosts<MySql>, home: Home) -> Self {
        let settings = Settings::new(config.lock_timeout, config.statement_timeout);
        let (fresh, idle) = (hosts.clone(), hosts.clone());
        let pool = MySqlPoolOptions::new()
            .max_connections(config.max_connections.get())
            .acquire_timeout(config.acquire_timeout)
            // Instead of a round trip before each verb, one before those that find a connection unused for
            // a while, as after a restart of the server.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let (hosts, settings) = (fresh.clone(), settings.clone());
                Box::pin(async move {
                    settings.apply(connection).await?;
                    hosts.check(connection).await
                })
            })
            .before_acquire(move |connection, about| {
                let is_outdated = idle.have_moved_within(about.age);
                Box::pin(async move {
                    if is_outdated {
                        return Ok(false);
                    }
                    if about.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        Self::on(config, Site::new(home, pool, hosts))
    }

    /// A pool of the application.
    pub(super) fn share(config: &MysqlConfig, pool: MySqlPool, home: Home) -> Self {
        Self::on(config, Site { home, pool, plan: None })
    }

    fn on(config: &MysqlConfig, site: Site) -> Self {
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
        work: impl for<'c> FnOnce(&'c mut MySqlConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T> {
        self.run_within(self.work_timeout, work).await
    }

    /// The same, with another limit to the work's time.
    pub(super) async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl for<'c> FnOnce(&'c mut MySqlConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ErrorKind::Overloaded)?;
        let connections = self.clone();
        let site = self.site().lasting()?.clone();
        site.home
            .clone()
            .run(async move {
                let _place = place;
                let mut connection = connections.acquire(&site).await?;
                let _at_work = AtWork::new(&connections.at_work);
                let result = timeout(limit, work(&mut connection)).await;
                let Ok(result) = result else {
                    discard(connection, &site);
                    return Err(Error::describe(ErrorKind::Timeout, "the server did not answer in time"));
                };
                result.map_err(|failure| {
                    if failure.spoils_connection {
                        discard(connection, &site);
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

    async fn ask_pool(&self, site: &Site) -> Result<PoolConnection<MySql>, sqlx::Error> {
        let Some(plan) = &site.plan else { return site.pool.acquire().await };
        let is_connecting = || site.pool.size() as usize > self.at_work.load(Ordering::Relaxed);
        plan.1.acquire(&site.pool, is_connecting).await
    }

    async fn acquire(&self, site: &Site) -> Result<PoolConnection<MySql>> {
        match timeout(self.acquire_timeout, self.ask_pool(site)).await {
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
fn discard(connection: PoolConnection<MySql>, site: &Site) {
    drop(connection.detach());
    if let Some(plan) = &site.plan {
        plan.1.suspect(&site.pool);
    }
}

/// How long a connection may have been idle to be used without a test.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How much longer than the server the driver waits, so that the server's own answer comes first.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
