//! Counts tests by the lines that test programs print about themselves.
//!
//! The sum is printed as the truth about a run, so a program that began and never reported (it
//! crashed) makes the counts incomplete instead of silently smaller.

use std::fmt;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct TestCounts {
    passed: u64,
    failed: u64,
    skipped: u64,
    failed_names: Vec<String>,
    programs_unaccounted_for: u64,
    announced: Option<u64>,
}

impl TestCounts {
    /// Takes in one line of output; lines that are not about counts change nothing.
    pub(crate) fn read_line(&mut self, line: &str) {
        if let Some(tests) = announced_tests(line) {
            self.close_program();
            self.announced = Some(tests);
        } else if let Some([passed, failed, skipped]) = test_result(line) {
            let complete = self.announced.take() == Some(passed + failed + skipped);
            self.programs_unaccounted_for += u64::from(!complete);
            self.passed += passed;
            self.failed += failed;
            self.skipped += skipped;
        } else if let Some(name) = failed_test(line) {
            self.failed_names.push(name.to_owned());
        }
    }

    /// Takes in how the command ended whose lines these were: a failure that no counted test
    /// explains is a crash, or a program that did not build.
    pub(crate) fn close(&mut self, command_succeeded: bool) {
        self.close_program();
        if !command_succeeded && self.failed == 0 {
            self.programs_unaccounted_for += 1;
        }
    }

    pub(crate) fn are_complete(&self) -> bool {
        self.programs_unaccounted_for == 0
    }

    pub(crate) fn failed_names(&self) -> &[String] {
        &self.failed_names
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failed_names.extend(other.failed_names);
        self.programs_unaccounted_for += other.programs_unaccounted_for;
    }

    fn close_program(&mut self) {
        self.programs_unaccounted_for += u64::from(self.announced.take().is_some());
    }
}

impl fmt::Display for TestCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads `running 12 tests`.
fn announced_tests(line: &str) -> Option<u64> {
    let rest = line.trim_end().strip_prefix("running ")?;
    rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test"))?.parse().ok()
}

/// Reads passed, failed and ignored off
/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
fn test_result(line: &str) -> Option<[u64; 3]> {
    let rest = line.trim_end().strip_prefix("test result: ")?;
    let rest = rest.strip_prefix("ok. ").or_else(|| rest.strip_prefix("FAILED. "))?;
    let mut parts = rest.split("; ");
    let mut count = |label: &str| parts.next()?.strip_suffix(label)?.strip_suffix(' ')?.parse().ok();
    Some([count("passed")?, count("failed")?, count("ignored")?])
}

/// Reads the name off `test groups::name ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.trim_end().strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(output: &str, command_succeeded: bool) -> TestCounts {
        let mut counts = TestCounts::default();
        output.lines().for_each(|line| counts.read_line(line));
        counts.close(command_succeeded);
        counts
    }

    const GREEN: &str = "\
        running 3 tests\n\
        test a ... ok\n\
        test b ... ignored\n\
        test c ... ok\n\
        \n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
        running 1 test\n\
        test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\r\n";

    #[test]
    fn adds_up_the_programs_of_a_run() {
        let mut counts = count(GREEN, true);
        assert!(counts.are_complete());
        assert_eq!(counts.to_string(), "3 passed, 0 failed, 1 skipped");
        counts.add(count(GREEN, true));
        assert_eq!(counts.to_string(), "6 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn failures_count_and_are_complete() {
        let counts = count(
            "running 2 tests\n\
             test group::one ... FAILED\n\
             test group::two ... ok\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            false,
        );
        assert!(counts.are_complete());
        assert_eq!(counts.to_string(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(counts.failed_names(), ["group::one"]);
    }

    #[test]
    fn a_program_that_crashes_makes_the_counts_incomplete() {
        assert!(!count("running 2 tests\ntest a ... ", false).are_complete());
        assert!(!count(&format!("running 2 tests\n{GREEN}"), false).are_complete());
    }

    #[test]
    fn a_failure_without_a_failed_test_makes_the_counts_incomplete() {
        assert!(!count("", false).are_complete());
        assert!(!count(GREEN, false).are_complete());
    }

    #[test]
    fn a_result_that_nobody_announced_makes_the_counts_incomplete() {
        let nested = "running 1 test\nrunning 1 test\n\
            test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert!(!count(nested, true).are_complete());
        let (_, unannounced) = GREEN.split_once('\n').unwrap();
        assert!(!count(unannounced, true).are_complete());
        assert!(!count(&GREEN.replace("running 3", "running 4"), true).are_complete());
    }

    #[test]
    fn prose_is_not_counted() {
        let counts = count(
            "running tests\n\
             test result: unknown\n\
             a test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured\n\
             test result: ok. many passed; 0 failed; 0 ignored",
            true,
        );
        assert_eq!(counts, TestCounts::default());
    }
}
