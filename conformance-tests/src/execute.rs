//! Runs one case on one subject: a thread and a runtime of its own, and a limit to its time.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::case::Case;
use crate::check::{CaseResult, Failure};
use crate::context::{Effort, Ground};
use crate::recorder::Steps;

/// How cases are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Of the whole run; each case makes its own of it.
    pub(crate) seed: u64,
    pub(crate) effort: Effort,
    pub(crate) schedule: Schedule,
    /// A case that takes longer has failed, and its thread is left behind.
    pub(crate) timeout: Duration,
}

/// Who decides which racer goes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// The operating system, over four workers: what happens on a server, and differently each time.
    Parallel,
    /// One thread that changes from task to task where they wait: the same race each time.
    Cooperative,
}

/// Runs a case; an error is the whole report.
pub(crate) fn execute<G: Ground>(
    case: Case<G>,
    subject: Arc<G::Subject>,
    options: Options,
) -> Result<(), String> {
    let steps = Steps::default();
    let (sender, receiver) = mpsc::channel();
    let seed = case_seed(options.seed, &case);
    let thread_steps = steps.clone();
    let body = move || {
        let run = || on_runtime(case, subject, seed, thread_steps, options);
        let result = catch_unwind(AssertUnwindSafe(run));
        // Nobody listens any more if the time is up.
        let _ = sender.send(result.unwrap_or_else(|panic| Err(Failure::new(panic_message(&*panic)))));
    };
    let spawned = thread::Builder::new().name(case.full_name()).spawn(body);
    let result = match spawned {
        Err(error) => Err(Failure::new(format!("no thread for the case: {error}"))),
        Ok(_) => match receiver.recv_timeout(options.timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                Err(Failure::new(format!("not done after {:?}", options.timeout)))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Failure::new("the case's thread is gone")),
        },
    };
    result.map_err(|failure| report(&case, options.seed, &failure, &steps))
}

fn on_runtime<G: Ground>(
    case: Case<G>,
    subject: Arc<G::Subject>,
    seed: u64,
    steps: Steps,
    options: Options,
) -> CaseResult {
    let mut builder = match options.schedule {
        Schedule::Parallel => Builder::new_multi_thread(),
        Schedule::Cooperative => Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(4).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no runtime for the case: {error}")))?;
    let result = runtime.block_on(async {
        let context = G::open(subject, seed, steps, options.effort).await?;
        // As a task: a race needs its body on the workers, and a panic must not skip the discarding.
        let result = tokio::spawn((case.run)(context.clone())).await;
        context.discard().await;
        result?
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

/// The same whatever else runs, so that a filter repeats what failed. FNV-1a over the name.
fn case_seed<G>(seed: u64, case: &Case<G>) -> u64 {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    case.full_name().bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, hash)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

fn report<G>(case: &Case<G>, seed: u64, failure: &Failure, steps: &Steps) -> String {
    let mut report = String::new();
    let _ = writeln!(report, "{failure}");
    let _ = writeln!(report, "  the contract: {}", case.sentence);
    let _ = writeln!(report, "  to repeat:    CONFORMANCE_SEED={seed}");
    let _ = writeln!(report, "  the steps, times in ms since the start:");
    report.push_str(&steps.report());
    report
}
