//! Runs one cell: tasks that do one operation as fast as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;

use crate::files::{Files, restarts};
use crate::{Cell, Failure, Outcome, Store};

/// How often a task lets others of its worker thread on: one whose store never waits would keep it to itself, where
/// a server's requests do wait.
const TURN: u64 = 64;

/// Other picks than those that are measured.
const WARM_UP: u64 = 1000;

/// What one task did.
struct Work {
    calls: u64,
    latencies: Histogram<u64>,
}

pub(crate) fn run<S: Store>(
    runtime: &Runtime,
    store: &S,
    files: &Files,
    cell: &Cell,
) -> Result<Outcome, Failure> {
    let operation = cell.operation;
    runtime.block_on(store.prepare(operation))?;
    if store.beside(operation).is_none() {
        // Whoever worked before has the caches.
        measure(runtime, store, &Cell { millis: cell.millis / 8, seed: cell.seed + WARM_UP, ..*cell })?;
    }
    let generation = files.log_generation()?;
    let mut outcome = measure(runtime, store, cell)?;
    outcome.log_restarts = restarts(generation, files.log_generation()?);
    runtime.block_on(store.clean_up(operation))?;
    Ok(outcome)
}

fn measure<S: Store>(runtime: &Runtime, store: &S, cell: &Cell) -> Result<Outcome, Failure> {
    let workers = store.workers(cell)?;
    let operations_per_call = workers.first().map_or(1, Store::operations_per_call);
    let sessions = crate::program::sessions();
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let tasks: Vec<_> = workers
        .into_iter()
        .enumerate()
        .map(|(task, worker)| {
            let random = fastrand::Rng::with_seed((cell.seed << 16) + task as u64);
            runtime.spawn(work(worker, *cell, sessions, random, Arc::clone(&stop)))
        })
        .collect();
    match store.beside(cell.operation) {
        Some(beside) => runtime.block_on(runtime.spawn(beside))??,
        // On this thread, which is none of the runtime's: its timer would wait for a worker with nothing to do.
        None => std::thread::sleep(Duration::from_millis(cell.millis)),
    }
    stop.store(true, Ordering::Relaxed);
    let mut latencies = histogram()?;
    let mut calls = 0;
    for task in tasks {
        let work = runtime.block_on(task)??;
        calls += work.calls;
        latencies.add(work.latencies)?;
    }
    // Up to the end of the last operation: what was begun is counted.
    let seconds = started.elapsed().as_secs_f64();
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Outcome {
        rate: (calls * operations_per_call) as f64 / seconds,
        seconds,
        p50: micros(0.5),
        p99: micros(0.99),
        p999: micros(0.999),
        added: 0.0,
        log_restarts: 0,
    })
}

async fn work<S: Store>(
    mut worker: S,
    cell: Cell,
    sessions: u64,
    mut random: fastrand::Rng,
    stop: Arc<AtomicBool>,
) -> Result<Work, Failure> {
    let mut work = Work { calls: 0, latencies: histogram()? };
    let timed_every = worker.timed_every();
    while !stop.load(Ordering::Relaxed) {
        let session = random.u64(..sessions);
        if work.calls.is_multiple_of(timed_every) {
            let started = Instant::now();
            worker.operate(cell.operation, session).await?;
            let nanos = u64::try_from(started.elapsed().as_nanos())?;
            work.latencies.saturating_record(nanos);
        } else {
            worker.operate(cell.operation, session).await?;
        }
        work.calls += 1;
        if work.calls.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
    }
    Ok(work)
}

/// Nanoseconds up to a minute, to 1%.
fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 2)?)
}
