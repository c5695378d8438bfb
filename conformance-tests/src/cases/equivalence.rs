//! Group K, second half: programs that nobody thought of, one verb after the other, with an answer for each.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, Reason, RngAlgorithm, TestRng, TestRunner};
use rand::RngExt as _;
use session_core::{SessionBackend as _, Timestamp};
use session_memory::MemoryBackend;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::case::{Case, case};
use crate::check::{CaseResult, Failure};
use crate::context::Context;
use crate::equivalence::{Reply, Request, Step, Verbs, World, step};

pub(super) const CASES: &[Case] = &[
    case!(
        "linearizability",
        model_equivalence,
        "any program of verbs is answered as the table of the contract says",
    ),
    case!(
        "linearizability",
        same_trace_same_answers_as_memory,
        "all drivers give the same answers to the same calls",
    ),
];

async fn model_equivalence(ctx: Context) -> CaseResult {
    const SESSIONS: usize = 3;
    // On one thread: a program that is being shrunk cannot go to another.
    let runtime = Handle::current();
    let body = move || {
        let programs = vec(step(SESSIONS, verbs(&ctx)), 1..60);
        let run = |program: &[Step]| runtime.block_on(run_program(&ctx, SESSIONS, program));
        let mut runner = runner(&ctx);
        for _ in 0..ctx.steps(300) {
            let mut program = programs.new_tree(&mut runner).map_err(no_steps)?;
            if let Err(failure) = run(&program.current()) {
                return Err(shrink(&mut program, ctx.steps(1000), failure, run));
            }
        }
        Ok(())
    };
    spawn_blocking(body).await?
}

/// Simplifies a program for as long as it fails, in so many attempts; how the simplest one fails.
fn shrink(
    program: &mut impl ValueTree<Value = Vec<Step>>,
    attempts: usize,
    mut failure: Failure,
    run: impl Fn(&[Step]) -> CaseResult,
) -> Failure {
    let mut is_new = program.simplify();
    for _ in 0..attempts {
        if !is_new {
            break;
        }
        is_new = match run(&program.current()) {
            Ok(()) => program.complicate(),
            Err(simpler) => {
                failure = simpler;
                program.simplify()
            }
        };
    }
    failure
}

/// Runs a program on sessions of its own.
async fn run_program(ctx: &Context, sessions: usize, program: &[Step]) -> CaseResult {
    let promises = ctx.harness().promises();
    let ids: Vec<_> = (0..sessions).map(|_| ctx.id()).collect();
    let mut world = World::new(ids.iter().copied(), ctx.now(), !promises.native_expiry);
    let mut transcript = String::new();
    let mut outcome = Ok(());
    // Programs share the namespace: what one that failed has left behind must not accuse the next.
    if promises.purge {
        Request::Purge { now: Timestamp::MAX }.send(&*ctx.backend()).await?;
    }
    for step in program {
        let (request, expected) = world.take(step);
        outcome = ask(ctx, &world, &request, &expected, &mut transcript).await;
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_ok() {
        for (request, expected) in world.last_looks() {
            outcome = outcome.and(ask(ctx, &world, &request, &expected, &mut transcript).await);
        }
    }
    for id in ids {
        // At the beginning of time nothing is dead yet.
        let _ = ctx.backend().delete(id, None, Timestamp::MIN).await;
    }
    outcome.map_err(|failure| {
        Failure::new(format!("{failure}; the program, times in ms since the start:\n{transcript}"))
    })
}

async fn same_trace_same_answers_as_memory(ctx: Context) -> CaseResult {
    const SESSIONS: usize = 12;
    let promises = ctx.harness().promises();
    let memory = MemoryBackend::new();
    let mut world = World::new((0..SESSIONS).map(|_| ctx.id()), ctx.now(), !promises.native_expiry);
    for (number, step) in trace(&ctx, SESSIONS, ctx.steps(10_000))?.iter().enumerate() {
        let (request, _) = world.take(step);
        let expected = request.send(&memory).await?;
        let mut transcript = String::new();
        let outcome = ask(&ctx, &world, &request, &expected, &mut transcript).await;
        outcome.map_err(|failure| Failure::new(format!("step {}: {failure}\n{transcript}", number + 1)))?;
    }
    Ok(())
}

fn trace(ctx: &Context, sessions: usize, len: usize) -> CaseResult<Vec<Step>> {
    let (mut runner, step) = (runner(ctx), step(sessions, verbs(ctx)));
    (0..len).map(|_| Ok(step.new_tree(&mut runner).map_err(no_steps)?.current())).collect()
}

/// Asks the driver, writes the answer down and holds it against the expected one.
async fn ask(
    ctx: &Context,
    world: &World,
    request: &Request,
    expected: &Reply,
    transcript: &mut String,
) -> CaseResult {
    let session = world.number(request).map_or(String::new(), |number| format!("session {number}, "));
    let actual = match request.send(&*ctx.backend()).await {
        Ok(actual) => actual,
        Err(failure) => {
            let _ = writeln!(transcript, "    {session}{request} -> no answer, expected {expected}");
            return Err(failure);
        }
    };
    let _ = writeln!(transcript, "    {session}{request} -> {actual}");
    // A store with an expiry of its own has removed what it likes.
    if matches!(request, Request::Purge { .. }) && ctx.harness().promises().native_expiry {
        return Ok(());
    }
    actual.expect(expected, "the last answer")
}

fn verbs(ctx: &Context) -> Verbs {
    let promises = ctx.harness().promises();
    Verbs { list: promises.list, purge: promises.purge }
}

/// A generator of steps that follows the case's seed.
fn runner(ctx: &Context) -> TestRunner {
    let seed: [u8; 32] = ctx.rng().random();
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

fn no_steps(reason: Reason) -> Failure {
    Failure::new(format!("no steps: {reason}"))
}
