//! The verbs for several sessions at once: a dialect's statement changes what it can, and why it has not changed the
//! others is read by a second one, whose snapshot is newer.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use session_core::{Record, Result, SessionId, Timestamp};
use sqlx::Database;

use super::calls::{AnswerSize, Load, Write};
use super::failure::Failure;
use super::hosts::Server;
use super::row::{Columns, live_record, session_id};
use crate::batching::{Batch, Request, Verb};

/// The statements of a dialect on one table that are about any verb.
pub(crate) trait Dialect: Debug + Send + Sync + 'static {
    type Database: Server<Row: Columns>;

    /// The rows of these sessions, without those that there are none of. The ids ascend.
    fn find(
        &self,
        connection: &mut Connection<Self>,
        ids: &[SessionId],
    ) -> impl Future<Output = Result<Vec<Row<Self>>, Failure>> + Send;

    /// Whose rows somebody keeps locked, without waiting for them. The ids ascend.
    fn held(
        &self,
        connection: &mut Connection<Self>,
        ids: &[SessionId],
    ) -> impl Future<Output = Result<HashSet<SessionId>, Failure>> + Send;
}

/// Carries out a call by itself.
pub(crate) trait Carries<R: Request>: Dialect {
    fn alone(
        &self,
        connection: &mut Connection<Self>,
        call: &R,
    ) -> impl Future<Output = Result<R::Outcome, Failure>> + Send;
}

/// Carries out several calls about different sessions, by id, as far as each goes.
pub(crate) trait Changes<R: Write>: Carries<R> {
    /// Tells whose rows it has changed. A failure has changed none, if its remedy is to try again.
    fn change(
        &self,
        connection: &mut Connection<Self>,
        calls: &[&R],
    ) -> impl Future<Output = Result<HashSet<SessionId>, Failure>> + Send;
}

pub(crate) type Connection<D> = <<D as Dialect>::Database as Database>::Connection;
type Row<D> = <<D as Dialect>::Database as Database>::Row;

/// Carries out the writing calls of one verb.
#[derive(Debug)]
pub(crate) struct Writes<D, R> {
    dialect: Arc<D>,
    verb: PhantomData<fn(R)>,
}

impl<D, R> Writes<D, R> {
    pub(super) fn new(dialect: &Arc<D>) -> Self {
        Self { dialect: Arc::clone(dialect), verb: PhantomData }
    }
}

impl<R: Write, D: Changes<R>> Verb for Writes<D, R> {
    type Request = R;
    type Connection = Connection<D>;
    type Fault = Failure;

    async fn together(&self, connection: &mut Connection<D>, batch: &mut Batch<R>) -> Result<(), Failure> {
        let calls: Vec<&R> = batch.requests().collect();
        let changed = self.dialect.change(connection, &calls).await?;
        batch.settle(
            |_, call| {
                if changed.contains(&call.id()) { Some(call.changed()) } else { call.left_alone() }
            },
        );
        if batch.requests().len() == 0 {
            return Ok(());
        }
        let found = Found::look(&*self.dialect, connection, batch.requests()).await?;
        batch.settle(|_, call| match found.live(call.id(), call.now()) {
            Ok(record) => call.met(record),
            // A row that cannot be read is for the statement of one session to judge: an error may be one there and
            // none here.
            Err(_) => None,
        });
        Ok(())
    }

    async fn alone(&self, connection: &mut Connection<D>, call: &R) -> Result<R::Outcome, Failure> {
        self.dialect.alone(connection, call).await
    }

    async fn held(
        &self,
        connection: &mut Connection<D>,
        batch: &Batch<R>,
    ) -> Result<HashSet<SessionId>, Failure> {
        let ids: Vec<SessionId> = batch.requests().map(Request::id).collect();
        self.dialect.held(connection, &ids).await
    }
}

/// Carries out loads.
#[derive(Debug)]
pub(crate) struct Loads<D> {
    dialect: Arc<D>,
    answers: Arc<AnswerSize>,
}

impl<D> Loads<D> {
    pub(super) fn new(dialect: &Arc<D>, answers: &Arc<AnswerSize>) -> Self {
        Self { dialect: Arc::clone(dialect), answers: Arc::clone(answers) }
    }
}

impl<D: Carries<Load>> Verb for Loads<D> {
    type Request = Load;
    type Connection = Connection<D>;
    type Fault = Failure;

    async fn together(&self, connection: &mut Connection<D>, batch: &mut Batch<Load>) -> Result<(), Failure> {
        let found = Found::look(&*self.dialect, connection, batch.requests()).await?;
        let records: Vec<_> = batch.requests().map(|load| found.live(load.id, load.now)).collect();
        self.answers.note(records.iter().flatten().flatten());
        let mut records = records.into_iter();
        batch.settle(|_, _| records.next().map(|record| record.map_err(|failure| failure.error())));
        Ok(())
    }

    async fn alone(&self, connection: &mut Connection<D>, load: &Load) -> Result<Option<Record>, Failure> {
        let record = self.dialect.alone(connection, load).await?;
        self.answers.note(record.iter());
        Ok(record)
    }
}

/// The rows that a statement has found.
struct Found<Row>(HashMap<SessionId, Row>);

impl<Row: Columns> Found<Row> {
    async fn look<D: Dialect<Database: Database<Row = Row>>, R: Request>(
        dialect: &D,
        connection: &mut Connection<D>,
        calls: impl Iterator<Item = &R>,
    ) -> Result<Self, Failure> {
        let mut ids: Vec<SessionId> = calls.map(Request::id).collect();
        ids.dedup();
        let rows = dialect.find(connection, &ids).await?;
        Ok(Self(rows.into_iter().map(|row| Ok((session_id(&row)?, row))).collect::<Result<_, Failure>>()?))
    }

    /// The live record of a session, or that there is none.
    fn live(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>, Failure> {
        self.0.get(&id).map_or(Ok(None), |row| live_record(row, now))
    }
}
