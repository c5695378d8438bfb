//! Runs the suite on every broken backend and holds the outcome against the matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use super::matrix::{self, Row};
use super::{Broken, BrokenDriver, all};
use crate::case::Case;
use crate::cases;
use crate::context::Effort;
use crate::execute::{Options, execute};
use crate::run::{seed, writes_lists};
use crate::summary::write_line;

/// Runs every broken backend against the committed matrix at `matrix` (relative to the package).
///
/// It is the `main` of this crate's own `tests/broken.rs`: one test for each broken backend, one that
/// every case catches at least one of them, and one that the matrix has no row too many. With
/// `CONFORMANCE_WRITE_LIST=1` it writes what it saw in five runs to `<matrix>.proposal`, for review.
pub fn run(matrix: impl AsRef<Path>) -> ExitCode {
    let arguments = Arguments::from_args();
    let path = matrix.as_ref();
    let seed = match seed() {
        Ok(seed) => seed,
        Err(problem) => return fail(&problem),
    };
    // No broken backend makes a case hang; correct cases take milliseconds.
    let options = Options { seed, effort: Effort::Brief, timeout: Duration::from_secs(60) };
    if writes_lists() && !arguments.list {
        return match propose(path, options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    let rows = match matrix::read(path) {
        Ok(rows) => rows,
        Err(error) => return fail(&format!("{}: {error}", path.display())),
    };
    if !arguments.list {
        println!("seed: CONFORMANCE_SEED={seed}");
    }
    let caught = Arc::new(AtomicUsize::new(0));
    let total = all().len();
    let conclusion = libtest_mimic::run(&arguments, trials(&rows, options, &caught));
    if !arguments.list {
        let line = format!("{} of {total} broken backends caught", caught.load(Ordering::SeqCst));
        println!("{line}");
        if let Err(error) = write_line("broken", &line) {
            return fail(&format!("the summary cannot be written: {error}"));
        }
    }
    conclusion.exit_code()
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

fn trials(rows: &BTreeMap<String, Row>, options: Options, caught: &Arc<AtomicUsize>) -> Vec<Trial> {
    let mut trials = vec![matrix_trial(rows), cases_trial(rows)];
    for broken in all() {
        let (row, caught) = (rows.get(broken.name).cloned(), caught.clone());
        trials.push(Trial::test(format!("broken::{}", broken.name), move || {
            let row = row.ok_or_else(|| Failed::from("it has no row in the matrix"))?;
            judge(broken, &row, &failing(broken, options))?;
            caught.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }));
    }
    trials
}

/// Reports of the cases that fail on a broken backend, by name.
fn failing(broken: Broken, options: Options) -> BTreeMap<String, String> {
    let run = |case: Case| {
        let report = execute(case, Arc::new(BrokenDriver::new(broken)), options).err()?;
        Some((case.full_name(), report))
    };
    cases::backend().into_iter().filter_map(run).collect()
}

fn judge(broken: Broken, row: &Row, failing: &BTreeMap<String, String>) -> Result<(), Failed> {
    let mut problems = Vec::new();
    for case in row.must.iter().filter(|case| !failing.contains_key(*case)) {
        problems.push(format!("passes, and must not: {case}"));
    }
    for (case, report) in failing {
        if !row.must.contains(case) && !row.may.contains(case) {
            problems.push(format!("fails, and must not: {case}\n{report}"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("it breaks this rule: {}\n{}", broken.breaks, problems.join("\n")).into())
}

fn matrix_trial(rows: &BTreeMap<String, Row>) -> Trial {
    let backends: BTreeSet<_> = all().iter().map(|broken| broken.name).collect();
    let known: BTreeSet<_> = cases::backend().iter().map(Case::full_name).collect();
    let mut problems = Vec::new();
    for (name, row) in rows {
        if !backends.contains(name.as_str()) {
            problems.push(format!("no such broken backend: {name}"));
        }
        for case in row.must.union(&row.may).filter(|case| !known.contains(*case)) {
            problems.push(format!("no such case: {case}"));
        }
    }
    problems_trial("matrix::names_what_there_is", problems)
}

/// A case that no broken backend fails has never been seen to fail at all.
fn cases_trial(rows: &BTreeMap<String, Row>) -> Trial {
    let catches = |case: &Case| rows.values().any(|row| row.must.contains(&case.full_name()));
    let idle = cases::backend().into_iter().filter(|case| !catches(case));
    let problems = idle.map(|case| format!("catches nothing: {case:?}")).collect();
    problems_trial("matrix::every_case_catches_a_broken_backend", problems)
}

fn problems_trial(name: &str, problems: Vec<String>) -> Trial {
    Trial::test(name, move || match &problems[..] {
        [] => Ok(()),
        problems => Err(problems.join("\n").into()),
    })
}

/// Writes what five runs saw: cases that failed each time must, others may.
fn propose(path: &Path, options: Options) -> Result<(), String> {
    const RUNS: u64 = 5;
    let backends = all();
    let counts: Vec<_> = backends.iter().map(|_| Mutex::new(BTreeMap::<String, u64>::new())).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::SeqCst);
            let Some(broken) = backends.get(job / RUNS as usize) else { return };
            let seed = options.seed.wrapping_add(job as u64);
            for case in failing(*broken, Options { seed, ..options }).into_keys() {
                let mut counts = counts[job / RUNS as usize].lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(case).or_default() += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let mut rows = Vec::new();
    for (broken, counts) in backends.iter().zip(counts) {
        let mut row = Row::default();
        for (case, count) in counts.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if count == RUNS {
                row.must.insert(case)
            } else {
                row.may.insert(case)
            };
        }
        rows.push((broken.name, row));
    }
    let proposal = path.with_extension("matrix.proposal");
    matrix::write(&proposal, &rows).map_err(|error| format!("{}: {error}", proposal.display()))?;
    println!("review {}", proposal.display());
    Ok(())
}
