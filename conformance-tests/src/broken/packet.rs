//! A driver that sends whatever waits as one packet, however large that is.

use session_core::{Error, ErrorKind, Result};

use super::store::{LIMIT, Store, pause};

pub(super) const FAULTS: &[((), &str, &str)] =
    &[((), "packet_of_all_that_waits", "writes at the same time do not add up to one that is too large")];

/// Waits for others to join in; an error if they are too many together.
pub(super) async fn send(store: &Store, bytes: usize) -> Result<()> {
    store.packet(|waiting| *waiting += bytes);
    pause().await;
    let whole = store.packet(|waiting| *waiting);
    // Those that were with it see it too, before it leaves.
    pause().await;
    store.packet(|waiting| *waiting -= bytes);
    if whole > LIMIT {
        return Err(Error::describe(ErrorKind::Internal, "a packet that the server does not take"));
    }
    Ok(())
}
