//! `cargo xtask bench`: measures our stores and their peers in one run, and says which targets are met.
//!
//! Every program holds one filled store and waits; this one tells them in turns which cell to run. So ours and the
//! peer are measured within a second of each other, nine times, and what a ratio says is no drift of the machine.

mod program;
mod report;
mod rows;
mod verdict;

use std::collections::HashMap;
use std::path::PathBuf;

use program::{Cell, Outcome, Program};
use report::{Line, Report};
use rows::{Contender, Group, Measure, Row};

use crate::steps;
use crate::workspace::Workspace;

/// How long each cell takes; long enough for a few hundred flushes to a disk.
const MILLIS: u64 = 400;

#[derive(Default)]
pub(crate) struct BenchOptions {
    quick: bool,
    only: Vec<Group>,
    json: Option<PathBuf>,
}

impl BenchOptions {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--quick" => options.quick = true,
                "--only" => {
                    for name in value()?.split(',') {
                        let group = Group::ALL.into_iter().find(|group| group.name() == name);
                        options.only.push(group.ok_or(format!("`bench` knows no `{name}`"))?);
                    }
                }
                "--json" => options.json = Some(value()?.into()),
                _ => return Err(format!("`bench` does not know `{word}`")),
            }
        }
        Ok(options)
    }

    fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }

    fn rounds(&self) -> u64 {
        if self.quick { 3 } else { 9 }
    }
}

/// Builds, measures and reports; `Ok(false)` if a target was missed.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<bool, String> {
    for manifest in ["bench", "bench/peers"] {
        let mut build = workspace.cargo_in(manifest.as_ref(), ["build", "--release", "--locked"]);
        steps::run_command(&mut build)?;
    }
    let mut report = Report::new(options.rounds());
    println!("\n{}", report.heading());
    for group in Group::ALL.into_iter().filter(|group| options.wants(*group)) {
        let mut programs = Programs { workspace, running: HashMap::new() };
        for row in rows::rows(group).into_iter().filter(|row| !(options.quick && row.is_slow)) {
            steps::progress(&format!("measuring {} {}", group.name(), row.name));
            for line in measure(&mut programs, &row, options.rounds())? {
                println!("{line}");
                report.add(line);
            }
        }
    }
    let path = options.json.clone().unwrap_or_else(|| workspace.target_directory.join("bench.json"));
    report.write(&path)?;
    println!("\n{}\n{}", report.legend(), report.summary());
    Ok(report.missed() == 0)
}

/// Runs the cells of a row, for each number of tasks that it has a goal for, and judges them.
fn measure(programs: &mut Programs<'_>, row: &Row, rounds: u64) -> Result<Vec<Line>, String> {
    let contenders: Vec<Contender> =
        [Some(row.ours), Some(row.peer), row.limit, row.feasible].into_iter().flatten().collect();
    let mut tasks: Vec<usize> = row.goals.iter().map(|goal| goal.tasks).collect();
    tasks.dedup();
    let mut lines = Vec::new();
    for tasks in tasks {
        let mut outcomes: HashMap<Contender, Vec<Outcome>> = HashMap::new();
        // What does not change while a program runs is measured once.
        let is_static = row.goals.iter().all(|goal| goal.measure == Measure::BytesPerSession);
        for round in 0..if is_static { 1 } else { rounds } {
            let mut order = contenders.clone();
            order.dedup();
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                let program = programs.of(contender)?;
                let outcome = match contender.operation {
                    Some(operation) => {
                        let tasks = contender.tasks.unwrap_or(tasks);
                        program.run(&Cell { operation, tasks, millis: MILLIS, seed: round + 1 })?
                    }
                    None => program.at_rest(),
                };
                outcomes.entry(contender).or_default().push(outcome);
            }
        }
        let values = |contender: Contender, measure: Measure| -> Vec<f64> {
            outcomes[&contender].iter().map(|outcome| measure.of(outcome)).collect()
        };
        for goal in row.goals.iter().filter(|goal| goal.tasks == tasks) {
            let of = |contender| values(contender, goal.measure);
            lines.push(Line::new(
                row,
                goal,
                &of(row.ours),
                &of(row.peer),
                row.limit.map(of),
                row.feasible.map(of),
            ));
        }
        for contender in &contenders {
            if contender.operation.is_none() {
                programs.end(*contender);
            }
        }
    }
    Ok(lines)
}

/// The programs that run, each started when it is first needed.
struct Programs<'a> {
    workspace: &'a Workspace,
    running: HashMap<Contender, Program>,
}

impl Programs<'_> {
    fn of(&mut self, contender: Contender) -> Result<&mut Program, String> {
        let key = contender.at_rest();
        if !self.running.contains_key(&key) {
            steps::progress(&format!("filling {key}"));
            self.running.insert(key, Program::start(&self.workspace.target_directory, key)?);
        }
        self.running.get_mut(&key).ok_or("no such program".to_owned())
    }

    fn end(&mut self, contender: Contender) {
        self.running.remove(&contender.at_rest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<BenchOptions, String> {
        BenchOptions::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn groups_are_picked_by_name() {
        let options = parse("--quick --only memory,size --json out.json").unwrap();
        assert_eq!((options.rounds(), options.json), (3, Some("out.json".into())));
        assert_eq!(options.only, [Group::Memory, Group::Size]);
        let all = parse("").unwrap();
        assert!(all.rounds() == 9 && Group::ALL.into_iter().all(|group| all.wants(group)));
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (words, named) in [("--only memry", "memry"), ("--only", "--only"), ("--fast", "--fast")] {
            assert!(parse(words).err().unwrap().contains(&format!("`{named}`")), "{words}");
        }
    }
}
