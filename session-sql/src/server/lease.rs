//! A connection in use, which is closed unless it is given back: a panic, or the end of a runtime, may have left it in
//! the middle of something.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hosts::Server;
use super::parking::Borrowed;
use super::site::Site;

/// Dropped, it is closed without waiting for the server.
pub(super) struct Lease<DB: Server> {
    /// There until the end.
    borrowed: Option<Borrowed<DB>>,
    site: Arc<Site<DB>>,
    _at_work: AtWork,
}

impl<DB: Server> Lease<DB> {
    /// Counted in `at_work`.
    pub(super) fn new(borrowed: Borrowed<DB>, site: &Arc<Site<DB>>, at_work: &Arc<AtomicUsize>) -> Self {
        Self { borrowed: Some(borrowed), site: Arc::clone(site), _at_work: AtWork::new(at_work) }
    }

    /// Gives back a connection that can be used again at once.
    pub(super) fn release(mut self) {
        let borrowed = self.borrowed.take();
        if let (Some(parking), Some(borrowed)) = (&self.site.parking, borrowed) {
            parking.put(borrowed);
        }
    }

    /// Closes one that has failed, and has somebody look whether the others lead where they should.
    pub(super) fn discard(self) {
        if let Some(plan) = &self.site.plan {
            plan.hosts.suspect(&self.site.pool);
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
