//! The plan of the history that stores are recorded with, and the verbs that it comes to.

use session_core::{Principal, Record, Revision, SessionId, Timestamp};

use super::history::{Call, State, Verb};

/// How a history is written down: a session by number, the length of its data in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    Create(u8, usize),
    /// A session that is over by the time of all other verbs.
    CreateBrief(u8, usize),
    Update(u8, usize),
    Touch(u8),
    Delete(u8),
    Purge,
}

/// Parts of rounds of verbs. A round ends before the next begins; its verbs go on at the same time.
pub(super) const PLAN: &[&[&[Plan]]] = {
    use Plan::{Create, CreateBrief, Delete, Purge, Touch, Update};
    &[
        &[
            &[Create(0, 100)],
            &[Create(1, 5_000)],
            &[Create(2, 20_000)],
            &[Update(0, 9_000)],
            &[Update(2, 50)],
            &[Touch(1)],
            &[Create(3, 700), Create(4, 6_000), Update(1, 300), Delete(0), Touch(2)],
            &[CreateBrief(5, 3_000)],
            &[Create(5, 4_000)],
        ],
        &[
            &[CreateBrief(6, 2_000)],
            &[CreateBrief(7, 9_000)],
            &[Update(3, 5_000), Update(4, 30), Delete(1)],
            &[Purge],
            &[Create(0, 2_500)],
            &[Update(2, 12_000)],
        ],
        &[
            &[Update(2, 4_000)],
            &[Touch(3)],
            &[Delete(4)],
            &[CreateBrief(8, 600)],
            &[Create(8, 8_000)],
            &[Update(0, 10), Touch(5), Update(3, 100)],
        ],
        &[
            &[Create(9, 7_000)],
            &[CreateBrief(6, 100)],
            &[Update(9, 6_999), Update(0, 3_000), Delete(8)],
            &[Purge],
            &[Delete(9)],
        ],
    ]
};

const EARLY: i64 = 500_000;
pub(super) const NOW: i64 = 1_000_000;
const END: i64 = 2_000_000;
const DEADLINE: i64 = 9_000_000;

pub(super) fn verb(number: usize, plan: Plan, before: &State) -> Verb {
    let revision = |session: u8| before[&id(session)].revision;
    let with = |session, length, revision| record(number, session, length, revision, END);
    let create = |session, record, now| {
        (Call::Create { record, now: at(now) }, Vec::from([(id(session), None::<Record>)]))
    };
    let (call, changes) = match plan {
        Plan::Create(session, length) => create(session, with(session, length, first(number)), NOW),
        Plan::CreateBrief(session, length) => {
            create(session, record(number, session, length, first(number), NOW - 1), EARLY)
        }
        Plan::Update(session, length) => {
            let (expected, next) = (revision(session), revision(session).next(number as u32));
            let record = with(session, length, next);
            (Call::Update { expected, record }, Vec::from([(id(session), None)]))
        }
        Plan::Touch(session) => {
            let mut touched = before[&id(session)].clone();
            let expires_at = at(END + number as i64);
            touched.touch(expires_at, at(NOW));
            (Call::Touch { expires_at }, Vec::from([(id(session), Some(touched))]))
        }
        Plan::Delete(session) => (Call::Delete, Vec::from([(id(session), None)])),
        Plan::Purge => {
            let dead = before.iter().filter(|(_, record)| !record.is_live(at(NOW)));
            (Call::Purge, dead.map(|(id, _)| (*id, None)).collect())
        }
    };
    let stored = match &call {
        Call::Create { record, .. } | Call::Update { record, .. } => Some(record.clone()),
        _ => None,
    };
    let changes = changes.into_iter().map(|(id, record)| (id, record.or_else(|| stored.clone()))).collect();
    Verb { number, call, changes }
}

/// A record that no other verb writes, in any of its parts.
fn record(number: usize, session: u8, length: usize, revision: Revision, end: i64) -> Record {
    let mut data = format!("verb {number} on {session}, ").into_bytes().repeat(length / 12 + 1);
    data.truncate(length);
    Record::new(revision, at(EARLY + number as i64), at(end), at(DEADLINE))
        .with_principal(Principal::new(format!("user {}", session % 3)).ok())
        .with_meta(format!("meta {number}"))
        .with_data(data)
}

fn first(number: usize) -> Revision {
    Revision::first(number as u32)
}

pub(super) fn id(session: u8) -> SessionId {
    SessionId::from_bytes([session; 16])
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap_or(Timestamp::MAX)
}
