//! Sessions in SQLite, at both durabilities.

use super::super::verdict::Target;
use super::{Contender, Group, Measure, Row, Sides, load_during_purge, ours, peer, purge};

/// WAL and `synchronous = NORMAL`.
const NORMAL: Sides = Sides { ours: ours("sqlite"), raw: ours("raw_sqlite"), peer: peer("sqlite") };

/// Safe from a power cut: ours by WAL and `FULL`, the peer by SQLite's default.
const SAFE: Sides = Sides {
    ours: ours("sqlite_power_loss"),
    raw: ours("raw_sqlite_power_loss"),
    peer: peer("sqlite_default"),
};

pub(super) fn rows() -> Vec<Row> {
    let row = |name, operation| NORMAL.row(Group::Sqlite, name, operation);
    let safe_update = SAFE.ours.does("update");
    vec![
        row("load", "load").rates([3.0, 4.0, 5.0]).idle(),
        row("update", "update").rates([2.0, 5.0, 6.0]).idle(),
        Row::new(
            Group::Sqlite,
            "update, checkpoints running",
            NORMAL.ours.does("update"),
            NORMAL.peer.does("update"),
        )
        .tails(),
        row("create", "create").rates([2.5, 5.0, 5.0]),
        SAFE.row(Group::Sqlite, "update, power-cut safe", "update")
            .goal(1, Measure::Rate, Target::AtLeast(5.0))
            .goal(16, Measure::Rate, Target::AtLeast(50.0)),
        Row::new(Group::Sqlite, "update, safe, c=64 over c=16", safe_update, safe_update.by(16)).goal(
            64,
            Measure::Rate,
            Target::MedianAtLeast(1.0),
        ),
        NORMAL.with(Contender::large).row(Group::Sqlite, "read one of 4 KiB", "read_one").rates([4.0; 3]),
        NORMAL.at_rest(Group::Sqlite, "bytes of a row").goal(0, Measure::FileBytesPerSession, Target::None),
        NORMAL.growth(Group::Sqlite, "load, 10^6 over 10^4", "load").slow(),
        NORMAL.growth(Group::Sqlite, "update, 10^6 over 10^4", "update").slow(),
        NORMAL.million(Group::Sqlite, "load, 10^6 sessions", "load").slow(),
        NORMAL.million(Group::Sqlite, "update, 10^6 sessions", "update").slow(),
        purge(Group::Sqlite, NORMAL.ours).slow(),
        load_during_purge(Group::Sqlite, NORMAL.ours).slow(),
    ]
}
