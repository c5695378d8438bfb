//! The committed list of a driver: every case and its expected state. It makes a case that disappears,
//! or one that is skipped silently, a red run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::case::Case;
use crate::harness::Promises;

/// What the list says of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Pass,
    Skip(String),
}

/// A list as it was read.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    states: BTreeMap<String, State>,
    /// Lines that say nothing: each fails the run.
    pub(crate) problems: Vec<String>,
}

const HEADER: &str = "\
# Every case of the conformance suite and what it does here: `pass`, or `skip: why`.
# CONFORMANCE_WRITE_LIST=1 rewrites this file; look at the difference before you commit it.
";

impl Expected {
    /// Reads a list; a file that is not there is an empty one.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let mut list = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let state = line.split_once(" = ").and_then(|(name, state)| Some((name, parse_state(state)?)));
            let known = state.map(|(name, state)| list.states.insert(name.trim().to_owned(), state));
            match known {
                Some(None) => {}
                Some(Some(_)) => list.problems.push(format!("listed twice: `{line}`")),
                None => list.problems.push(format!("neither `pass` nor `skip: why`: `{line}`")),
            }
        }
        list
    }

    pub(crate) fn state<G>(&self, case: &Case<G>) -> Option<&State> {
        self.states.get(&case.full_name())
    }

    /// Names in the list that are not among `cases`.
    pub(crate) fn unknown<G>(&self, cases: &[Case<G>]) -> Vec<&str> {
        let known = |name: &str| cases.iter().any(|case| case.full_name() == name);
        self.states.keys().map(String::as_str).filter(|name| !known(name)).collect()
    }

    /// Writes the list anew: what the promises do not allow is skipped, and so is what the old list
    /// skips with a reason of its own. A reason that a promise has overtaken is dropped.
    pub(crate) fn write<G>(&self, path: &Path, cases: &[Case<G>], promises: &Promises) -> io::Result<()> {
        let mut text = HEADER.to_owned();
        let mut group = "";
        for case in cases {
            if case.group != group {
                group = case.group;
                text.push('\n');
            }
            let state = match (self.state(case), case.unmet_need(promises)) {
                (_, Some(reason)) => format!("skip: {reason}"),
                (Some(State::Skip(reason)), None) if !case.is_need(reason) => format!("skip: {reason}"),
                (_, None) => "pass".to_owned(),
            };
            let _ = writeln!(text, "{} = {state}", case.full_name());
        }
        fs::write(path, text)
    }
}

fn parse_state(state: &str) -> Option<State> {
    match state.trim() {
        "pass" => Some(State::Pass),
        other => {
            let reason = other.strip_prefix("skip:")?.trim();
            (!reason.is_empty()).then(|| State::Skip(reason.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_without_a_reason_is_a_problem() {
        let list = Expected::parse("# a comment\n\ncrud::a = pass\ncrud::b = skip: too slow\n");
        assert_eq!(list.states["crud::a"], State::Pass);
        assert_eq!(list.states["crud::b"], State::Skip("too slow".into()));
        assert!(list.problems.is_empty());
        for line in ["crud::a = skip:", "crud::a = skip: ", "crud::a = maybe", "crud::a"] {
            assert_eq!(Expected::parse(line).problems.len(), 1, "{line}");
        }
        assert_eq!(Expected::parse("crud::a = pass\ncrud::a = pass").problems.len(), 1);
    }
}
