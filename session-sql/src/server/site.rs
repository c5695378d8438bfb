//! Where the connections to a server are made and live: a runtime, a pool on it, and those that were in use a moment
//! ago.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use session_core::Result;
use sqlx::pool::PoolOptions;
use sqlx::{Connection as _, Pool};
use tokio::time::timeout;

use super::connections::{ANSWER_MARGIN, Bounds};
use super::hosts::{Hosts, Server};
use super::parking::{Borrowed, Parking, Seeker};
use crate::home::Home;

/// How long a connection may have been idle to be used without a test.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Replaced as a whole when its runtime has ended.
pub(super) struct Site<DB: Server> {
    pub(super) home: Home,
    pub(super) pool: Pool<DB>,
    /// How to make the next pool; `None` for one of the application.
    pub(super) plan: Option<Arc<Plan<DB>>>,
    /// Of a pool that nobody else uses.
    pub(super) parking: Option<Arc<Parking<DB>>>,
}

/// Of a pool of the driver's own.
pub(super) struct Plan<DB: Server> {
    options: PoolOptions<DB>,
    pub(super) hosts: Hosts<DB>,
}

impl<DB: Server> Plan<DB> {
    pub(super) fn new(options: PoolOptions<DB>, hosts: Hosts<DB>) -> Arc<Self> {
        Arc::new(Self { options, hosts })
    }
}

impl<DB: Server> Site<DB> {
    pub(super) fn open(home: Home, plan: Arc<Plan<DB>>) -> Self {
        let pool = {
            // The tasks that look after the pool run there, too.
            let _at_home = home.enter();
            plan.options.clone().connect_lazy_with(plan.hosts.current())
        };
        Self { home, pool, plan: Some(plan), parking: Some(Arc::default()) }
    }

    /// On a pool of the application.
    pub(super) fn share(home: Home, pool: Pool<DB>) -> Self {
        Self { home, pool, plan: None, parking: None }
    }

    /// The same on a runtime that nobody else can end.
    pub(super) fn successor(&self) -> Result<Self> {
        let home = Home::make()?;
        Ok(match &self.plan {
            Some(plan) => Self::open(home, Arc::clone(plan)),
            None => Self::share(home, self.pool.clone()),
        })
    }

    /// A parked connection that leads where new ones go.
    pub(super) fn take<'a>(&self, parking: &'a Parking<DB>) -> Result<Borrowed<DB>, Seeker<'a, DB>> {
        loop {
            match parking.take() {
                // The pool ends it.
                Ok(borrowed) if self.is_outdated(&borrowed) => drop(borrowed),
                taken => return taken,
            }
        }
    }

    fn is_outdated(&self, borrowed: &Borrowed<DB>) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.hosts.have_moved_since(borrowed.since))
    }
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
