//! The runtime that the connections to a server live on. It must go on whatever the callers' do: each connection serves
//! all of them, one after the other.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use session_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, EnterGuard, Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// A runtime to do I/O on. Clones share it; one of the driver's own ends with the last.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    runtime: Handle,
    /// Its other end is held by something that ends with the runtime, or ends it.
    tie: Arc<oneshot::Sender<Infallible>>,
}

impl Home {
    /// The runtime at hand if one busy task does not keep its others waiting, else one of the driver's own.
    pub(crate) fn choose() -> Result<Self> {
        let runtime = Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::Config, error).with_detail("a server's driver needs Tokio's runtime")
        })?;
        let goes_on =
            runtime.runtime_flavor() == RuntimeFlavor::MultiThread && runtime.metrics().num_workers() > 1;
        if goes_on { Ok(Self::borrow(runtime)) } else { Self::make() }
    }

    fn borrow(runtime: Handle) -> Self {
        let (tie, end) = oneshot::channel();
        // A task that waits for this value's end; when the runtime ends it is dropped.
        runtime.spawn(end);
        Self { runtime, tie: Arc::new(tie) }
    }

    /// A runtime of the driver's own, in a thread.
    pub(crate) fn make() -> Result<Self> {
        let failed =
            |error| Error::new(ErrorKind::Unavailable, error).with_detail("no runtime for the connections");
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (tie, end) = oneshot::channel();
        // The thread drops the runtime as well: elsewhere that could be a place that must not block.
        let body = move || drop(runtime.block_on(end));
        thread::Builder::new().name("session-sql".to_owned()).spawn(body).map_err(failed)?;
        Ok(Self { runtime: handle, tie: Arc::new(tie) })
    }

    /// Whether the runtime has ended, and all connections with it.
    pub(crate) fn is_over(&self) -> bool {
        self.tie.is_closed()
    }

    /// Makes what is called until the guard's end belong to the runtime.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Has `work` done there to its end, whether or not anybody waits.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let home = self.clone();
        self.runtime.spawn(async move {
            let result = work.await;
            drop(home);
            result
        })
    }

    /// The same, and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.spawn(work).await.unwrap_or_else(|error| Err(abandoned(&error)))
    }
}

/// Why a task of the driver has no result.
fn abandoned(error: &JoinError) -> Error {
    if error.is_panic() {
        // What it panicked with may hold anything.
        return Error::describe(ErrorKind::Internal, "a verb panicked");
    }
    Error::describe(ErrorKind::Unavailable, "the runtime is shutting down")
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;

    use super::*;

    fn several_threads() -> Runtime {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    async fn place(home: &Home) -> tokio::runtime::Id {
        home.run(async { Ok(Handle::current().id()) }).await.unwrap()
    }

    #[test]
    fn a_runtime_of_several_threads_is_home_to_its_own() {
        let runtime = several_threads();
        runtime.block_on(async {
            let home = Home::choose().unwrap();
            assert_eq!(place(&home).await, Handle::current().id());
        });
    }

    #[test]
    fn a_runtime_that_one_task_can_stop_is_nobodys_home() {
        for runtime in [
            Builder::new_current_thread().build().unwrap(),
            Builder::new_multi_thread().worker_threads(1).build().unwrap(),
        ] {
            runtime.block_on(async {
                let home = Home::choose().unwrap();
                assert_ne!(place(&home).await, Handle::current().id());
            });
        }
    }

    #[test]
    fn no_runtime_is_a_mistake_of_the_configuration() {
        assert_eq!(Home::choose().unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn the_end_of_a_home_is_seen_and_work_there_is_an_error() {
        let runtime = several_threads();
        let home = runtime.block_on(async { Home::choose().unwrap() });
        assert!(!home.is_over());
        drop(runtime);
        assert!(home.is_over());
        let elsewhere = several_threads();
        let error = elsewhere.block_on(home.run(async { Ok(()) })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_panic_is_an_error() {
        let result: Result<()> = several_threads()
            .block_on(async { Home::choose().unwrap().run(async { panic!("on purpose") }).await });
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Internal);
    }

    #[test]
    fn a_home_of_ones_own_ends_with_the_last_clone_and_what_was_begun() {
        let home = Home::make().unwrap();
        let (open, gate) = oneshot::channel::<()>();
        let (done, result) = std::sync::mpsc::channel();
        let mut dropped = Box::pin(home.run(async move {
            gate.await.unwrap();
            done.send(()).unwrap();
            Ok(())
        }));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        drop(dropped);
        let (tie, end) = oneshot::channel::<Infallible>();
        home.runtime.spawn(end);
        drop(home);
        assert!(!tie.is_closed(), "work is under way");
        open.send(()).unwrap();
        result.recv().unwrap();
        let mut tie = tie;
        several_threads().block_on(tie.closed());
    }
}
