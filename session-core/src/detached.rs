//! Work that goes on when whoever asked for it goes away.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::{Error, ErrorKind, Result};

/// Runs work to its end, even if this is dropped half-way.
///
/// Polled once in place, so that work which never waits costs no task. Not an `async fn`, so that whoever keeps it
/// needs no box for it.
pub(crate) struct Detached<T>(Progress<T>);

enum Progress<T> {
    Begun(Option<Pin<Box<dyn Future<Output = Result<T>> + Send>>>),
    Spawned(JoinHandle<Result<T>>),
}

impl<T> Detached<T> {
    pub(crate) fn new(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(Progress::Begun(Some(Box::pin(work))))
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = Result<T>;

    /// # Panics
    ///
    /// If it has ended, as an `async fn` would: who waits for it then would wait for ever.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        loop {
            match &mut self.0 {
                Progress::Begun(work) => {
                    let mut work = work.take().expect("polled again after its end");
                    if let Poll::Ready(result) = work.as_mut().poll(context) {
                        return Poll::Ready(result);
                    }
                    // In the same poll: the caller cannot have been dropped in between.
                    self.0 = Progress::Spawned(tokio::spawn(work));
                }
                Progress::Spawned(task) => {
                    return Poll::Ready(match ready!(Pin::new(task).poll(context)) {
                        Ok(result) => result,
                        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                        Err(_cancelled) => {
                            Err(Error::describe(ErrorKind::Unavailable, "the runtime is shutting down"))
                        }
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn goes_on_when_dropped() {
        let (go, finished) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let done = Arc::new(AtomicBool::new(false));
        let work = {
            let (go, finished, done) = (go.clone(), finished.clone(), done.clone());
            async move {
                go.notified().await;
                done.store(true, Ordering::SeqCst);
                finished.notify_one();
                Ok(())
            }
        };
        let mut waiting = Box::pin(Detached::new(work));
        assert!(poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await);
        drop(waiting);
        go.notify_one();
        finished.notified().await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    #[should_panic(expected = "polled again after its end")]
    async fn is_not_waited_for_twice() {
        let mut work = Detached::new(async { Ok(()) });
        (&mut work).await.unwrap();
        let _ = (&mut work).await;
    }

    #[tokio::test]
    async fn does_nothing_before_it_is_polled() {
        let begun = Arc::new(AtomicBool::new(false));
        let noticed = begun.clone();
        let work = async move {
            noticed.store(true, Ordering::SeqCst);
            Ok(())
        };
        drop(Detached::new(work));
        assert!(!begun.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn passes_a_panic_on() {
        for waits in [false, true] {
            let work = async move {
                if waits {
                    tokio::task::yield_now().await;
                }
                panic!("on purpose");
            };
            let waiting = tokio::spawn(Detached::<()>::new(work));
            assert!(waiting.await.is_err_and(|error| error.is_panic()), "{waits}");
        }
    }

    #[test]
    fn says_that_the_runtime_shuts_down() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut waiting = Box::pin(Detached::<()>::new(std::future::pending()));
        let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
        let inside = runtime.enter();
        assert!(poll().is_pending() && poll().is_pending());
        drop(inside);
        drop(runtime);
        let Poll::Ready(Err(error)) = poll() else { panic!("it waits") };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}
