//! What a request costs: CPU time of the one thread that does all of it, in process.
//!
//! A socket's noise would hide what a layer adds, and wall time counts whatever else the machine does.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::{Cell, Failure, Operation, Outcome, Store};

/// Requests of one kind in a row, before the other kind has its turn.
const BLOCK: u32 = 500;

pub(crate) fn run<S: Store>(store: &S, cell: &Cell) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut worker = store.workers(cell)?.pop().ok_or("no worker")?;
    runtime.block_on(store.prepare(cell.operation))?;
    runtime.block_on(async {
        let mut picks = fastrand::Rng::with_seed(cell.seed << 16);
        block(&mut worker, cell.operation.bare(), &mut picks).await?;
        block(&mut worker, cell.operation, &mut picks).await?;
        let started = Instant::now();
        let (mut bare, mut with_session, mut blocks) = (Duration::ZERO, Duration::ZERO, 0);
        while started.elapsed() < Duration::from_millis(cell.millis) {
            bare += block(&mut worker, cell.operation.bare(), &mut picks).await?;
            with_session += block(&mut worker, cell.operation, &mut picks).await?;
            blocks += 1;
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(blocks * BLOCK);
        Ok(Outcome {
            rate: 1e6 / micros(with_session),
            seconds: started.elapsed().as_secs_f64(),
            p50: micros(with_session),
            p99: 0.0,
            p999: 0.0,
            added: micros(with_session) - micros(bare),
            log_restarts: 0,
        })
    })
}

/// Both kinds go on in one row of picks: what one has brought into the processor's caches is seldom what the other
/// asks for next.
async fn block<S: Store>(
    worker: &mut S,
    operation: Operation,
    picks: &mut fastrand::Rng,
) -> Result<Duration, Failure> {
    let sessions = crate::program::sessions();
    let started = thread_time();
    for _ in 0..BLOCK {
        worker.operate(operation, picks.u64(..sessions)).await?;
    }
    Ok(thread_time().saturating_sub(started))
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
