//! A whole suite on one subject, each case a real test with a name of its own.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::Case;
use crate::cases::{self, SLOW};
use crate::context::{Effort, Ground};
use crate::execute::{Options, Schedule, execute};
use crate::expected::{Expected, State};
use crate::harness::{Harness, Promises};
use crate::process;
use crate::summary::{Summary, write_line};

/// Runs every case on a driver, against the committed list at `list` (relative to the package).
///
/// It is the `main` of a test target with `harness = false`. Tests are named `driver::group::case`; one
/// more, `driver::list::is_complete`, compares the list with the cases there are. The environment
/// variables are described at the [crate's top](crate).
pub fn run(harness: impl Harness, list: impl AsRef<Path>) -> ExitCode {
    let (row, promises) = (harness.name().to_owned(), harness.promises());
    let harness: Arc<dyn Harness> = Arc::new(harness);
    if let Some(code) = process::play(&harness) {
        return code;
    }
    run_suite(Suite { cases: cases::all(), subject: harness, row, promises }, list.as_ref())
}

/// Cases, and what they are run on.
pub(crate) struct Suite<G: Ground> {
    pub(crate) cases: Vec<Case<G>>,
    pub(crate) subject: Arc<G::Subject>,
    pub(crate) row: String,
    pub(crate) promises: Promises,
}

pub(crate) fn run_suite<G: Ground>(suite: Suite<G>, list: &Path) -> ExitCode {
    let arguments = Arguments::from_args();
    let row = suite.row.clone();
    match prepare(suite, list, arguments.list) {
        Ok((trials, summary)) => {
            let conclusion = libtest_mimic::run(&arguments, trials);
            if !arguments.list
                && let Err(error) = write_line(&row, &summary.line(&row))
            {
                eprintln!("the summary cannot be written: {error}");
                return ExitCode::FAILURE;
            }
            conclusion.exit_code()
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The seed in `CONFORMANCE_SEED`, if one is given.
pub(crate) fn seed() -> Result<Option<u64>, String> {
    let Ok(text) = env::var("CONFORMANCE_SEED") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("CONFORMANCE_SEED is not a u64: {text}"))
}

/// Whether committed files are to be written anew.
pub(crate) fn writes_lists() -> bool {
    env::var_os("CONFORMANCE_WRITE_LIST").is_some_and(|value| value == "1")
}

/// Whether cases that wait for real time are left out.
fn is_quick() -> bool {
    env::var_os("CONFORMANCE_QUICK").is_some_and(|value| value == "1")
}

fn prepare<G: Ground>(
    suite: Suite<G>,
    list: &Path,
    only_names: bool,
) -> Result<(Vec<Trial>, Summary), String> {
    let Suite { cases, subject, row, promises } = suite;
    let read = || Expected::read(list).map_err(|error| format!("{}: {error}", list.display()));
    let mut expected = read()?;
    if writes_lists() && !only_names {
        let written = expected.write(list, &cases, &promises);
        written.map_err(|error| format!("{}: {error}", list.display()))?;
        expected = read()?;
    }
    let options = Options {
        seed: seed()?.unwrap_or_else(rand::random),
        effort: Effort::Full,
        schedule: Schedule::Parallel,
        timeout: Duration::from_secs(120),
    };
    if !only_names {
        println!("seed: CONFORMANCE_SEED={}", options.seed);
    }
    let summary = Summary::default();
    let mut trials = vec![list_trial(&row, &expected, &cases, list)];
    for case in cases {
        let state = expected.state(&case).cloned();
        let unmet = case.unmet_need(&promises);
        let (subject, summary) = (subject.clone(), summary.clone());
        let body = move || {
            let result = judge(case, state, unmet, subject, options, &summary);
            result.inspect_err(|_| summary.failed()).map_err(Failed::from)
        };
        let trial = Trial::test(format!("{row}::{}", case.full_name()), body);
        trials.push(trial.with_ignored_flag(case.group == SLOW && is_quick()));
    }
    Ok((trials, summary))
}

/// Runs a case and holds its result against the list.
fn judge<G: Ground>(
    case: Case<G>,
    state: Option<State>,
    unmet: Option<&str>,
    subject: Arc<G::Subject>,
    options: Options,
    summary: &Summary,
) -> Result<(), String> {
    match (state, unmet) {
        (None, _) => Err("the case is not in the committed list (CONFORMANCE_WRITE_LIST=1)".into()),
        (Some(State::Pass), Some(reason)) => {
            Err(format!("the list says `pass`, but {reason}: write `skip: {reason}`"))
        }
        (Some(State::Pass), None) => {
            summary.executed(case.group);
            execute(case, subject, options)
        }
        (Some(State::Skip(reason)), _) => {
            summary.skipped();
            match execute(case, subject, options) {
                Ok(()) => Err(format!("skipped because `{reason}`, but it passes: promise it, or list it")),
                Err(_) => Ok(()),
            }
        }
    }
}

fn list_trial<G>(row: &str, expected: &Expected, cases: &[Case<G>], list: &Path) -> Trial {
    let mut problems = expected.problems.clone();
    problems.extend(expected.unknown(cases).iter().map(|name| format!("no such case: `{name}`")));
    problems.extend(
        cases.iter().filter(|case| expected.state(case).is_none()).map(|case| format!("missing: `{case:?}`")),
    );
    let heading = format!("{} does not list the cases that there are", list.display());
    Trial::test(format!("{row}::list::is_complete"), move || {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failed::from(format!("{heading}:\n  {}", problems.join("\n  "))))
    })
}
