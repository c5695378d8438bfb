//! The committed matrix: which cases must fail on a broken backend, and which may. Whatever else fails is
//! an error, so a case that accuses the innocent is found as well as one that misses the guilty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// The expectations for one broken backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) must: BTreeSet<String>,
    pub(super) may: BTreeSet<String>,
}

const HEADER: &str = "\
# <broken backend> | must fail: <cases> | may fail: <cases>
# Only cases that race may fail or pass. CONFORMANCE_WRITE_LIST=1 writes a proposal beside this file.
";

/// Reads the rows by name.
pub(super) fn read(path: &Path) -> io::Result<BTreeMap<String, Row>> {
    let text = fs::read_to_string(path)?;
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, row) = parse(line).ok_or_else(|| io::Error::other(format!("not a row: `{line}`")))?;
        if rows.insert(name, row).is_some() {
            return Err(io::Error::other(format!("a second row: `{line}`")));
        }
    }
    Ok(rows)
}

fn parse(line: &str) -> Option<(String, Row)> {
    let mut parts = line.split('|').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let must = cases(parts.next()?.strip_prefix("must fail:")?);
    let may = cases(parts.next()?.strip_prefix("may fail:")?);
    let complete = parts.next().is_none() && !must.is_empty();
    complete.then(|| (name.to_owned(), Row { must, may }))
}

fn cases(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Writes the rows in the order given.
pub(super) fn write(path: &Path, rows: &[(&str, Row)]) -> io::Result<()> {
    let mut text = HEADER.to_owned();
    for (name, row) in rows {
        let join = |cases: &BTreeSet<String>| cases.iter().cloned().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "\n{name} | must fail: {} | may fail: {}", join(&row.must), join(&row.may));
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_must_name_a_case_that_fails() {
        let (name, row) = parse("a | must fail: b::c d::e | may fail:").unwrap();
        assert_eq!((name.as_str(), row.must.len(), row.may.len()), ("a", 2, 0));
        for line in ["a | must fail: | may fail: b", "a | must fail: b", "| must fail: b | may fail:", "a"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
