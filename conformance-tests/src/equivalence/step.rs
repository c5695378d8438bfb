//! The steps of a random program, and how often each kind of them comes.

use proptest::prelude::*;

/// One step. Everything in it is relative: to the clock, to the session's record, to revisions it had.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// How many minutes pass before it.
    pub(crate) pause: u16,
    pub(crate) session: usize,
    pub(crate) at: At,
    pub(crate) act: Act,
}

/// Which `now` the caller passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Clock,
    /// As long before the clock; for a caller whose clock is behind.
    Behind {
        minutes: u16,
    },
    /// This many milliseconds after the session's record dies; before, if negative.
    Death {
        offset: i8,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create(Content),
    Load,
    LoadLatest,
    Update { expected: Expected, content: Content },
    Touch { life: Life },
    Delete { expected: Option<Expected> },
    Purge,
    List { principal: Option<u8>, limit: usize },
}

/// A revision, seen from the one that the session has, or had last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Current,
    /// One that the session had so many writes ago, in this life or an earlier one.
    Earlier {
        writes: usize,
    },
    /// Another random part: the lowest bit differs.
    OtherRandomPart,
    /// Another sequence: the next one.
    OtherSequence,
}

/// What a record holds beside its revision.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) principal: Option<u8>,
    pub(crate) life: Life,
    pub(crate) meta: u8,
    pub(crate) data: u8,
    /// A first revision beyond what a double holds exactly.
    pub(crate) high_revision: bool,
    pub(crate) random: u32,
}

/// How long from `now`, in milliseconds; the deadline is `more` away from the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) millis: i64,
    pub(crate) more: i64,
}

/// Which verbs a driver has beside the five.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verbs {
    pub(crate) list: bool,
    pub(crate) purge: bool,
}

/// A step on one of so many sessions.
pub(crate) fn step(sessions: usize, verbs: Verbs) -> impl Strategy<Value = Step> + Clone {
    let pause = prop_oneof![24 => Just(0_u16), 4 => 1..5_u16, 1 => 30..120_u16];
    (pause, 0..sessions, at(), act(verbs)).prop_map(|(pause, session, at, act)| Step {
        pause,
        session,
        at,
        act,
    })
}

fn at() -> impl Strategy<Value = At> + Clone {
    prop_oneof![
        12 => Just(At::Clock),
        2 => (-1..=1_i8).prop_map(|offset| At::Death { offset }),
        2 => (1..120_u16).prop_map(|minutes| At::Behind { minutes }),
    ]
}

fn act(verbs: Verbs) -> impl Strategy<Value = Act> + Clone {
    let update = (expected(), content()).prop_map(|(expected, content)| Act::Update { expected, content });
    let delete = proptest::option::weighted(0.6, expected()).prop_map(|expected| Act::Delete { expected });
    let list = (proptest::option::of(0..PRINCIPALS), prop_oneof![1..4_usize, Just(100)])
        .prop_map(|(principal, limit)| Act::List { principal, limit });
    let (list_weight, purge_weight) = (u32::from(verbs.list) * 4, u32::from(verbs.purge) * 2);
    prop_oneof![
        12 => content().prop_map(Act::Create),
        8 => Just(Act::Load),
        2 => Just(Act::LoadLatest),
        14 => update,
        8 => life().prop_map(|life| Act::Touch { life }),
        6 => delete,
        list_weight => list,
        purge_weight => Just(Act::Purge),
    ]
}

/// Names of principals are numbers here; [`World`](super::World) knows what they are called.
const PRINCIPALS: u8 = 3;

fn expected() -> impl Strategy<Value = Expected> + Clone {
    prop_oneof![
        8 => Just(Expected::Current),
        3 => (1..4_usize).prop_map(|writes| Expected::Earlier { writes }),
        2 => Just(Expected::OtherRandomPart),
        2 => Just(Expected::OtherSequence),
    ]
}

fn content() -> impl Strategy<Value = Content> + Clone {
    let principal = proptest::option::weighted(0.7, 0..PRINCIPALS);
    (principal, life(), 1..20_u8, 0..60_u8, proptest::bool::weighted(0.5), any::<u32>()).prop_map(
        |(principal, life, meta, data, high_revision, random)| Content {
            principal,
            life,
            meta,
            data,
            high_revision,
            random,
        },
    )
}

fn life() -> impl Strategy<Value = Life> + Clone {
    const MINUTE: i64 = 60_000;
    let millis = prop_oneof![12 => MINUTE..120 * MINUTE, 1 => -MINUTE..=0];
    let more = prop_oneof![2 => 0..120 * MINUTE, 1 => Just(0)];
    (millis, more).prop_map(|(millis, more)| Life { millis, more })
}
