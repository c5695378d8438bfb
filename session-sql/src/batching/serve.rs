//! Where batches meet connections.

use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Error, ErrorKind};
use tokio::time::{Instant, timeout};

use super::batch::{Fault, Verb};
use super::lane::Turn;

/// Lends connections.
pub(crate) trait Connector: Send + Sync + 'static {
    type Connection: Send;
    /// What a panic or the end of the runtime drops is not lost either.
    type Lease: DerefMut<Target = Self::Connection> + Send;
    type Fault: Fault;

    /// Waits for a connection as long as the pool does. Whoever waited before this was called gets its error.
    fn lease(&self) -> impl Future<Output = Result<Self::Lease, Self::Fault>> + Send;

    /// Gives back a connection that may be used again.
    fn release(&self, lease: Self::Lease);

    /// Closes a connection that may be in the middle of something.
    fn discard(&self, lease: Self::Lease);

    /// Why a call was not begun within its time.
    fn time_is_up(&self) -> Error;

    /// How long a batch may take.
    fn work_timeout(&self) -> Duration;
}

/// Serves calls until none waits. To be spawned: it goes on whatever callers do.
///
/// A connection is asked for before it is decided what goes together, and given back after each batch: so all that
/// come while connections are scarce go as one, and no verb keeps one from another.
pub(crate) async fn serve<V: Verb, C: Connector<Connection = V::Connection>>(
    mut turn: Turn<V::Request>,
    verb: Arc<V>,
    connector: C,
) {
    let time_is_up = || connector.time_is_up();
    while turn.goes_on() {
        let since = Instant::now();
        let mut lease = match turn.during(connector.lease(), true, time_is_up).await {
            Some(Ok(lease)) => lease,
            Some(Err(fault)) => {
                turn.fail_older(since, || fault.error());
                continue;
            }
            None => continue,
        };
        let Some(mut batch) = turn.take() else {
            connector.release(lease);
            continue;
        };
        let work = timeout(connector.work_timeout(), batch.run(&*verb, &mut lease));
        let is_spoilt = match turn.during(work, false, time_is_up).await {
            Some(Ok(Ok(()))) => false,
            Some(Ok(Err(fault))) => {
                batch.fail(|| fault.error());
                fault.spoils_connection()
            }
            Some(Err(_)) | None => {
                batch.fail(|| Error::describe(ErrorKind::Timeout, "the server did not answer in time"));
                true
            }
        };
        if is_spoilt {
            connector.discard(lease);
        } else {
            connector.release(lease);
        }
    }
}
