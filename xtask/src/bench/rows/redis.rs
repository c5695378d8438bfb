//! Sessions in Redis without persistence: one server, and ours alone in a cluster and under Sentinel.

use super::super::verdict::Target;
use super::{Contender, Group, MILLION, Measure, Row, Sides, ours, peer};

const SIDES: Sides = Sides { ours: ours("redis"), raw: ours("raw_redis"), peer: peer("redis") };

/// Beside the other peer.
const ACTIX: Sides = Sides { peer: peer("redis_actix"), ..SIDES };

/// Of a session's values.
const PAYLOAD: f64 = 256.0;

pub(super) fn rows() -> Vec<Row> {
    let row = |name, operation| SIDES.row(Group::Redis, name, operation);
    let actix = |name, operation| ACTIX.row(Group::Redis, name, operation);
    let read_one = |sides: Sides, name| {
        let row = sides.with(Contender::large).row(Group::Redis, name, "read_one");
        row.goal(64, Measure::Rate, Target::AtLeast(2.5))
    };
    vec![
        row("load", "load").rates([1.0, 1.3, 1.8]).idle(),
        // "Over the better peer": over both.
        actix("load, actix-session", "load").rates([1.0, 1.3, 1.8]),
        of_the_limit("load, raw client", "load"),
        row("update", "update").rates([1.0, 1.4, 1.3]).idle(),
        actix("update, actix-session", "update").shown(),
        row("create", "create").shown(),
        read_one(SIDES, "read one of 4 KiB"),
        read_one(ACTIX, "read one of 4 KiB, actix-session"),
        size("a million sessions", SIDES.ours, PAYLOAD + 340.0),
        size("a million, signed in", ours("redis_signed_in"), PAYLOAD + 480.0),
    ]
}

/// Ours on more than one server over ours on one.
pub(super) fn several_servers(group: Group, servers: Contender) -> Vec<Row> {
    let over_one = |name, operation| {
        let row = Row::new(group, name, servers.does(operation), SIDES.ours.does(operation));
        row.goal(64, Measure::Rate, Target::None)
    };
    vec![over_one("load over one server", "load"), over_one("update over one server", "update")]
}

/// What is left of the raw client's rate.
fn of_the_limit(name: &'static str, operation: &'static str) -> Row {
    let row = Row::new(Group::Redis, name, SIDES.ours.does(operation), SIDES.raw.does(operation));
    let goal = |row: Row, tasks| row.goal(tasks, Measure::Rate, Target::MedianAtLeast(0.85));
    [1, 16, 64].into_iter().fold(row, goal)
}

/// What the server needs for each of a million sessions.
fn size(name: &'static str, ours: Contender, bytes: f64) -> Row {
    let (ours, peer) = (ours.sessions(MILLION), SIDES.peer.sessions(MILLION));
    let row = Row::new(Group::Redis, name, ours, peer);
    row.goal(0, Measure::ServerBytesPerSession, Target::BytesAtMost(bytes)).slow()
}
