//! Settings out of their range: an error before anything runs.

use std::time::Duration;

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Result, Revision, SessionBackend, SessionId,
    SessionManager, SessionManagerBuilder, Timestamp, UpdateOutcome, async_trait,
};

/// A store that is never asked.
#[derive(Debug)]
struct Unused;

#[async_trait]
impl SessionBackend for Unused {
    async fn create(&self, _: SessionId, _: Record, _: Timestamp) -> Result<CreateOutcome> {
        Err(ErrorKind::Unavailable.into())
    }

    async fn load(&self, _: SessionId, _: Timestamp) -> Result<Option<Record>> {
        Err(ErrorKind::Unavailable.into())
    }

    async fn update(&self, _: SessionId, _: Revision, _: Record, _: Timestamp) -> Result<UpdateOutcome> {
        Err(ErrorKind::Unavailable.into())
    }

    async fn touch(&self, _: SessionId, _: Timestamp, _: Timestamp) -> Result<bool> {
        Err(ErrorKind::Unavailable.into())
    }

    async fn delete(&self, _: SessionId, _: Option<Revision>, _: Timestamp) -> Result<DeleteOutcome> {
        Err(ErrorKind::Unavailable.into())
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn build(configure: impl FnOnce(SessionManagerBuilder) -> SessionManagerBuilder) -> Option<ErrorKind> {
    configure(SessionManager::builder(Unused)).build().err().map(|error| error.kind())
}

#[test]
fn what_is_within_its_range_is_taken() {
    assert_eq!(build(|builder| builder), None);
    assert_eq!(build(|builder| builder.grace(300 * SECOND)), None);
    assert_eq!(build(|builder| builder.grace(Duration::ZERO)), None);
    assert_eq!(build(|builder| builder.rotate_every(SECOND)), None);
    assert_eq!(build(|builder| builder.rotate_every(None)), None);
    assert_eq!(build(|builder| builder.store_timeout(MILLISECOND)), None);
    assert_eq!(build(|builder| builder.idle_timeout(MILLISECOND)), None);
    assert_eq!(build(|builder| builder.absolute_timeout(400 * DAY)), None);
}

#[test]
fn what_is_out_of_its_range_is_an_error() {
    let config = Some(ErrorKind::Config);
    assert_eq!(build(|builder| builder.grace(300 * SECOND + MILLISECOND)), config);
    assert_eq!(build(|builder| builder.rotate_every(SECOND - MILLISECOND)), config);
    assert_eq!(build(|builder| builder.rotate_every(Duration::ZERO)), config);
    assert_eq!(build(|builder| builder.store_timeout(Duration::ZERO)), config);
    assert_eq!(build(|builder| builder.idle_timeout(Duration::ZERO)), config);
    assert_eq!(build(|builder| builder.absolute_timeout(Duration::ZERO)), config);
    assert_eq!(build(|builder| builder.absolute_timeout(400 * DAY + MILLISECOND)), config);
}
