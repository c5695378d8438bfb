//! Counts what ran, and writes it down in one line for whoever started the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs, io};

/// How many cases of each group ran, and how they ended. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    executed: BTreeMap<&'static str, usize>,
    failed: usize,
    skipped: usize,
}

impl Summary {
    pub(crate) fn executed(&self, group: &'static str) {
        self.with(|counts| *counts.executed.entry(group).or_default() += 1);
    }

    pub(crate) fn skipped(&self) {
        self.with(|counts| counts.skipped += 1);
    }

    pub(crate) fn failed(&self) {
        self.with(|counts| counts.failed += 1);
    }

    fn with(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// `<row> | <group> <executed> .. | total <n>, failed <f>, skipped <s>`
    pub(crate) fn line(&self, row: &str) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let groups: Vec<_> = counts.executed.iter().map(|(group, n)| format!("{group} {n}")).collect();
        let total: usize = counts.executed.values().sum();
        let (failed, skipped) = (counts.failed, counts.skipped);
        format!("{row} | {} | total {total}, failed {failed}, skipped {skipped}", groups.join(" "))
    }
}

/// Writes one line to `<CONFORMANCE_SUMMARY_DIR>/<name>.txt`, if that is set.
pub(crate) fn write_line(name: &str, line: &str) -> io::Result<()> {
    let Some(directory) = env::var_os("CONFORMANCE_SUMMARY_DIR").map(PathBuf::from) else {
        return Ok(());
    };
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("{name}.txt")), format!("{line}\n"))
}
