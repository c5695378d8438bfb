//! What a run says: one line for each goal, a legend, a count of the verdicts; and the same as JSON.

use std::fmt;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use super::rows::{Goal, Measure, Row};
use super::verdict::{Target, Verdict, median};

/// One goal of a row, measured and judged.
pub(super) struct Line {
    group: &'static str,
    row: &'static str,
    tasks: usize,
    measure: Measure,
    target: Target,
    ours: f64,
    peer: f64,
    limit: Option<f64>,
    ceiling: Option<f64>,
    /// Of each pair.
    ratios: Vec<f64>,
    verdict: Verdict,
}

pub(super) struct Report {
    rounds: u64,
    load: String,
    lines: Vec<Line>,
}

const LEGEND: &str = "\
ours, peer, limit, ceiling: medians. ratio: ours over the peer's, of pairs measured in turns; of rates the lower
  quartile, of costs the upper one, of latencies and bounds the median. c: concurrent tasks on two threads.
load, update, create: a verb of the store with a record of 256 B in six values. Ours compares the revision in each
  update; the peer overwrites. read one of 4 KiB: find the session and decode one of its 100 values; ours by token
  through the manager, the peer's by id from its store.
peer: tower-sessions 0.14 with its store of that kind, unless named. limit: a concurrent map of shared bytes; plain
  rusqlite, read on the calling thread, written by one thread with c rows in each commit.
10^6 over 10^4, during a purge, c=64 over c=16: ours against ours, with fewer sessions, undisturbed, or fewer tasks.
met: the ratio reaches the target. limit: not reached, but at least 0.8 of the ceiling and not behind the peer.
reported: no target, or one within 1.3x, which is noise.";

impl Line {
    pub(super) fn new(
        row: &Row,
        goal: &Goal,
        ours: &[f64],
        peer: &[f64],
        limit: Option<Vec<f64>>,
        feasible: Option<Vec<f64>>,
    ) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
        let (ours, peer) = (median(ours), median(peer));
        // What limits a rate writes in batches, so its latencies are those of batches.
        let comparable = |values: Option<Vec<f64>>| {
            values.filter(|_| !goal.measure.is_latency()).map(|values| median(&values))
        };
        let limit = comparable(limit);
        let ceiling = comparable(feasible).or(limit);
        let verdict = goal.target.judge(&ratios, ceiling.map(|ceiling| ours / ceiling));
        Self {
            group: row.group.name(),
            row: row.name,
            tasks: goal.tasks,
            measure: goal.measure,
            target: goal.target,
            ours,
            peer,
            limit,
            ceiling,
            ratios,
            verdict,
        }
    }

    fn ratio(&self) -> f64 {
        self.target.statistic(&self.ratios)
    }

    fn json(&self) -> Value {
        json!({
            "group": self.group,
            "row": self.row,
            "tasks": self.tasks,
            "measure": self.measure.name(),
            "ours": self.ours,
            "peer": self.peer,
            "limit": self.limit,
            "ceiling": self.ceiling,
            "ratio": self.ratio(),
            "ratios": self.ratios,
            "target": self.target.to_string(),
            "verdict": self.verdict.name(),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{} {}", self.group, self.row);
        let tasks = if self.tasks == 0 { String::new() } else { format!("c={}", self.tasks) };
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), short);
        write!(
            f,
            "{name:38}{tasks:5}{:13}{:>8}{:>8}{:>8}{:>8}{:>8.2}  {:8}{}",
            self.measure.name(),
            short(self.ours),
            short(self.peer),
            optional(self.limit),
            optional(self.ceiling),
            self.ratio(),
            self.target,
            self.verdict.name(),
        )
    }
}

impl Report {
    pub(super) fn new(rounds: u64) -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
        Self { rounds, load, lines: Vec::new() }
    }

    pub(super) fn heading(&self) -> String {
        format!(
            "{} cores of {}, load average {} at the start, {} pairs\n\n{:38}{:5}{:13}{:>8}{:>8}{:>8}{:>8}{:>8}  {:8}verdict",
            cores(),
            processor(),
            self.load,
            self.rounds,
            "row",
            "c",
            "measure",
            "ours",
            "peer",
            "limit",
            "ceiling",
            "ratio",
            "target",
        )
    }

    pub(super) fn legend(&self) -> &'static str {
        LEGEND
    }

    pub(super) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(super) fn missed(&self) -> usize {
        self.count(&[Verdict::Missed])
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "targets: {} met, {} missed, {} reported",
            self.count(&[Verdict::Met, Verdict::Limit]),
            self.missed(),
            self.count(&[Verdict::Reported]),
        )
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let report = json!({
            "cores": cores(),
            "processor": processor(),
            "load_average": self.load,
            "pairs": self.rounds,
            "rows": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
            "summary": self.summary(),
        });
        fs::write(path, format!("{report:#}\n"))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn count(&self, verdicts: &[Verdict]) -> usize {
        self.lines.iter().filter(|line| verdicts.contains(&line.verdict)).count()
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, Into::into)
}

/// The processor's name, where the system tells.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("an unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Three digits.
fn short(value: f64) -> String {
    match value {
        _ if value >= 9_999_500.0 => format!("{:.1}M", value / 1e6),
        _ if value >= 999_500.0 => format!("{:.2}M", value / 1e6),
        _ if value >= 99_950.0 => format!("{:.0}k", value / 1e3),
        _ if value >= 9_995.0 => format!("{:.1}k", value / 1e3),
        _ if value >= 99.95 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Group, rows};
    use super::*;

    fn line(target: Target, ours: &[f64], limit: f64) -> Line {
        let row = &rows(Group::Memory)[0];
        let goal = Goal { tasks: 16, measure: Measure::Rate, target };
        Line::new(row, &goal, ours, &[100.0, 200.0, 300.0], Some(vec![limit; 3]), None)
    }

    #[test]
    fn ratios_are_of_pairs_and_the_ceiling_is_the_limit_without_a_prototype() {
        let line = line(Target::AtLeast(4.0), &[300.0, 400.0, 900.0], 480.0);
        assert_eq!((line.ratios.as_slice(), line.ratio()), ([3.0, 2.0, 3.0].as_slice(), 2.5));
        assert_eq!((line.ours, line.peer, line.ceiling), (400.0, 200.0, Some(480.0)));
        assert_eq!(line.verdict, Verdict::Limit);
    }

    #[test]
    fn limit_counts_as_met() {
        let mut report = Report::new(3);
        report.add(line(Target::AtLeast(2.0), &[300.0, 600.0, 900.0], 1e6));
        report.add(line(Target::AtLeast(4.0), &[300.0, 600.0, 900.0], 600.0));
        report.add(line(Target::AtLeast(4.0), &[300.0, 600.0, 900.0], 1e6));
        report.add(line(Target::None, &[300.0, 600.0, 900.0], 1e6));
        assert_eq!(report.summary(), "targets: 2 met, 1 missed, 1 reported");
    }

    #[test]
    fn figures_have_three_digits() {
        let figures = [0.456, 12.0, 256.4, 3456.0, 12_345.0, 548_123.0, 1_700_000.0, 12_000_000.0];
        let shown: Vec<_> = figures.map(short).into();
        assert_eq!(shown, ["0.46", "12.00", "256", "3456", "12.3k", "548k", "1.70M", "12.0M"]);
    }
}
