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
use rows::{Contender, Group, Row};

use crate::services::{self, TestRun};
use crate::steps;
use crate::workspace::Workspace;

/// Pairs of rows that are only shown, and of all rows in a quick run.
const FEW_ROUNDS: u64 = 3;

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

    /// Whether any row has a contender in `program`: files have no peers.
    fn needs(&self, program: &str) -> bool {
        let rows = Group::ALL.into_iter().filter(|group| self.wants(*group)).flat_map(rows::rows);
        rows.flat_map(|row| row.contenders()).any(|contender| contender.program == program)
    }

    fn rounds(&self) -> u64 {
        if self.quick { FEW_ROUNDS } else { 9 }
    }
}

/// Builds, measures and reports; `Ok(false)` if a target was missed.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<bool, String> {
    for (manifest, program) in [("bench", "bench-ours"), ("bench/peers", "bench-peers")] {
        if !options.needs(program) {
            continue;
        }
        let mut build = workspace.cargo_in(manifest.as_ref(), ["build", "--release", "--locked"]);
        steps::run_command(&mut build)?;
    }
    let mut report = Report::new(options.rounds());
    println!("\n{}", report.heading());
    for group in Group::ALL.into_iter().filter(|group| options.wants(*group)) {
        let mut servers = TestRun::default();
        let needed = services::of_bench(group.name());
        if !needed.is_empty() {
            servers.start(&workspace.target_directory, &needed, false)?;
        }
        let mut programs = Programs { workspace, servers: &servers, running: HashMap::new() };
        for row in rows::rows(group).into_iter().filter(|row| !(options.quick && row.is_slow)) {
            steps::progress(&format!("measuring {} {}", group.name(), row.name));
            for line in measure(&mut programs, &row, options.rounds())? {
                println!("{line}");
                report.add(line);
            }
        }
        drop(programs);
        servers.stop()?;
    }
    let path = options.json.clone().unwrap_or_else(|| workspace.target_directory.join("bench.json"));
    report.write(&path)?;
    println!("\n{}\n{}", report.legend(), report.summary());
    Ok(report.missed() == 0)
}

/// Runs the cells of a row, for each number of tasks that it has a goal for, and judges them.
fn measure(programs: &mut Programs<'_>, row: &Row, rounds: u64) -> Result<Vec<Line>, String> {
    let contenders = row.contenders();
    let rounds = if row.has_target() { rounds } else { FEW_ROUNDS }.min(row.most_rounds);
    let mut tasks: Vec<usize> = row.goals.iter().map(|goal| goal.tasks).collect();
    tasks.dedup();
    let mut lines = Vec::new();
    for tasks in tasks {
        let mut outcomes: HashMap<Contender, Vec<Outcome>> = HashMap::new();
        // What does not change while a program runs is measured once.
        let is_static = contenders.iter().all(|contender| contender.operation.is_none());
        for round in 0..if is_static { 1 } else { rounds } {
            let mut order = contenders.clone();
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                let program = programs.of(contender)?;
                let outcome = match Cell::of(contender, tasks, row.millis, round) {
                    Some(cell) => program.run(&cell)?,
                    None => program.at_rest(),
                };
                outcomes.entry(contender).or_default().push(outcome);
            }
        }
        for goal in row.goals.iter().filter(|goal| goal.tasks == tasks) {
            lines.push(Line::new(row, goal, |contender| {
                outcomes[&contender].iter().map(|outcome| goal.measure.of(outcome)).collect()
            }));
        }
    }
    Ok(lines)
}

/// The programs that run, each started when it is first needed.
struct Programs<'a> {
    workspace: &'a Workspace,
    servers: &'a TestRun,
    running: HashMap<Contender, Program>,
}

impl Programs<'_> {
    fn of(&mut self, contender: Contender) -> Result<&mut Program, String> {
        let key = contender.at_rest();
        if !self.running.contains_key(&key) {
            steps::progress(&format!("filling {key}"));
            self.running.insert(key, Program::start(&self.workspace.target_directory, self.servers, key)?);
        }
        self.running.get_mut(&key).ok_or("no such program".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<BenchOptions, String> {
        BenchOptions::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_contender_may_have_tasks_of_its_own() {
        let rows = rows::rows(Group::Sqlite);
        let row = rows.iter().find(|row| row.name == "update, safe, c=64 over c=16").unwrap();
        let tasks = |contender| Cell::of(contender, row.goals[0].tasks, row.millis, 0).unwrap().tasks;
        assert_eq!((tasks(row.ours), tasks(row.peer)), (64, 16));
        assert!(Cell::of(row.ours.at_rest(), 1, row.millis, 0).is_none());
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
    fn peers_are_built_where_there_are_any() {
        let needs = |words| ["bench-ours", "bench-peers"].map(|program| parse(words).unwrap().needs(program));
        assert_eq!(needs("--only file"), [true, false]);
        assert_eq!(needs("--only file,sqlite"), [true, true]);
        assert_eq!(needs(""), [true, true]);
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (words, named) in [("--only memry", "memry"), ("--only", "--only"), ("--fast", "--fast")] {
            assert!(parse(words).err().unwrap().contains(&format!("`{named}`")), "{words}");
        }
    }
}
