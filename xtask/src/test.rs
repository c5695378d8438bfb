//! `cargo xtask test`: every test of the workspace, then the conformance table and the counts.
//!
//! Every step takes the whole workspace with all features, so that all of them share one build;
//! what separates them is the kind of test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::browser::Browser;
use crate::conformance;
use crate::instructions::{self, InstructionsOptions};
use crate::services::{self, TestRun};
use crate::steps::{self, Steps};
use crate::test_counts::TestCounts;
use crate::workspace::{Package, Workspace};

/// How long a command's output may take to arrive once the command has ended.
const AFTER_THE_END: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Default)]
pub(crate) struct TestOptions {
    pub(crate) quick: bool,
    pub(crate) allow_missing: bool,
}

/// Runs all steps; `Ok(false)` if one of them failed.
pub(crate) fn run(workspace: &Workspace, options: TestOptions) -> Result<bool, String> {
    // The bench has no tests of its own, and would build the peers: `lint` checks that it compiles.
    let mut others = workspace.standalone_workspaces()?;
    others.retain(|directory| !directory.starts_with("bench"));
    let summaries = fresh_directory(workspace.target_directory.join("conformance-summary"))?;
    let mut steps = Steps::default();
    let mut test_run = TestRun::default();
    let services = services::of_rows(conformance::EXPECTED_ROWS);
    if !services.is_empty() {
        steps.run("services", || {
            test_run.start(&workspace.target_directory, &services, options.allow_missing)
        });
    }
    let mut browser = Browser::default();
    steps.run("browser", || browser.prepare(options.allow_missing));
    let cargo_test = |arguments: &[&str]| {
        let mut command = workspace.cargo(["test", "--workspace", "--all-features", "--locked"]);
        command.args(arguments).env("CONFORMANCE_SUMMARY_DIR", &summaries);
        set_switch(&mut command, "CONFORMANCE_QUICK", options.quick);
        set_switch(&mut command, "SESSION_TEST_ALLOW_MISSING", options.allow_missing);
        test_run.describe_to(&mut command);
        browser.describe_to(&mut command);
        command
    };

    let mut counts = TestCounts::default();
    let mut run_tests = |steps: &mut Steps, name: &str, arguments: &[&str]| {
        steps.run(name, || run_and_count(cargo_test(arguments).arg("--no-fail-fast"), &mut counts));
    };
    steps.run("build", || steps::run_command(&mut cargo_test(&["--no-run"])));
    run_tests(&mut steps, "unit tests", &["--lib", "--bins"]);
    for (target, packages) in integration_tests(&workspace.packages) {
        run_tests(&mut steps, &format!("{target} tests of {}", packages.join(", ")), &["--test", target]);
    }
    if !options.quick {
        run_tests(&mut steps, "doc tests", &["--doc"]);
        for other in others {
            let mut command = workspace.cargo_in(&other, ["test", "--locked", "--no-fail-fast"]);
            // A row of the table is a driver of this project.
            command.env_remove("CONFORMANCE_SUMMARY_DIR");
            steps.run(&format!("tests of {}", other.display()), || run_and_count(&mut command, &mut counts));
        }
        let instructions = InstructionsOptions { allow_missing: options.allow_missing, record: false };
        steps.run("instructions", || instructions::run(workspace, instructions));
    }

    let table = conformance::read(&summaries, conformance::EXPECTED_ROWS);
    steps.run("conformance table", || {
        let excused = if options.allow_missing { test_run.missing() } else { &[] };
        let problems = table.problems(options.quick, excused);
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    });
    if !services.is_empty() {
        steps.run("services stopped", || test_run.stop());
    }
    report(&steps, &table, &counts, options);
    Ok(steps.failures().is_none() && counts.are_complete())
}

fn report(steps: &Steps, table: &conformance::Table, counts: &TestCounts, options: TestOptions) {
    println!("\n{}", steps.minutes());
    println!("conformance\n{table}");
    for name in counts.failed_names() {
        println!("failed test: {name}");
    }
    if options.quick {
        println!(
            "left out by --quick: doc tests, workspaces of their own, instructions, the slow cases of the conformance suite"
        );
    }
    if counts.are_complete() {
        println!("{counts}");
    } else {
        println!("the tests were not counted: a failed step did not report all of its own");
    }
    if let Some(failures) = steps.failures() {
        println!("{failures}");
    }
}

/// The packages of each integration test by its name. Several packages may share a name (each
/// driver has `conformance`), and cargo selects by name.
fn integration_tests(packages: &[Package]) -> BTreeMap<&str, Vec<&str>> {
    let mut tests = BTreeMap::<&str, Vec<&str>>::new();
    for package in packages {
        for target in &package.test_targets {
            tests.entry(target).or_default().push(&package.name);
        }
    }
    tests
}

/// A switch that the caller's environment happens to hold must not make a full run a partial one.
fn set_switch(command: &mut Command, name: &str, on: bool) {
    if on {
        command.env(name, "1");
    } else {
        command.env_remove(name);
    }
}

/// Passes the output through while counting, so that a slow run can be watched.
fn run_and_count(command: &mut Command, counts: &mut TestCounts) -> Result<(), String> {
    steps::announce(command);
    let mut step_counts = TestCounts::default();
    let result = stream(command, |line| step_counts.read_line(line));
    step_counts.close(result.is_ok());
    let complete = step_counts.are_complete();
    counts.add(step_counts);
    result?;
    if complete { Ok(()) } else { Err("a test program's own count and result differ".to_owned()) }
}

/// Ends when the command has ended, not when its output has: a server that a failing test left
/// behind holds the output open for as long as it lives.
fn stream(command: &mut Command, read_line: impl FnMut(&str)) -> Result<(), String> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("does not start: {error}"))?;
    let (sender, lines) = mpsc::channel();
    let printer = child.stdout.take().map(|output| thread::spawn(move || print_lines(output, &sender)));
    let status = child.wait().map_err(|error| format!("does not end: {error}"))?;
    let complete = drain(&lines, AFTER_THE_END, read_line);
    if !status.success() {
        return Err(format!("failed ({status})"));
    }
    if !complete {
        return Err("a process that a test started outlives it".to_owned());
    }
    match printer.map(JoinHandle::join) {
        Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(error))) => Err(format!("lost output: {error}")),
        Some(Err(_)) | None => Err("lost output".to_owned()),
    }
}

fn print_lines(output: impl Read, lines: &Sender<String>) -> io::Result<()> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            break;
        }
        line.clear();
    }
    Ok(())
}

/// Takes the lines in until the last one; `false` if that does not come in time.
fn drain(lines: &Receiver<String>, patience: Duration, mut read_line: impl FnMut(&str)) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => read_line(&line),
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

/// Empties the directory: what an earlier run left must not pass for this one's.
fn fresh_directory(path: PathBuf) -> Result<PathBuf, String> {
    let cannot = |path: &Path, error: io::Error| format!("cannot empty {}: {error}", path.display());
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(&path, error)),
        _ => {}
    }
    fs::create_dir_all(&path).map_err(|error| cannot(&path, error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, test_targets: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            features: Vec::new(),
            has_default_features: false,
            test_targets: test_targets.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn integration_tests_of_one_name_are_one_step() {
        let packages = [package("demo", &["browser"]), package("memory", &["conformance"])];
        let packages = packages.into_iter().chain([package("sql", &["conformance", "schema"])]);
        let packages: Vec<_> = packages.collect();
        let tests: Vec<_> = integration_tests(&packages).into_iter().collect();
        assert_eq!(
            tests,
            [("browser", vec!["demo"]), ("conformance", vec!["memory", "sql"]), ("schema", vec!["sql"])]
        );
    }

    #[test]
    fn a_switch_of_the_environment_does_not_leak_in() {
        let mut command = Command::new("cargo");
        set_switch(&mut command, "CONFORMANCE_QUICK", false);
        set_switch(&mut command, "SESSION_TEST_ALLOW_MISSING", true);
        let environment: Vec<_> = command.get_envs().collect();
        assert!(environment.contains(&("CONFORMANCE_QUICK".as_ref(), None)));
        assert!(environment.contains(&("SESSION_TEST_ALLOW_MISSING".as_ref(), Some("1".as_ref()))));
    }

    #[test]
    fn the_last_line_ends_the_wait_and_so_does_its_absence() {
        let (sender, lines) = mpsc::channel();
        sender.send("running 1 test".to_owned()).unwrap();
        let mut seen = Vec::new();
        assert!(!drain(&lines, Duration::from_millis(1), |line| seen.push(line.to_owned())));
        sender.send("done".to_owned()).unwrap();
        drop(sender);
        assert!(drain(&lines, Duration::from_secs(60), |line| seen.push(line.to_owned())));
        assert_eq!(seen, ["running 1 test", "done"]);
    }

    #[test]
    fn a_fresh_directory_is_empty() {
        let path = std::env::temp_dir().join(format!("xtask-fresh-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("stale.txt"), "memory | A 1 | total 1, failed 0, skipped 0").unwrap();
        let path = fresh_directory(path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::remove_dir(&path).unwrap();
    }
}
