//! Where the calls of each verb queue for the connections of a server.

use std::fmt;
use std::sync::Arc;

use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionId, Timestamp, UpdateOutcome,
};

use super::calls::{AnswerSize, Create, Delete, Load, Touch, Update, Write};
use super::connections::Connections;
use super::verbs::{Carries, Changes, Dialect, Loads, Writes};
use crate::batching::{Lane, Limits};

/// The verbs that share statements.
pub(crate) struct Lanes<D: Dialect> {
    connections: Connections<D::Database>,
    loads: (Lane<Load>, Arc<Loads<D>>),
    creates: Entry<D, Create>,
    updates: Entry<D, Update>,
    touches: Entry<D, Touch>,
    deletes: Entry<D, Delete>,
    answers: Arc<AnswerSize>,
}

/// The queue of a verb, and what carries its calls out.
type Entry<D, R> = (Lane<R>, Arc<Writes<D, R>>);

/// Calls of a batch at most: more of them gain little, and each waits for all.
const BATCH_CALLS: usize = 128;

impl<D> Lanes<D>
where
    D: Carries<Load> + Changes<Create> + Changes<Update> + Changes<Touch> + Changes<Delete>,
{
    /// Batches have records of at most so many `bytes`, sent or answered.
    pub(crate) fn new(connections: &Connections<D::Database>, dialect: &Arc<D>, bytes: usize) -> Self {
        let limits = Limits { calls: BATCH_CALLS, bytes, patience: connections.patience() };
        let answers = Arc::new(AnswerSize::new());
        Self {
            connections: connections.clone(),
            loads: (Lane::new(limits, connections.places()), Arc::new(Loads::new(dialect, &answers))),
            creates: entry(connections, dialect, limits),
            updates: entry(connections, dialect, limits),
            touches: entry(connections, dialect, limits),
            deletes: entry(connections, dialect, limits),
            answers,
        }
    }

    pub(crate) async fn create(
        &self,
        id: SessionId,
        record: Record,
        now: Timestamp,
    ) -> Result<CreateOutcome> {
        self.call(&self.creates, Create { id, record, now }).await
    }

    pub(crate) async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let (lane, verb) = &self.loads;
        self.connections.call(lane, verb, Load { id, now, answers: Arc::clone(&self.answers) }).await
    }

    pub(crate) async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.call(&self.updates, Update { id, expected, record, now }).await
    }

    pub(crate) async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.call(&self.touches, Touch { id, expires_at, now }).await
    }

    pub(crate) async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.call(&self.deletes, Delete { id, expected, now }).await
    }

    async fn call<R: Write>(&self, (lane, verb): &Entry<D, R>, call: R) -> Result<R::Outcome>
    where
        D: Changes<R>,
    {
        self.connections.call(lane, verb, call).await
    }
}

fn entry<D: Changes<R>, R: Write>(
    connections: &Connections<D::Database>,
    dialect: &Arc<D>,
    limits: Limits,
) -> Entry<D, R> {
    (Lane::new(limits, connections.places()), Arc::new(Writes::new(dialect)))
}

impl<D: Dialect> fmt::Debug for Lanes<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What waits there holds sessions.
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}
