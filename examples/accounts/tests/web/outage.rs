//! What users see while the store of sessions is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_kit::{
    CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Listing, Principal, Record, Result, Revision,
    SessionBackend, SessionId, Timestamp, UpdateOutcome, async_trait,
};

use crate::site::Site;

/// A store that can be switched off.
#[derive(Clone, Debug)]
struct Switched {
    store: Arc<dyn SessionBackend>,
    down: Arc<AtomicBool>,
}

impl Switched {
    fn store(&self) -> Result<&dyn SessionBackend> {
        if self.down.load(Ordering::SeqCst) { Err(ErrorKind::Unavailable.into()) } else { Ok(&*self.store) }
    }
}

#[async_trait]
impl SessionBackend for Switched {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.store()?.create(id, record, now).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.store()?.load(id, now).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.store()?.update(id, expected, record, now).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.store()?.touch(id, expires_at, now).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.store()?.delete(id, expected, now).await
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        self.store()?.list(principal, after, limit, now).await
    }
}

#[tokio::test]
async fn nobody_is_signed_out_by_an_outage() {
    let down = Arc::new(AtomicBool::new(false));
    let store = session_kit::backend("memory:").await.unwrap();
    let site = Site::on(Arc::new(Switched { store, down: down.clone() })).await;
    let mut alice = site.alice().await;
    let cookie = alice.cookie.clone();

    down.store(true, Ordering::SeqCst);
    assert_eq!(alice.get("/account").await.0, 503);
    assert_eq!(alice.cookie, cookie, "the cookie stays");

    down.store(false, Ordering::SeqCst);
    assert_eq!(alice.get("/account").await.0, 200);
}
