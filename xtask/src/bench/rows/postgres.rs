//! Sessions in PostgreSQL at its defaults, where a commit waits for the disk.

use super::super::verdict::Target;
use super::{Contender, Group, Measure, Row, Sides, ours, peer};

const SIDES: Sides = Sides { ours: ours("postgres"), raw: ours("raw_postgres"), peer: peer("postgres") };

pub(super) fn rows() -> Vec<Row> {
    let row = |name, operation| SIDES.row(Group::Postgres, name, operation);
    let large = SIDES.with(Contender::large);
    vec![
        row("load", "load").rates([1.5, 3.0, 5.0]).idle(),
        row("update", "update").rates([1.2, 2.3, 4.5]).idle(),
        row("create", "create").rates([1.8, 4.5, 8.0]),
        large.row(Group::Postgres, "read one of 4 KiB", "read_one").goal(
            64,
            Measure::Rate,
            Target::AtLeast(2.5),
        ),
    ]
}
