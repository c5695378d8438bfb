//! async-session's store in memory, which shares sessions instead of cloning them.

use std::sync::Arc;

use async_session::{MemoryStore, Session, SessionStore};
use bench_harness::{Cell, Failure, Operation, Program, Store, payload};

#[derive(Clone)]
pub(crate) struct AsyncSession {
    store: MemoryStore,
    /// It draws ids itself and finds them by the cookie only.
    cookies: Arc<[String]>,
}

impl AsyncSession {
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let store = MemoryStore::new();
        let mut cookies = Vec::new();
        for _ in 0..program.sessions {
            let mut session = Session::new();
            for (key, value) in payload::values(program.values, 0) {
                session.insert(&key, value)?;
            }
            cookies.push(store.store_session(session).await?.ok_or("no cookie")?);
        }
        Ok(Self { store, cookies: cookies.into() })
    }
}

impl Store for AsyncSession {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); cell.tasks])
    }

    fn timed_every(&self) -> u64 {
        16
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        if operation != Operation::Load {
            return Err(format!("not measured: {operation:?}").into());
        }
        let cookie = self.cookies[usize::try_from(session)?].clone();
        let session = self.store.load_session(cookie).await?;
        std::hint::black_box(session.ok_or("a session is missing")?);
        Ok(())
    }
}
