//! What is measured, against whom, and what should come out: one file for each group. A new row, peer or store is
//! an entry there and an arm in `bench/ours` or `bench/peers`.

mod file;
mod http;
mod mariadb;
mod memory;
mod postgres;
mod redis;
mod sqlite;

use std::fmt;

use super::program::Outcome;
use super::verdict::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Memory,
    Sqlite,
    File,
    Postgres,
    Mariadb,
    Redis,
    RedisCluster,
    RedisSentinel,
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

/// Ours beside one peer, or beside the limit.
pub(super) struct Row {
    pub(super) group: Group,
    pub(super) name: &'static str,
    pub(super) ours: Contender,
    /// What ours is divided by.
    pub(super) peer: Contender,
    /// Whether that is the limit, where there is no peer.
    pub(super) is_over_limit: bool,
    pub(super) ceiling: Option<Ceiling>,
    /// Ascending by tasks.
    pub(super) goals: Vec<Goal>,
    /// How long each cell takes.
    pub(super) millis: u64,
    /// Takes minutes to fill: left out by `--quick`.
    pub(super) is_slow: bool,
    /// At most this many pairs, where each takes minutes.
    pub(super) most_rounds: u64,
}

/// What there is to reach, measured in the same run. `docs/adr/0010-a-ceiling-is-measured-in-the-same-run.md`
/// says why.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ceiling {
    /// The raw client or structure at the same work.
    Limit(Contender),
    /// Of a row that compares ours with ours, many sessions with few: what ours would do with many if it lost as
    /// little as the raw structure does.
    Growth { raw_many: Contender, raw_few: Contender, peer_many: Option<Contender> },
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
    /// Of the database's file, its indexes included; of directories, as the disk has them.
    FileBytesPerSession,
    /// Entries of the file system, directories included.
    FilesPerSession,
    /// Of the server's memory.
    ServerBytesPerSession,
    /// How often the write-ahead log was started anew, which takes a complete checkpoint.
    LogRestarts,
    /// How long the cell took, where it does not end by time.
    Seconds,
}

impl Group {
    pub(super) const ALL: [Self; 10] = [
        Self::Memory,
        Self::Sqlite,
        Self::File,
        Self::Postgres,
        Self::Mariadb,
        Self::Redis,
        Self::RedisCluster,
        Self::RedisSentinel,
        Self::Http,
        Self::Size,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::File => "file",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::RedisSentinel => "redis-sentinel",
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
            Self::FileBytesPerSession => outcome.file_bytes_per_session,
            Self::FilesPerSession => outcome.files_per_session,
            Self::ServerBytesPerSession => outcome.server_bytes_per_session,
            Self::LogRestarts => outcome.log_restarts,
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
            Self::FileBytesPerSession => "file bytes",
            Self::FilesPerSession => "files",
            Self::ServerBytesPerSession => "server bytes",
            Self::LogRestarts => "log restarts",
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
        Group::Memory => memory::rows(),
        Group::Sqlite => sqlite::rows(),
        Group::File => file::rows(),
        Group::Postgres => postgres::rows(),
        Group::Mariadb => mariadb::rows(),
        Group::Redis => redis::rows(),
        Group::RedisCluster => redis::several_servers(group, ours("redis_cluster")),
        Group::RedisSentinel => redis::several_servers(group, ours("redis_sentinel")),
        Group::Http => http::rows(),
        Group::Size => memory::size(),
    }
}

const MILLION: u64 = 1_000_000;
const TEN_THOUSAND: u64 = 10_000;

/// Long enough for a few hundred flushes to a disk.
const CELL: u64 = 400;

/// Long enough for several checkpoints.
const LONG_CELL: u64 = 2000;

/// The stores of one kind, each of the same size and values.
#[derive(Clone, Copy)]
struct Sides {
    ours: Contender,
    raw: Contender,
    peer: Contender,
}

impl Sides {
    fn with(self, change: impl Fn(Contender) -> Contender) -> Self {
        Self { ours: change(self.ours), raw: change(self.raw), peer: change(self.peer) }
    }

    /// The same operation on all sides.
    fn row(self, group: Group, name: &'static str, operation: &'static str) -> Row {
        self.with(|side| side.does(operation)).at_rest(group, name)
    }

    /// What can be said of them without running anything.
    fn at_rest(self, group: Group, name: &'static str) -> Row {
        Row::new(group, name, self.ours, self.peer).ceiling(Ceiling::Limit(self.raw))
    }

    /// A million sessions against ten thousand of the same store.
    fn growth(self, group: Group, name: &'static str, operation: &'static str) -> Row {
        let many = self.with(|side| side.sessions(MILLION).does(operation));
        let few = self.with(|side| side.sessions(TEN_THOUSAND).does(operation));
        Row::new(group, name, many.ours, few.ours)
            .ceiling(Ceiling::Growth { raw_many: many.raw, raw_few: few.raw, peer_many: Some(many.peer) })
            .goal(16, Measure::Rate, Target::MedianAtLeast(0.8))
    }

    /// A million sessions against the peer's.
    fn million(self, group: Group, name: &'static str, operation: &'static str) -> Row {
        let many = self.with(|side| side.sessions(MILLION));
        // "Never below the peer": a claim within noise, shown and not judged.
        many.row(group, name, operation).goal(16, Measure::Rate, Target::AtLeast(1.0))
    }
}

/// How long it takes to purge a million expired records, beside many live sessions and beside few.
fn purge(group: Group, store: Contender) -> Row {
    let purge = store.does("load_during_purge");
    let (many, few) = (purge.sessions(MILLION), purge.sessions(TEN_THOUSAND));
    Row::new(group, "purge, 10^6 live over 10^4", many, few).goal(1, Measure::Seconds, Target::None)
}

/// Loads while a million expired records are purged, against undisturbed ones.
fn load_during_purge(group: Group, store: Contender) -> Row {
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

    fn sessions(self, sessions: u64) -> Self {
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
        Self {
            group,
            name,
            ours,
            peer,
            is_over_limit: false,
            ceiling: None,
            goals: Vec::new(),
            millis: CELL,
            is_slow: false,
            most_rounds: u64::MAX,
        }
    }

    /// Ours over the limit, where there is no peer. It has no ceiling: the target says what share there is to reach.
    fn over_limit(group: Group, name: &'static str, ours: Contender, limit: Contender) -> Self {
        Self { is_over_limit: true, ..Self::new(group, name, ours, limit) }
    }

    /// Everyone who is measured for it, each once.
    pub(super) fn contenders(&self) -> Vec<Contender> {
        let below = match self.ceiling {
            None => Vec::new(),
            Some(Ceiling::Limit(limit)) => vec![limit],
            Some(Ceiling::Growth { raw_many, raw_few, peer_many }) => {
                [raw_many, raw_few].into_iter().chain(peer_many).collect()
            }
        };
        [self.ours, self.peer].into_iter().chain(below).collect()
    }

    /// Whether there is anything that it should come out as, be it within noise.
    pub(super) fn has_target(&self) -> bool {
        self.goals.iter().any(|goal| goal.target != Target::None)
    }

    fn ceiling(mut self, ceiling: Ceiling) -> Self {
        self.ceiling = Some(ceiling);
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

    /// Rates at 1, 16 and 64 tasks, without a target.
    fn shown(self) -> Self {
        let goal = |row: Self, tasks| row.goal(tasks, Measure::Rate, Target::None);
        [1, 16, 64].into_iter().fold(self, goal)
    }

    /// The latency of one task alone.
    fn idle(self) -> Self {
        self.goal(1, Measure::P50, Target::MedianAtMost(1.1))
    }

    /// The slowest writes of cells so long that checkpoints run in them; and how many did.
    fn tails(mut self) -> Self {
        self.millis = LONG_CELL;
        let tail = |row: Self, (tasks, measure)| row.goal(tasks, measure, Target::None);
        let measures = [Measure::P99, Measure::P999, Measure::LogRestarts];
        [16, 64].into_iter().flat_map(|tasks| measures.map(|measure| (tasks, measure))).fold(self, tail)
    }

    fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    /// No more pairs than these: each takes minutes.
    fn rounds(mut self, most: u64) -> Self {
        self.most_rounds = most;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_goals_by_tasks() {
        for group in Group::ALL {
            let rows = rows(group);
            let mut names: Vec<_> = rows.iter().map(|row| row.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), rows.len());
            for row in rows {
                assert!(
                    !row.goals.is_empty() && row.goals.is_sorted_by_key(|goal| goal.tasks),
                    "{}",
                    row.name
                );
                assert!(row.group == group);
                let contenders = row.contenders();
                let different: HashSet<_> = contenders.iter().collect();
                assert_eq!(different.len(), contenders.len(), "{}", row.name);
            }
        }
    }

    #[test]
    fn the_help_names_every_group() {
        let (_, list) = crate::USAGE.split_once("of these groups only:").unwrap();
        let (list, _) = list.split_once("--json").unwrap();
        let named: Vec<_> = list.split([',', ' ', '\n']).filter(|word| !word.is_empty()).collect();
        assert_eq!(named, Group::ALL.map(Group::name));
    }

    #[test]
    fn loads_from_redis_have_to_be_ahead_of_both_peers_and_close_to_the_limit() {
        let rows = rows(Group::Redis);
        let targets = |name| -> Vec<_> {
            let row = rows.iter().find(|row| row.name == name).unwrap();
            let rates = row.goals.iter().filter(|goal| goal.measure == Measure::Rate);
            rates.map(|goal| (goal.tasks, goal.target)).collect()
        };
        let over_peers = [1.0, 1.3, 1.8].map(Target::AtLeast);
        for name in ["load", "load, actix-session"] {
            assert!(targets(name).into_iter().eq([1, 16, 64].into_iter().zip(over_peers)), "{name}");
        }
        assert_eq!(
            targets("load, raw client"),
            [1, 16, 64].map(|tasks| (tasks, Target::MedianAtLeast(0.85)))
        );
        for name in ["a million sessions", "a million, signed in"] {
            let row = rows.iter().find(|row| row.name == name).unwrap();
            let is_at_rest = row.contenders().iter().all(|contender| contender.operation.is_none());
            assert!(is_at_rest && row.is_slow && row.ours.sessions == MILLION, "{name}");
        }
    }

    #[test]
    fn rows_of_several_servers_compare_ours_with_ours() {
        for (group, store) in
            [(Group::RedisCluster, "redis_cluster"), (Group::RedisSentinel, "redis_sentinel")]
        {
            for row in rows(group) {
                assert_eq!(
                    (row.ours.store, row.peer.store, row.peer.program),
                    (store, "redis", "bench-ours")
                );
            }
        }
    }

    #[test]
    fn rows_that_are_only_shown_have_no_target() {
        let named = |name| {
            let rows: Vec<_> = Group::ALL.into_iter().flat_map(rows).collect();
            rows.into_iter().find(|row| row.name == name).unwrap()
        };
        for (name, has_target) in [
            ("load", true),
            ("load, async-session", true),
            ("load during a purge", true),
            ("bytes of a row", false),
            ("update, checkpoints running", false),
            ("load, raw client", true),
            ("load over one server", false),
            ("a million, signed in", true),
        ] {
            assert_eq!(named(name).has_target(), has_target, "{name}");
        }
    }
}
