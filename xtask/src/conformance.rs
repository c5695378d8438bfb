//! The conformance table: what each suite of a driver or an integration wrote about itself, and what must
//! be there.
//!
//! A suite that never ran writes nothing, so the rows are known here: a run cannot be green
//! because a driver's tests were left out.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// The rows of a full run. For one that is the name of a service (`postgres`, `redis-cluster`, ..), a run starts
/// that server; the others are embedded stores, and integrations, so nothing excuses their absence.
pub(crate) const EXPECTED_ROWS: &[&str] = &[
    "memory",
    "file",
    "sqlite",
    "postgres",
    "mariadb",
    "redis",
    "redis-cluster",
    "redis-sentinel",
    "redis-tls",
    "tower",
    "actix",
    "hyper",
];

/// The rows of drivers: those of integrations have fewer cases.
const DRIVERS: [&str; 9] = [
    "memory",
    "file",
    "sqlite",
    "postgres",
    "mariadb",
    "redis",
    "redis-cluster",
    "redis-sentinel",
    "redis-tls",
];

/// How many cases must run on a driver at the least: a suite that lost most of them is not green.
const LEAST_CASES: u64 = 100;

/// Files that hold one line, `<n> of <n> broken <what> caught`; every other file holds rows.
const BROKEN: [Broken; 4] = [
    Broken { file: "broken.txt", what: "backends", least: 30 },
    Broken { file: "broken-processes.txt", what: "stores", least: 6 },
    Broken { file: "broken-network.txt", what: "clients", least: 12 },
    Broken { file: "broken-integrations.txt", what: "integrations", least: 10 },
];

struct Broken {
    file: &'static str,
    what: &'static str,
    /// How many there must be at the least.
    least: u64,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table {
    expected: &'static [&'static str],
    rows: Vec<Row>,
    broken: BTreeMap<&'static str, Caught>,
    unreadable: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    groups: String,
    total: u64,
    failed: u64,
    skipped: u64,
}

/// How many of the broken ones a suite has caught.
#[derive(Debug, PartialEq)]
struct Caught {
    caught: u64,
    of: u64,
}

/// Reads every file of the directory; what cannot be read becomes a problem of the table.
pub(crate) fn read(directory: &Path, expected: &'static [&'static str]) -> Table {
    let mut table = Table { expected, ..Table::default() };
    let files = match fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(files) => files,
        Err(error) => {
            table.unreadable.push(format!("{}: {error}", directory.display()));
            return table;
        }
    };
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        match fs::read_to_string(file.path()) {
            Ok(text) => table.add(&name, &text),
            Err(error) => table.unreadable.push(format!("{name}: {error}")),
        }
    }
    table.rows.sort_by(|left, right| left.name.cmp(&right.name));
    table
}

impl Table {
    /// Why the table is not as it must be. In a quick run a suite may be left out, and so may an
    /// excused row in any; what did run must be right all the same.
    pub(crate) fn problems(&self, quick: bool, excused: &[&str]) -> Vec<String> {
        let mut problems: Vec<String> =
            self.unreadable.iter().map(|line| format!("not understood: {line}")).collect();
        for row in &self.rows {
            if row.failed > 0 {
                problems.push(format!("{} of {} cases failed on {}", row.failed, row.total, row.name));
            }
            if row.executed() < row.least() && !excused.contains(&row.name.as_str()) {
                problems.push(format!("{} cases ran on {}, not {}", row.executed(), row.name, row.least()));
            }
        }
        for pair in self.rows.windows(2) {
            if pair[0].name == pair[1].name {
                problems.push(format!("two rows for {}", pair[0].name));
            }
        }
        for Broken { what, least, .. } in BROKEN {
            match self.broken.get(what) {
                Some(caught) if caught.caught != caught.of => problems.push(caught.line(what)),
                Some(caught) if caught.of < least => {
                    problems.push(format!("{} broken {what}, not {least}", caught.of));
                }
                None if !quick => problems.push(format!("no report on the broken {what}")),
                _ => {}
            }
        }
        if !quick {
            let missing = self.missing_rows().filter(|name| !excused.contains(name));
            problems.extend(missing.map(|name| format!("no row for {name}")));
        }
        problems
    }

    fn missing_rows(&self) -> impl Iterator<Item = &'static str> {
        self.expected.iter().copied().filter(|name| !self.rows.iter().any(|row| row.name == *name))
    }

    fn add(&mut self, file: &str, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let broken = BROKEN.iter().find(|broken| broken.file == file);
            let understood = match broken {
                Some(Broken { what, .. }) => {
                    Caught::parse(line, what).is_some_and(|caught| self.broken.insert(what, caught).is_none())
                }
                None => Row::parse(line).map(|row| self.rows.push(row)).is_some(),
            };
            if !understood {
                self.unreadable.push(format!("{file}: {line}"));
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(formatter, "{row}")?;
        }
        for name in self.missing_rows() {
            writeln!(formatter, "{name} | did not run")?;
        }
        for Broken { what, .. } in BROKEN {
            match self.broken.get(what) {
                Some(caught) => writeln!(formatter, "{}", caught.line(what))?,
                None => writeln!(formatter, "broken {what} did not run")?,
            }
        }
        Ok(())
    }
}

impl Row {
    /// Reads `memory | A 9 B 12 | total 21, failed 0, skipped 0`.
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('|').map(str::trim);
        let (name, groups, sums) = (columns.next()?, columns.next()?, columns.next()?);
        if name.is_empty() || columns.next().is_some() {
            return None;
        }
        let mut sums = sums.split(',').map(str::trim);
        let mut sum = |label: &str| sums.next()?.strip_prefix(label)?.trim().parse().ok();
        let row = Self {
            name: name.to_owned(),
            groups: groups.to_owned(),
            total: sum("total ")?,
            failed: sum("failed ")?,
            skipped: sum("skipped ")?,
        };
        sums.next().is_none().then_some(row)
    }

    fn executed(&self) -> u64 {
        self.groups.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).sum()
    }

    fn least(&self) -> u64 {
        if DRIVERS.contains(&self.name.as_str()) { LEAST_CASES } else { 1 }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, groups, total, failed, skipped } = self;
        write!(formatter, "{name} | {groups} | total {total}, failed {failed}, skipped {skipped}")
    }
}

impl Caught {
    fn parse(line: &str, what: &str) -> Option<Self> {
        let counts = line.trim().strip_suffix(&format!(" broken {what} caught"))?;
        let (caught, of) = counts.split_once(" of ")?;
        Some(Self { caught: caught.parse().ok()?, of: of.parse().ok()? })
    }

    fn line(&self, what: &str) -> String {
        format!("{} of {} broken {what} caught", self.caught, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = "memory | A 90 B 12 C 6 | total 109, failed 0, skipped 1";
    const SQLITE: &str = "sqlite | A 90 B 12 C 6 | total 108, failed 0, skipped 0";
    const BACKENDS: (&str, &str) = ("broken.txt", "31 of 31 broken backends caught");
    const STORES: (&str, &str) = ("broken-processes.txt", "6 of 6 broken stores caught");
    const CLIENTS: (&str, &str) = ("broken-network.txt", "12 of 12 broken clients caught");
    const INTEGRATIONS: (&str, &str) = ("broken-integrations.txt", "11 of 11 broken integrations caught");

    fn table(files: &[(&str, &str)]) -> Table {
        let mut table = Table { expected: &["memory", "sqlite"], ..Table::default() };
        files.iter().for_each(|(name, text)| table.add(name, text));
        table
    }

    fn full(memory: &str, broken: &str) -> Vec<String> {
        let rows = [("memory.txt", memory), ("sqlite.txt", SQLITE)];
        table(&[rows[0], rows[1], (BACKENDS.0, broken), STORES, CLIENTS, INTEGRATIONS]).problems(false, &[])
    }

    #[test]
    fn a_full_table_has_no_problem_and_prints_as_written() {
        let files = [("memory.txt", MEMORY), ("sqlite.txt", SQLITE), BACKENDS, STORES, CLIENTS, INTEGRATIONS];
        let table = table(&files);
        assert_eq!(table.problems(false, &[]), Vec::<String>::new());
        let broken = [BACKENDS.1, STORES.1, CLIENTS.1, INTEGRATIONS.1].join("\n");
        assert_eq!(table.to_string(), format!("{MEMORY}\n{SQLITE}\n{broken}\n"));
    }

    #[test]
    fn a_missing_row_fails_a_full_run_only() {
        let table = table(&[("memory.txt", MEMORY)]);
        let problems = table.problems(false, &[]);
        let reports = ["backends", "stores", "clients", "integrations"]
            .map(|what| format!("no report on the broken {what}"));
        assert_eq!(problems[..4], reports);
        assert_eq!(problems[4..], ["no row for sqlite"]);
        assert_eq!(table.problems(true, &[]), Vec::<String>::new());
        assert_eq!(
            table.to_string(),
            format!(
                "{MEMORY}\nsqlite | did not run\nbroken backends did not run\nbroken stores did not run\n\
                 broken clients did not run\nbroken integrations did not run\n"
            )
        );
    }

    #[test]
    fn an_excused_row_may_be_absent_or_empty_but_not_failed() {
        let excused = ["sqlite"];
        for (row, problems) in [
            ("", 0),
            ("sqlite | | total 0, failed 0, skipped 27", 0),
            ("sqlite | A 109 | total 109, failed 1, skipped 0", 1),
        ] {
            let table = table(&[
                ("memory.txt", MEMORY),
                ("sqlite.txt", row),
                BACKENDS,
                STORES,
                CLIENTS,
                INTEGRATIONS,
            ]);
            assert_eq!(table.problems(false, &excused).len(), problems, "{row}");
        }
        assert!(!table(&[BACKENDS, STORES, CLIENTS, INTEGRATIONS]).problems(false, &excused).is_empty());
    }

    #[test]
    fn failed_cases_fail_the_table() {
        let problems = full("memory | A 109 | total 109, failed 2, skipped 0", BACKENDS.1);
        assert_eq!(problems, ["2 of 109 cases failed on memory"]);
    }

    #[test]
    fn a_row_on_which_too_little_ran_fails_the_table() {
        for (row, ran) in [
            ("memory | A 0 B 0 | total 130, failed 0, skipped 130", 0),
            ("memory | | total 0, failed 0, skipped 0", 0),
            ("memory | A 90 B 9 | total 130, failed 0, skipped 31", 99),
        ] {
            let problem = format!("{ran} cases ran on memory, not 100");
            assert_eq!(full(row, BACKENDS.1), [problem.as_str()]);
            assert_eq!(table(&[("memory.txt", row)]).problems(true, &[]), [problem]);
        }
        assert!(full("memory | A 90 B 10 | total 100, failed 0, skipped 0", BACKENDS.1).is_empty());
    }

    #[test]
    fn an_integration_has_fewer_cases_than_a_driver() {
        let problems = |row| table(&[("tower.txt", row)]).problems(true, &[]);
        assert_eq!(problems("tower | A 1 | total 1, failed 0, skipped 0"), Vec::<String>::new());
        let none = "tower | A 0 | total 1, failed 0, skipped 1";
        assert_eq!(problems(none), ["0 cases ran on tower, not 1"]);
    }

    #[test]
    fn every_driver_is_an_expected_row() {
        assert!(DRIVERS.iter().all(|driver| EXPECTED_ROWS.contains(driver)));
    }

    #[test]
    fn a_broken_backend_that_slips_through_fails_the_table() {
        let line = "30 of 31 broken backends caught";
        assert_eq!(full(MEMORY, line), [line]);
    }

    #[test]
    fn too_few_broken_backends_or_integrations_fail_the_table() {
        for of in [0, 29] {
            let line = format!("{of} of {of} broken backends caught");
            assert_eq!(full(MEMORY, &line), [format!("{of} broken backends, not 30")]);
        }
        let files = [("broken-integrations.txt", "9 of 9 broken integrations caught")];
        assert_eq!(table(&files).problems(true, &[]), ["9 broken integrations, not 10"]);
    }

    #[test]
    fn a_row_may_stand_once() {
        assert_eq!(full(&format!("{MEMORY}\n{MEMORY}"), BACKENDS.1), ["two rows for memory"]);
    }

    #[test]
    fn what_is_not_understood_fails_the_table_even_in_a_quick_run() {
        for line in [
            "memory",
            " | A 9 | total 9, failed 0, skipped 0",
            "memory | A 9 | total 9, failed 0",
            "memory | A 9 | total nine, failed 0, skipped 0",
            "memory | A 9 | total 9, failed 0, skipped 0, lost 1",
            "memory | A 9 | total 9, failed 0, skipped 0 | more",
        ] {
            let table = table(&[("memory.txt", line)]);
            assert_eq!(table.problems(true, &[]), [format!("not understood: memory.txt: {line}")]);
        }
        let broken = table(&[(BACKENDS.0, "most broken backends caught")]);
        assert_eq!(broken.problems(true, &[]), ["not understood: broken.txt: most broken backends caught"]);
        let two = format!("{0}\n{0}", BACKENDS.1);
        assert_eq!(table(&[(BACKENDS.0, &two)]).problems(true, &[]).len(), 1);
        assert_eq!(table(&[(BACKENDS.0, INTEGRATIONS.1)]).problems(true, &[]).len(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_problem() {
        assert!(!read(Path::new("/nonexistent/conformance-summary"), &[]).problems(true, &[]).is_empty());
    }
}
