//! Runs operations so that they truly meet: nobody starts before everybody is ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::check::CaseResult;

/// One of several racers.
pub(crate) type Racer<T> = Pin<Box<dyn Future<Output = CaseResult<T>> + Send>>;

/// A racer out of a future.
pub(crate) fn racer<T>(future: impl Future<Output = CaseResult<T>> + Send + 'static) -> Racer<T> {
    Box::pin(future)
}

/// Runs all at once, each as a task of its own; their results in the order given.
pub(crate) async fn race<T: Send + 'static>(racers: Vec<Racer<T>>) -> CaseResult<Vec<T>> {
    let line = StartLine::new(racers.len());
    let start = |racer: Racer<T>| {
        let line = line.clone();
        tokio::spawn(async move {
            line.wait().await;
            racer.await
        })
    };
    let tasks: Vec<_> = racers.into_iter().map(start).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await?);
    }
    results.into_iter().collect()
}

/// Runs two different ones at once.
pub(crate) async fn race_two<A: Send + 'static, B: Send + 'static>(
    a: impl Future<Output = CaseResult<A>> + Send + 'static,
    b: impl Future<Output = CaseResult<B>> + Send + 'static,
) -> CaseResult<(A, B)> {
    let line = StartLine::new(2);
    let other_line = line.clone();
    let a = tokio::spawn(async move {
        line.wait().await;
        a.await
    });
    let b = tokio::spawn(async move {
        other_line.wait().await;
        b.await
    });
    let (a, b) = (a.await?, b.await?);
    Ok((a?, b?))
}

/// Lets a racer start a little later than the others: with 0 to 3 steps over the rounds, either comes first,
/// and either meets the other half-way.
pub(crate) async fn hesitate(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

/// Waiters spin instead of sleeping: woken sleepers start one after the other, and nothing would meet.
#[derive(Clone)]
struct StartLine {
    missing: Arc<AtomicUsize>,
}

impl StartLine {
    fn new(racers: usize) -> Self {
        Self { missing: Arc::new(AtomicUsize::new(racers)) }
    }

    async fn wait(&self) {
        self.missing.fetch_sub(1, Ordering::SeqCst);
        while self.missing.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }
}
