//! What a store under test brings: the operations, under the ids that every side uses.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use crate::{Cell, Operation};

/// Why a benchmark cannot go on. A store that fails under load measures nothing.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Work beside a cell.
pub type Beside = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A filled store, as one task sees it.
pub trait Store: Sized + Send + Sync + 'static {
    /// The workers of a cell, each for a task of its own: usually as many clones as the cell has tasks.
    ///
    /// # Errors
    ///
    /// What it takes to make them.
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure>;

    /// Does the operation once, or [`operations_per_call`](Self::operations_per_call) times, on session number
    /// `session` where it needs one.
    fn operate(
        &mut self,
        operation: Operation,
        session: u64,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// One of how many calls is timed: more than one where a call takes less than a microsecond, as reading the clock
    /// for each would be much of what is measured.
    fn timed_every(&self) -> u64 {
        1
    }

    /// How many operations one call does; more than one for what writes in batches.
    fn operations_per_call(&self) -> u64 {
        1
    }

    /// What its server took in memory for filling it; zero where that is not known.
    fn server_bytes(&self) -> u64 {
        0
    }

    /// Before a cell, outside its time.
    fn prepare(&self, operation: Operation) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = operation;
        async { Ok(()) }
    }

    /// What runs beside the cell and ends it; none, and the cell ends by time.
    fn beside(&self, operation: Operation) -> Option<Beside> {
        let _ = operation;
        None
    }

    /// After a cell, outside its time: removes what it has created.
    fn clean_up(&self, operation: Operation) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = operation;
        async { Ok(()) }
    }
}

/// The id of session number `session`: the same on every side, and spread like a random one.
#[must_use]
pub fn id(session: u64) -> [u8; 16] {
    fastrand::Rng::with_seed(session).u128(..).to_be_bytes()
}

/// Does something for each number of a range in 64 tasks: fills and empties stores.
///
/// # Errors
///
/// The first failure of any.
pub async fn parallel<F>(
    range: std::ops::Range<u64>,
    each: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send,
{
    const TASKS: u64 = 64;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (range, each) = (range.clone(), each.clone());
            tokio::spawn(async move {
                let mut number = range.start + task;
                while number < range.end {
                    each(number).await?;
                    number += TASKS;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
