//! Sessions in MariaDB at its defaults, where a commit waits for the disk.

use super::{Group, Row, Sides, ours, peer};

const SIDES: Sides = Sides { ours: ours("mariadb"), raw: ours("raw_mariadb"), peer: peer("mariadb") };

pub(super) fn rows() -> Vec<Row> {
    let row = |name, operation| SIDES.row(Group::Mariadb, name, operation);
    vec![
        row("load", "load").rates([1.3, 2.5, 4.0]).idle(),
        row("update", "update").rates([1.2, 1.5, 2.5]).idle(),
        row("create", "create").shown(),
    ]
}
