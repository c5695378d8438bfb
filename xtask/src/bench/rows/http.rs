//! In-process requests, one after the other: what the layer adds to a bare router.

use super::super::verdict::Target;
use super::{Ceiling, Group, Measure, Row, ours, peer};

pub(super) fn rows() -> Vec<Row> {
    let (ours, floor, tower, axum) =
        (ours("http"), ours("http_floor"), peer("http"), peer("http_axum_session"));
    let row = |name, operation| {
        Row::new(Group::Http, name, ours.does(operation), tower.does(operation))
            .ceiling(Ceiling::Limit(floor.does(operation)))
            .goal(1, Measure::Added, Target::AtMost(0.5))
    };
    // "Where one of them beats tower-sessions, beat that one."
    let ahead = |name, operation| {
        Row::new(Group::Http, name, ours.does(operation), axum.does(operation)).goal(
            1,
            Measure::Added,
            Target::AtMost(1.0),
        )
    };
    vec![
        row("no cookie", "no_cookie"),
        row("cookie, session untouched", "untouched"),
        row("read", "read"),
        row("counter", "counter"),
        ahead("untouched, axum_session", "untouched"),
        ahead("read, axum_session", "read"),
        ahead("counter, axum_session", "counter"),
        // The last, because it makes a session for each of these requests and keeps them all.
        ahead("no cookie, axum_session", "no_cookie"),
    ]
}
