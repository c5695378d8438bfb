//! Runs a suite on everything that breaks a rule of it, and holds the outcome against a matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use super::driver::{BrokenHarness, Driver};
use super::matrix::{self, Row};
use super::{Broken, all};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Effort, Ground};
use crate::execute::{Options, Schedule, execute};
use crate::run::{seed, writes_lists};
use crate::summary::write_line;

/// Runs every broken backend against the committed matrix at `matrix` (relative to the package).
///
/// It is the `main` of this crate's own `tests/broken.rs`: one test for each broken backend, one that
/// every case catches at least one of them, and one that the matrix has no row too many. With
/// `CONFORMANCE_WRITE_LIST=1` it writes what it saw in five runs to `<matrix>.proposal`, for review.
pub fn run(matrix: impl AsRef<Path>) -> ExitCode {
    let suspect = |broken: Broken| Suspect::<Context> {
        name: broken.name,
        breaks: broken.breaks,
        // Afresh for each case: a broken driver may remember.
        subject: Box::new(move || Arc::new(BrokenHarness(Driver::new(broken)))),
    };
    let suspects = all().into_iter().map(suspect).collect();
    let proof = Proof {
        what: "backends",
        report: "broken",
        // All of them race in memory, where they wait for each other: none needs a second thread.
        schedule: Schedule::Cooperative,
        threads: None,
        cases: cases::backend(),
        suspects,
    };
    prove(&Arc::new(proof), matrix.as_ref())
}

/// A proof that holds today holds tomorrow: drivers are tried with another seed each time, the suite is not.
const SEED: u64 = 1;

/// A suite, and what must not pass it.
pub(crate) struct Proof<G: Ground> {
    /// What the suspects are, as the last line names them.
    pub(crate) what: &'static str,
    /// The name of the file with that line.
    pub(crate) report: &'static str,
    pub(crate) schedule: Schedule,
    /// How many to run at a time if that is not told: more than processors where most of the time is waited for.
    pub(crate) threads: Option<usize>,
    pub(crate) cases: Vec<Case<G>>,
    pub(crate) suspects: Vec<Suspect<G>>,
}

/// Something that breaks one rule.
pub(crate) struct Suspect<G: Ground> {
    pub(crate) name: &'static str,
    pub(crate) breaks: &'static str,
    pub(crate) subject: Box<dyn Fn() -> Arc<G::Subject> + Send + Sync>,
}

pub(crate) fn prove<G: Ground>(proof: &Arc<Proof<G>>, path: &Path) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(proof.threads);
    let seed = match seed() {
        Ok(seed) => seed.unwrap_or(SEED),
        Err(problem) => return fail(&problem),
    };
    // No suspect makes a case hang; correct cases take milliseconds.
    let (effort, timeout) = (Effort::Brief, Duration::from_secs(60));
    let options = Options { seed, effort, schedule: proof.schedule, timeout };
    if writes_lists() && !arguments.list {
        return match propose(proof, path, options) {
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
    let Proof { what, report, suspects, .. } = &**proof;
    let conclusion = libtest_mimic::run(&arguments, trials(proof, &rows, options, &caught));
    if !arguments.list {
        let caught = caught.load(Ordering::SeqCst);
        let line = format!("{caught} of {} broken {what} caught", suspects.len());
        println!("{line}");
        if let Err(error) = write_line(report, &line) {
            return fail(&format!("the summary cannot be written: {error}"));
        }
    }
    conclusion.exit_code()
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

fn trials<G: Ground>(
    proof: &Arc<Proof<G>>,
    rows: &BTreeMap<String, Row>,
    options: Options,
    caught: &Arc<AtomicUsize>,
) -> Vec<Trial> {
    let mut trials = vec![matrix_trial(proof, rows), cases_trial(proof, rows)];
    for (index, suspect) in proof.suspects.iter().enumerate() {
        let (row, caught, proof) = (rows.get(suspect.name).cloned(), caught.clone(), proof.clone());
        trials.push(Trial::test(format!("broken::{}", suspect.name), move || {
            let row = row.ok_or_else(|| Failed::from("it has no row in the matrix"))?;
            let suspect = &proof.suspects[index];
            judge(suspect, &row, &failing(&proof.cases, suspect, options))?;
            caught.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }));
    }
    trials
}

/// Reports of the cases that fail on a suspect, by name.
fn failing<G: Ground>(cases: &[Case<G>], suspect: &Suspect<G>, options: Options) -> BTreeMap<String, String> {
    let run = |case: &Case<G>| {
        let report = execute(*case, (suspect.subject)(), options).err()?;
        Some((case.full_name(), report))
    };
    cases.iter().filter_map(run).collect()
}

fn judge<G: Ground>(
    suspect: &Suspect<G>,
    row: &Row,
    failing: &BTreeMap<String, String>,
) -> Result<(), Failed> {
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
    Err(format!("it breaks this rule: {}\n{}", suspect.breaks, problems.join("\n")).into())
}

fn matrix_trial<G: Ground>(proof: &Proof<G>, rows: &BTreeMap<String, Row>) -> Trial {
    let suspects: BTreeSet<_> = proof.suspects.iter().map(|suspect| suspect.name).collect();
    let known: BTreeSet<_> = proof.cases.iter().map(Case::full_name).collect();
    let mut problems = Vec::new();
    for (name, row) in rows {
        if !suspects.contains(name.as_str()) {
            problems.push(format!("no such suspect: {name}"));
        }
        for case in row.must.union(&row.may).filter(|case| !known.contains(*case)) {
            problems.push(format!("no such case: {case}"));
        }
    }
    problems_trial("matrix::names_what_there_is", problems)
}

/// A case that no suspect fails has never been seen to fail at all.
fn cases_trial<G: Ground>(proof: &Proof<G>, rows: &BTreeMap<String, Row>) -> Trial {
    let catches = |case: &&Case<G>| rows.values().any(|row| row.must.contains(&case.full_name()));
    let idle = proof.cases.iter().filter(|case| !catches(case));
    let problems = idle.map(|case| format!("catches nothing: {case:?}")).collect();
    problems_trial("matrix::every_case_catches_a_suspect", problems)
}

fn problems_trial(name: &str, problems: Vec<String>) -> Trial {
    Trial::test(name, move || match &problems[..] {
        [] => Ok(()),
        problems => Err(problems.join("\n").into()),
    })
}

/// Writes what five runs saw: cases that failed each time must, others may.
fn propose<G: Ground>(proof: &Proof<G>, path: &Path, options: Options) -> Result<(), String> {
    const RUNS: u64 = 5;
    let suspects = &proof.suspects;
    let counts: Vec<_> = suspects.iter().map(|_| Mutex::new(BTreeMap::<String, u64>::new())).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::SeqCst);
            let Some(suspect) = suspects.get(job / RUNS as usize) else { return };
            let seed = options.seed.wrapping_add(job as u64);
            for case in failing(&proof.cases, suspect, Options { seed, ..options }).into_keys() {
                let mut counts = counts[job / RUNS as usize].lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(case).or_default() += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in
            0..proof.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
        {
            scope.spawn(work);
        }
    });
    let mut rows = Vec::new();
    for (suspect, counts) in suspects.iter().zip(counts) {
        let mut row = Row::default();
        for (case, count) in counts.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if count == RUNS {
                row.must.insert(case)
            } else {
                row.may.insert(case)
            };
        }
        rows.push((suspect.name, row));
    }
    let proposal = path.with_extension("matrix.proposal");
    matrix::write(&proposal, &rows).map_err(|error| format!("{}: {error}", proposal.display()))?;
    println!("review {}", proposal.display());
    Ok(())
}
