//! What is measured, against whom, and what should come out. A new row, peer or store is an entry here and an arm
//! in `bench/ours` or `bench/peers`.

use std::fmt;

use super::program::Outcome;
use super::verdict::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Memory,
    Sqlite,
    Http,
    Size,
}

/// A store to measure and what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contender {
    pub(super) program: &'static str,
    pub(super) store: &'static str,
    pub(super) sessions: u64,
    pub(super) values: &'static str,
    /// `None`: the store at rest.
    pub(super) operation: Option<&'static str>,
    /// `None`: as many as the goal says.
    pub(super) tasks: Option<usize>,
}

/// Ours beside one peer. The limit is the raw client or structure; where a prototype showed what a driver can
/// make of it, that is the ceiling, else the limit is.
pub(super) struct Row {
    pub(super) group: Group,
    pub(super) name: &'static str,
    pub(super) ours: Contender,
    pub(super) peer: Contender,
    pub(super) limit: Option<Contender>,
    pub(super) feasible: Option<Contender>,
    /// Ascending by tasks.
    pub(super) goals: Vec<Goal>,
    /// Takes minutes to fill: left out by `--quick`.
    pub(super) is_slow: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) tasks: usize,
    pub(super) measure: Measure,
    pub(super) target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Operations in each second.
    Rate,
    /// Latencies in microseconds.
    P50,
    P99,
    P999,
    /// CPU time in microseconds that a request takes more than a bare one.
    Added,
    BytesPerSession,
    /// How long the cell took, where it does not end by time.
    Seconds,
}

impl Group {
    pub(super) const ALL: [Self; 4] = [Self::Memory, Self::Sqlite, Self::Http, Self::Size];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Http => "http",
            Self::Size => "size",
        }
    }
}

impl Measure {
    pub(super) fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Rate => outcome.rate,
            Self::P50 => outcome.p50,
            Self::P99 => outcome.p99,
            Self::P999 => outcome.p999,
            Self::Added => outcome.added,
            Self::BytesPerSession => outcome.bytes_per_session,
            Self::Seconds => outcome.seconds,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "per second",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::P999 => "p99.9 us",
            Self::Added => "CPU us added",
            Self::BytesPerSession => "bytes each",
            Self::Seconds => "seconds",
        }
    }

    pub(super) fn is_latency(self) -> bool {
        matches!(self, Self::P50 | Self::P99 | Self::P999)
    }
}

/// Like `ours sqlite 100000 small`: what a program is told apart by.
impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, store, sessions, values, operation: _, tasks: _ } = self;
        write!(f, "{} {store} {sessions} {values}", program.trim_start_matches("bench-"))
    }
}

pub(super) fn rows(group: Group) -> Vec<Row> {
    match group {
        Group::Memory => memory(),
        Group::Sqlite => sqlite(),
        Group::Http => http(),
        Group::Size => vec![
            Row::new(group, "a million sessions", ours("memory").with(MILLION), peer("memory").with(MILLION))
                .limit(ours("raw_map").with(MILLION))
                .goal(0, Measure::BytesPerSession, Target::AtMost(0.5)),
        ],
    }
}

const MILLION: u64 = 1_000_000;

fn memory() -> Vec<Row> {
    let (store, map, tower) = (ours("memory"), ours("raw_map"), peer("memory"));
    let row = |name, operation| {
        Row::new(Group::Memory, name, store.does(operation), tower.does(operation)).limit(map.does(operation))
    };
    let async_session = peer("async_session").does("load");
    vec![
        row("load", "load").rates([2.0, 5.0, 5.0]).idle(),
        // "And ahead of it".
        Row::new(Group::Memory, "load, async-session", store.does("load"), async_session).rates([1.0; 3]),
        row("update", "update").rates([1.5, 4.0, 4.0]).idle(),
        Row::new(
            Group::Memory,
            "read one of 4 KiB",
            store.large().does("read_one"),
            tower.large().does("read_one"),
        )
        .limit(map.large().does("read_one"))
        .rates([8.0; 3]),
        growth(Group::Memory, "load, 10^6 over 10^4", store, "load"),
        growth(Group::Memory, "update, 10^6 over 10^4", store, "update"),
        // What the processor's caches alone make of it.
        Row::new(
            Group::Memory,
            "raw map, 10^6 over 10^4",
            map.with(MILLION).does("load"),
            map.with(10_000).does("load"),
        )
        .goal(16, Measure::Rate, Target::None),
        Row::new(
            Group::Memory,
            "purge, 10^6 live over 10^4",
            store.with(MILLION).does("load_during_purge"),
            store.with(10_000).does("load_during_purge"),
        )
        .goal(1, Measure::Seconds, Target::None),
        purge(Group::Memory, store),
    ]
}

fn sqlite() -> Vec<Row> {
    let (normal, safe) = (ours("sqlite"), ours("sqlite_power_loss"));
    let (raw, raw_safe) = (ours("raw_sqlite"), ours("raw_sqlite_power_loss"));
    let (wal, default) = (peer("sqlite"), peer("sqlite_default"));
    let row = |name, operation| {
        Row::new(Group::Sqlite, name, normal.does(operation), wal.does(operation)).limit(raw.does(operation))
    };
    vec![
        row("load", "load").rates([3.0, 4.0, 5.0]).idle(),
        row("update", "update").rates([2.0, 5.0, 6.0]).idle().tails(16).tails(64),
        row("create", "create").rates([2.5, 5.0, 5.0]),
        Row::new(Group::Sqlite, "update, power-cut safe", safe.does("update"), default.does("update"))
            .limit(raw_safe.does("update"))
            .goal(1, Measure::Rate, Target::AtLeast(5.0))
            .goal(16, Measure::Rate, Target::AtLeast(50.0)),
        Row::new(
            Group::Sqlite,
            "update, safe, c=64 over c=16",
            safe.does("update"),
            safe.does("update").by(16),
        )
        .goal(64, Measure::Rate, Target::MedianAtLeast(1.0)),
        Row::new(
            Group::Sqlite,
            "read one of 4 KiB",
            normal.large().does("read_one"),
            wal.large().does("read_one"),
        )
        .limit(raw.large().does("read_one"))
        .rates([4.0; 3]),
        growth(Group::Sqlite, "load, 10^6 over 10^4", normal, "load").slow(),
        growth(Group::Sqlite, "update, 10^6 over 10^4", normal, "update").slow(),
    ]
}

/// In-process requests, one after the other: what the layer adds to a bare router.
fn http() -> Vec<Row> {
    let requests = [
        ("no cookie", "no_cookie"),
        ("cookie, session untouched", "untouched"),
        ("read", "read"),
        ("counter", "counter"),
    ];
    let row = |(name, operation)| {
        let (ours, peer) = (ours("http").with(1), peer("http").with(1));
        Row::new(Group::Http, name, ours.does(operation), peer.does(operation)).goal(
            1,
            Measure::Added,
            Target::AtMost(0.5),
        )
    };
    requests.map(row).into()
}

/// A million sessions against ten thousand of the same store.
fn growth(group: Group, name: &'static str, store: Contender, operation: &'static str) -> Row {
    let few = store.with(10_000).does(operation);
    Row::new(group, name, store.with(MILLION).does(operation), few).goal(
        16,
        Measure::Rate,
        Target::MedianAtLeast(0.8),
    )
}

/// Loads while a million expired records are purged, against undisturbed ones.
fn purge(group: Group, store: Contender) -> Row {
    Row::new(group, "load during a purge", store.does("load_during_purge"), store.does("load"))
        .goal(16, Measure::Rate, Target::MedianAtLeast(0.5))
        .goal(16, Measure::P999, Target::None)
}

const fn ours(store: &'static str) -> Contender {
    Contender {
        program: "bench-ours",
        store,
        sessions: 100_000,
        values: "small",
        operation: None,
        tasks: None,
    }
}

const fn peer(store: &'static str) -> Contender {
    Contender { program: "bench-peers", ..ours(store) }
}

impl Contender {
    fn does(self, operation: &'static str) -> Self {
        Self { operation: Some(operation), ..self }
    }

    fn with(self, sessions: u64) -> Self {
        Self { sessions, ..self }
    }

    fn by(self, tasks: usize) -> Self {
        Self { tasks: Some(tasks), ..self }
    }

    /// The store of this contender, whatever is done with it: one process answers all operations.
    pub(super) fn at_rest(self) -> Self {
        Self { operation: None, tasks: None, ..self }
    }

    fn large(self) -> Self {
        Self { values: "large", ..self }
    }
}

impl Row {
    fn new(group: Group, name: &'static str, ours: Contender, peer: Contender) -> Self {
        Self { group, name, ours, peer, limit: None, feasible: None, goals: Vec::new(), is_slow: false }
    }

    fn limit(mut self, limit: Contender) -> Self {
        self.limit = Some(limit);
        self
    }

    fn goal(mut self, tasks: usize, measure: Measure, target: Target) -> Self {
        self.goals.push(Goal { tasks, measure, target });
        self.goals.sort_by_key(|goal| goal.tasks);
        self
    }

    /// Rates at 1, 16 and 64 tasks over the peer's.
    fn rates(self, targets: [f64; 3]) -> Self {
        let goal = |row: Self, (tasks, target)| row.goal(tasks, Measure::Rate, Target::AtLeast(target));
        [1, 16, 64].into_iter().zip(targets).fold(self, goal)
    }

    /// The latency of one task alone.
    fn idle(self) -> Self {
        self.goal(1, Measure::P50, Target::MedianAtMost(1.1))
    }

    fn tails(self, tasks: usize) -> Self {
        self.goal(tasks, Measure::P99, Target::None).goal(tasks, Measure::P999, Target::None)
    }

    fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_goals_by_tasks() {
        for group in Group::ALL {
            let rows = rows(group);
            let mut names: Vec<_> = rows.iter().map(|row| row.name).collect();
            names.dedup();
            assert_eq!(names.len(), rows.len());
            for row in rows {
                assert!(
                    !row.goals.is_empty() && row.goals.is_sorted_by_key(|goal| goal.tasks),
                    "{}",
                    row.name
                );
                assert!(row.group == group);
            }
        }
    }
}
