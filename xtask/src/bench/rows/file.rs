//! Sessions in a directory of files, at both durabilities. No peer keeps files that survive what ours do, so ours is
//! compared with the limit, by as many tasks.

use super::super::verdict::Target;
use super::{Ceiling, Contender, Group, MILLION, Measure, Row, TEN_THOUSAND, load_during_purge, ours, purge};

/// Ours and the limit.
#[derive(Clone, Copy)]
struct Pair {
    ours: Contender,
    raw: Contender,
}

/// Safe from the end of a process.
const PROCESS_CRASH: Pair = Pair { ours: ours("file"), raw: ours("raw_file") };

/// Safe from a power cut.
const POWER_LOSS: Pair = Pair { ours: ours("file_power_loss"), raw: ours("raw_file_power_loss") };

pub(super) fn rows() -> Vec<Row> {
    vec![
        PROCESS_CRASH
            .row("load", "load")
            .goal(1, Measure::Rate, Target::ShareAtLeast(0.25))
            .goal(16, Measure::Rate, Target::ShareAtLeast(0.25))
            .goal(64, Measure::Rate, Target::ShareAtLeast(0.25)),
        PROCESS_CRASH
            .row("load, contents on the disk", "load_from_disk")
            .goal(16, Measure::Rate, Target::None)
            .goal(16, Measure::P999, Target::None),
        PROCESS_CRASH
            .row("update", "update")
            .goal(1, Measure::Rate, Target::ShareAtLeast(0.8))
            .goal(16, Measure::Rate, Target::AtLeast(1.5))
            .goal(64, Measure::Rate, Target::None),
        POWER_LOSS
            .row("update, power-cut safe", "update")
            .goal(1, Measure::Rate, Target::ShareAtLeast(0.8))
            .goal(16, Measure::Rate, Target::None)
            .goal(64, Measure::Rate, Target::AtLeast(2.0)),
        PROCESS_CRASH.row("create", "create").shown(),
        POWER_LOSS.row("create, power-cut safe", "create").shown(),
        Row::over_limit(Group::File, "size of a session", PROCESS_CRASH.ours, PROCESS_CRASH.raw)
            .goal(0, Measure::FileBytesPerSession, Target::None)
            .goal(0, Measure::FilesPerSession, Target::None),
        growth("load, 10^6 over 10^4", "load").slow(),
        growth("update, 10^6 over 10^4", "update").slow(),
        PROCESS_CRASH.sessions(MILLION).row("load, 10^6 sessions", "load").shown().slow(),
        PROCESS_CRASH.sessions(MILLION).row("update, 10^6 sessions", "update").shown().slow(),
        PROCESS_CRASH.sessions(MILLION).row("create, 10^6 sessions", "create").shown().slow(),
        idle_purge().slow(),
        load_during_purge(Group::File, PROCESS_CRASH.ours).rounds(3).slow(),
        // Filling it takes longer than all other rows.
        purge(Group::File, PROCESS_CRASH.ours).rounds(1).slow(),
    ]
}

impl Pair {
    fn sessions(self, sessions: u64) -> Self {
        Self { ours: self.ours.sessions(sessions), raw: self.raw.sessions(sessions) }
    }

    /// The same operation on both.
    fn row(self, name: &'static str, operation: &'static str) -> Row {
        Row::over_limit(Group::File, name, self.ours.does(operation), self.raw.does(operation))
    }
}

/// A million sessions against ten thousand.
fn growth(name: &'static str, operation: &'static str) -> Row {
    let [many, few] = [MILLION, TEN_THOUSAND].map(|sessions| PROCESS_CRASH.sessions(sessions));
    let [raw_many, raw_few] = [many, few].map(|pair| pair.raw.does(operation));
    Row::new(Group::File, name, many.ours.does(operation), few.ours.does(operation))
        .ceiling(Ceiling::Growth { raw_many, raw_few, peer_many: None })
        .goal(16, Measure::Rate, Target::MedianAtLeast(0.5))
}

/// How long a purge takes that finds nothing dead, and what loads do meanwhile.
fn idle_purge() -> Row {
    let purge = PROCESS_CRASH.ours.does("load_during_idle_purge");
    let (many, few) = (purge.sessions(MILLION), purge.sessions(TEN_THOUSAND));
    Row::new(Group::File, "idle purge, 10^6 live over 10^4", many, few)
        .goal(1, Measure::Seconds, Target::None)
        .goal(1, Measure::P999, Target::None)
}
