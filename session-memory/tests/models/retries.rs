//! Commits that are tried until they succeed, on a store that refuses, loses and answers as it likes: each
//! counts once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use session_core::{
    Committed, CreateOutcome, DeleteOutcome, ErrorKind, Record, Result, Revision, SessionBackend, SessionId,
    SessionManager, Timestamp, UpdateOutcome, async_trait,
};
use session_memory::MemoryBackend;

/// What becomes of an update.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// It has taken effect, and nobody hears of it.
    AnswerLost,
    /// It has not, and nobody knows.
    Lost,
    /// It was not begun, and the kind says so.
    Refused(ErrorKind),
}

#[derive(Debug)]
struct Moody {
    memory: Arc<MemoryBackend>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
}

#[async_trait]
impl SessionBackend for Moody {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.memory.create(id, record, now).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.memory.load(id, now).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Answered);
        match fate {
            Fate::Answered => self.memory.update(id, expected, record, now).await,
            Fate::AnswerLost => {
                let _ = self.memory.update(id, expected, record, now).await?;
                Err(ErrorKind::Timeout.into())
            }
            Fate::Lost => Err(ErrorKind::Unavailable.into()),
            Fate::Refused(kind) => Err(kind.into()),
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.memory.touch(id, expires_at, now).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.memory.delete(id, expected, now).await
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Answered),
        Just(Fate::AnswerLost),
        Just(Fate::Lost),
        prop::sample::select(vec![ErrorKind::Overloaded, ErrorKind::TooLarge]).prop_map(Fate::Refused),
    ]
}

async fn count(manager: &SessionManager, token: &str) {
    let session = manager.open(Some(token)).await.unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    let _ = session.commit().await.unwrap();
}

/// Each request comes with the fates of its updates, and whether another one is through before each try.
async fn check(requests: Vec<Vec<(Fate, bool)>>) -> Result<(), TestCaseError> {
    let (memory, fates) = (Arc::new(MemoryBackend::new()), Arc::new(Mutex::default()));
    let others = SessionManager::builder(memory.clone()).build().unwrap();
    let manager = SessionManager::builder(Moody { memory, fates: fates.clone() }).build().unwrap();
    let session = others.open(None).await.unwrap();
    session.insert("n", 0).unwrap();
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no token") };
    let token = token.expose();

    let mut expected = 0;
    for request in requests {
        let session = manager.open(Some(&token)).await.unwrap();
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        *fates.lock().unwrap() = request.iter().map(|(fate, _)| *fate).collect();
        let mut overtaken = request.iter().map(|(_, overtaken)| *overtaken);
        loop {
            if overtaken.next() == Some(true) {
                count(&others, &token).await;
                expected += 1;
            }
            let before = fates.lock().unwrap().len();
            match session.commit().await {
                Ok(_) => break,
                Err(error) => prop_assert!(before > 0, "on a store that answers: {error}"),
            }
        }
        expected += 1;
    }
    let session = others.open(Some(&token)).await.unwrap();
    prop_assert_eq!(session.get::<u64>("n").unwrap(), Some(expected));
    Ok(())
}

#[test]
fn a_commit_that_is_tried_until_it_succeeds_counts_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let request = prop::collection::vec((fate(), any::<bool>()), 0..6);
    TestRunner::new(config)
        .run(&prop::collection::vec(request, 1..5), |requests| runtime.block_on(check(requests)))
        .unwrap();
}
