//! Work that goes on when whoever asked for it goes away.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::{Error, ErrorKind, Result};

/// Runs `work` to its end, even if the returned future is dropped half-way.
///
/// Polled once in place, so that work which never waits costs no task.
pub(crate) async fn detached<T: Send + 'static>(
    mut work: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
) -> Result<T> {
    if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return result;
    }
    // No await since the poll: the caller cannot have been dropped in between.
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_cancelled) => Err(Error::describe(ErrorKind::Unavailable, "the runtime is shutting down")),
    }
}

#[cfg(test)]
mod tests {
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
        let mut waiting = Box::pin(detached(Box::pin(work)));
        assert!(poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await);
        drop(waiting);
        go.notify_one();
        finished.notified().await;
        assert!(done.load(Ordering::SeqCst));
    }
}
