//! Sessions in the process: the verbs, how they grow, purges, and how much memory a session takes.

use super::super::verdict::Target;
use super::{Contender, Group, MILLION, Measure, Row, Sides, load_during_purge, ours, peer, purge};

const SIDES: Sides = Sides { ours: ours("memory"), raw: ours("raw_map"), peer: peer("memory") };

pub(super) fn rows() -> Vec<Row> {
    let row = |name, operation| SIDES.row(Group::Memory, name, operation);
    let async_session = peer("async_session").does("load");
    vec![
        row("load", "load").rates([2.0, 5.0, 5.0]).idle(),
        // "And ahead of it".
        Row::new(Group::Memory, "load, async-session", SIDES.ours.does("load"), async_session)
            .rates([1.0; 3]),
        row("update", "update").rates([1.5, 4.0, 4.0]).idle(),
        SIDES.with(Contender::large).row(Group::Memory, "read one of 4 KiB", "read_one").rates([8.0; 3]),
        SIDES.growth(Group::Memory, "load, 10^6 over 10^4", "load"),
        SIDES.growth(Group::Memory, "update, 10^6 over 10^4", "update"),
        SIDES.million(Group::Memory, "load, 10^6 sessions", "load"),
        SIDES.million(Group::Memory, "update, 10^6 sessions", "update"),
        purge(Group::Memory, SIDES.ours),
        load_during_purge(Group::Memory, SIDES.ours),
    ]
}

pub(super) fn size() -> Vec<Row> {
    let million = SIDES.with(|side| side.sessions(MILLION)).at_rest(Group::Size, "a million sessions");
    vec![million.goal(0, Measure::BytesPerSession, Target::AtMost(0.5))]
}
