//! The largest statement that the server takes. One above that it would answer by closing the connection, which looks
//! like any other failure; so that the driver has to know before it sends.

use session_core::{ErrorKind, Record};
use sqlx::{MySqlConnection, Row as _};

use crate::server::Failure;

/// The server's `max_allowed_packet`, as it was when the backend connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketLimit {
    bytes: usize,
}

impl PacketLimit {
    pub(super) async fn read(connection: &mut MySqlConnection) -> Result<Self, Failure> {
        let query = sqlx::query("SELECT CAST(@@SESSION.max_allowed_packet AS SIGNED)").persistent(false);
        let bytes: i64 = query.fetch_one(connection).await?.try_get(0)?;
        Ok(Self { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) })
    }

    /// How many bytes of records may go in one statement. What goes with each record (its id several times, places to
    /// spare) is less than seven times what the record is counted for.
    pub(super) fn of_batches(self) -> usize {
        BATCH_BYTES.min(self.bytes / 8)
    }

    /// Makes sure that the connection takes `record`. A large one asks it first: the limit may have changed since.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if it does not.
    pub(super) async fn check(
        self,
        connection: &mut MySqlConnection,
        record: &Record,
    ) -> Result<(), Failure> {
        let principal = record.principal.as_ref().map_or(0, |principal| principal.as_str().len());
        let size = record.meta.len() + record.data.len() + principal + OVERHEAD;
        if size <= self.bytes.min(UNQUESTIONED) {
            return Ok(());
        }
        let limit = Self::read(connection).await?.bytes;
        if size <= limit {
            return Ok(());
        }
        let detail = format!("{size} bytes; the server's `max_allowed_packet` is {limit}");
        Err(Failure::describe(ErrorKind::TooLarge, detail))
    }
}

/// Of the records in a batch.
const BATCH_BYTES: usize = 1 << 20;

/// More than the fixed-size values of a statement and what goes around them.
const OVERHEAD: usize = 512;

/// No server is set to less than a statement of this size unless it was so from the beginning.
const UNQUESTIONED: usize = 1 << 20;
