//! What a run says: one line for each goal, a legend, a count of the verdicts; and the same as JSON.

use std::fmt;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use super::rows::{Ceiling, Contender, Goal, Measure, Row};
use super::verdict::{NearCeiling, Target, Verdict, median};

/// One goal of a row, measured and judged.
pub(super) struct Line {
    group: &'static str,
    row: &'static str,
    tasks: usize,
    measure: Measure,
    target: Target,
    ours: f64,
    peer: Option<f64>,
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
  rusqlite, read on the calling thread, written by one thread with c rows in each commit, without indexes; files in
  one directory, read on the calling thread, written beside and moved into place by c threads without locks; plain
  sqlx, two connections with c rows in flight between them, without indexes; redis-rs, GET and SET of the values
  on one connection (raw client: as the peer); of requests, a layer that finds the cookie, digests the token, looks
  into a map and decodes one value.
without a peer: ratio and target are over the limit.
10^6 over 10^4, during a purge, c=64 over c=16, over one server: ours against ours, with fewer sessions, undisturbed,
  fewer tasks, or one server.
ceiling: the limit; of 10^6 over 10^4, what ours would do if it lost as little as the limit does from 10^4 to 10^6.
log restarts: how often in a cell a checkpoint let the write-ahead log start anew. file bytes: what the database or the
  directories take on the disk, by session; files: how many entries of the file system. server bytes: growth of what
  the server has allocated, by session, judged as such and not by the ratio.
met: the ratio reaches the target. limit: not reached, but at least 0.8 of the ceiling (of costs: at most 1.25 times
  it), and no peer is ahead (of 10^6 over 10^4: with as many sessions).
reported: no target, or one within 1.3x, which is noise.";

impl Line {
    /// `values` are the measured ones of a contender, by round.
    pub(super) fn new(row: &Row, goal: &Goal, values: impl Fn(Contender) -> Vec<f64>) -> Self {
        let (ours, peer) = (values(row.ours), values(row.peer));
        let ratios = ratios(&ours, &peer);
        // What limits a rate writes in batches, so its latencies are those of batches.
        let has_ceiling = !goal.measure.is_latency();
        let (limit, ceiling, over_peer) = match row.ceiling.filter(|_| has_ceiling) {
            None => (None, None, None),
            Some(Ceiling::Limit(limit)) => {
                let limit = median(&values(limit));
                (Some(limit), Some(limit), Some(ratios.clone()))
            }
            Some(Ceiling::Growth { raw_many, raw_few, peer_many }) => {
                let raw_many = values(raw_many);
                let kept = median(&self::ratios(&raw_many, &values(raw_few)));
                let over_peer = peer_many.map(|peer_many| self::ratios(&ours, &values(peer_many)));
                (Some(median(&raw_many)), Some(median(&peer) * kept), over_peer)
            }
        };
        let judged = if goal.target.is_absolute() { ours.clone() } else { ratios.clone() };
        let (ours, peer) = (median(&ours), median(&peer));
        let near = ceiling.map(|ceiling| NearCeiling { of_ceiling: ours / ceiling, over_peer });
        let verdict = goal.target.judge(&judged, near.as_ref());
        let (peer, limit) = if row.is_over_limit { (None, Some(peer)) } else { (Some(peer), limit) };
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
            optional(self.peer),
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

/// Of each pair.
fn ratios(ours: &[f64], others: &[f64]) -> Vec<f64> {
    ours.iter().zip(others).map(|(ours, other)| ours / other).collect()
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

    /// Three rounds of a row at 16 tasks.
    fn line(target: Target, ours: &[f64], limit: f64) -> Line {
        let row = &rows(Group::Memory)[0];
        let goal = Goal { tasks: 16, measure: Measure::Rate, target };
        Line::new(row, &goal, |contender| match contender {
            _ if contender == row.ours => ours.into(),
            _ if contender == row.peer => vec![100.0, 200.0, 300.0],
            _ => vec![limit; 3],
        })
    }

    #[test]
    fn ratios_are_of_pairs_and_the_ceiling_is_the_limit() {
        let line = line(Target::AtLeast(4.0), &[300.0, 400.0, 900.0], 480.0);
        assert_eq!((line.ratios.as_slice(), line.ratio()), ([3.0, 2.0, 3.0].as_slice(), 2.5));
        assert_eq!((line.ours, line.peer, line.ceiling), (400.0, Some(200.0), Some(480.0)));
        assert_eq!(line.verdict, Verdict::Limit);
    }

    /// A million sessions against ten thousand: ours keeps a fifth.
    fn growth(raw_many: f64, raw_few: f64, peer_many: f64) -> Line {
        let rows = rows(Group::Memory);
        let row = rows.iter().find(|row| row.name == "load, 10^6 over 10^4").unwrap();
        let Some(Ceiling::Growth { raw_many: of_many, raw_few: of_few, .. }) = row.ceiling else { panic!() };
        Line::new(row, &row.goals[0], |contender| match contender {
            _ if contender == row.ours => vec![200.0; 3],
            _ if contender == row.peer => vec![1000.0; 3],
            _ if contender == of_many => vec![raw_many; 3],
            _ if contender == of_few => vec![raw_few; 3],
            _ => vec![peer_many; 3],
        })
    }

    #[test]
    fn growth_is_bounded_by_that_of_the_raw_structure() {
        let line = growth(500.0, 2000.0, 100.0);
        assert_eq!((line.ours, line.peer, line.ratio()), (200.0, Some(1000.0), 0.2));
        assert_eq!((line.limit, line.ceiling), (Some(500.0), Some(250.0)), "a quarter of what few allow");
        assert_eq!(line.verdict, Verdict::Limit);
        assert_eq!(growth(510.0, 2000.0, 100.0).verdict, Verdict::Missed, "the raw structure keeps more");
    }

    #[test]
    fn growth_is_no_excuse_when_the_peer_is_ahead_with_as_many() {
        assert_eq!(growth(500.0, 2000.0, 200.0).verdict, Verdict::Limit);
        assert_eq!(growth(500.0, 2000.0, 201.0).verdict, Verdict::Missed);
    }

    #[test]
    fn without_a_peer_ours_is_divided_by_the_limit() {
        let rows = rows(Group::File);
        let row = rows.iter().find(|row| row.name == "update").unwrap();
        let line = |goal, ours: f64| {
            Line::new(row, goal, |contender| vec![if contender == row.ours { ours } else { 100.0 }; 3])
        };
        let line_of_two = line(&row.goals[0], 200.0);
        assert_eq!((line_of_two.peer, line_of_two.limit, line_of_two.ceiling), (None, Some(100.0), None));
        assert_eq!((line_of_two.ratio(), line_of_two.verdict), (2.0, Verdict::Met));
        assert_eq!(line(&row.goals[0], 79.0).verdict, Verdict::Missed, "no ceiling excuses it");
        let missed = Target::AtLeast(3.0);
        assert_eq!(line(&Goal { target: missed, ..row.goals[0] }, 299.0).verdict, Verdict::Missed);
    }

    #[test]
    fn growth_without_a_peer_has_the_ceiling_alone() {
        let rows = rows(Group::File);
        let row = rows.iter().find(|row| row.name == "load, 10^6 over 10^4").unwrap();
        let line = |raw: f64| {
            Line::new(row, &row.goals[0], |contender| match contender {
                _ if contender == row.ours => vec![40.0; 3],
                _ if contender == row.peer => vec![100.0; 3],
                _ if contender.sessions == row.ours.sessions => vec![raw; 3],
                _ => vec![1000.0; 3],
            })
        };
        assert_eq!((line(500.0).ceiling, line(500.0).verdict), (Some(50.0), Verdict::Limit));
        assert_eq!(line(510.0).verdict, Verdict::Missed);
    }

    #[test]
    fn latencies_have_no_ceiling() {
        let rows = rows(Group::Memory);
        let goal = Goal { tasks: 1, measure: Measure::P50, target: Target::MedianAtMost(0.5) };
        let line = Line::new(&rows[0], &goal, |_| vec![1.0; 3]);
        assert_eq!((line.limit, line.ceiling, line.verdict), (None, None, Verdict::Missed));
    }

    #[test]
    fn bytes_of_a_server_are_judged_whatever_the_peer_takes() {
        let rows = rows(Group::Redis);
        let row = rows.iter().find(|row| row.name == "a million sessions").unwrap();
        let line = |ours: f64, peer: f64| {
            Line::new(row, &row.goals[0], |contender| vec![if contender == row.ours { ours } else { peer }])
        };
        let (small, large) = (line(596.0, 298.0), line(597.0, 1194.0));
        assert_eq!((small.ratio(), small.verdict), (2.0, Verdict::Met));
        assert_eq!((large.ratio(), large.verdict), (0.5, Verdict::Missed));
        assert!(large.to_string().ends_with("0.50  <= 596B missed"), "{large}");
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
