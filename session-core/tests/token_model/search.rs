//! The search: every history of a scenario, breadth first, so that the shortest one that breaks a
//! rule is found.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use session_core::OnReplay;

use crate::rules;
use crate::state::{Op, State, Who};
use crate::step::{Broken, Stepper};
use crate::world::{GRACE, Records, Token, World};

/// Who may do what, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) ops: &'static [Op],
    pub(crate) thiefs_ops: &'static [Op],
    /// Whether the browser starts with a session that the thief has planted there, in place of one of
    /// its own that it is signed in to.
    pub(crate) planted: bool,
    pub(crate) thefts: u8,
    /// Whether the thief has copied the browser's first token.
    pub(crate) copied: bool,
    pub(crate) rotate_every: Option<i64>,
    pub(crate) on_replay: OnReplay,
    pub(crate) in_flight: usize,
    pub(crate) requests: u8,
    pub(crate) waits: u8,
    /// Whether a request takes time to reach the server.
    pub(crate) slow_requests: bool,
    /// Whether answers also arrive later than `grace`.
    pub(crate) late_answers: bool,
    /// Whether there is another session of the same person, to be revoked.
    pub(crate) sibling: bool,
    /// Graceful rotations before the search starts, and whether their answers arrived.
    pub(crate) rotations: Option<(u8, bool)>,
}

impl Scenario {
    pub(crate) const BASE: Self = Self {
        name: "",
        ops: &[],
        thiefs_ops: &[],
        planted: false,
        thefts: 0,
        copied: false,
        rotate_every: None,
        on_replay: OnReplay::Revoke,
        in_flight: 3,
        requests: 3,
        waits: 2,
        slow_requests: false,
        late_answers: false,
        sibling: false,
        rotations: None,
    };

    /// Whether nobody disturbs the browser and all its answers arrive within `grace`, or never: then it
    /// must never be worse off for a rotation.
    pub(crate) fn is_fair(&self) -> bool {
        !self.planted && !self.copied && self.thefts == 0 && !self.late_answers
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Who, Option<Token>, Op),
    Open(usize),
    Commit(usize),
    Deliver(usize),
    Lose(usize),
    Wait(i64),
    Steal,
    Expire,
}

/// How far a search went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// Whether there was no history left.
    pub(crate) is_whole: bool,
}

/// Searches a scenario to its end, or as far as the everyday run has time for.
///
/// # Panics
///
/// With the shortest history that breaks a rule.
pub(crate) fn search(scenario: &Scenario) -> Explored {
    let mut scenario = scenario.clone();
    scenario.requests += u8::try_from(setting("TOKEN_MODEL_REQUESTS", 0)).expect("a few requests");
    let most = setting("TOKEN_MODEL_STATES", 10_000);
    let world = World::new(scenario.rotate_every, scenario.on_replay);
    let stepper = Stepper { world: &world, scenario: &scenario };
    let longest = scenario.rotate_every.unwrap_or(0).max(2 * GRACE);
    let first = stepper.start();
    let mut seen = HashSet::from([first.key(&world, longest)]);
    let mut trail: Vec<(usize, Action)> = vec![(0, Action::Wait(0))];
    let mut queue = VecDeque::from([(0, first.clone())]);
    let mut steps = 0;
    while let Some((index, state)) = queue.pop_front().filter(|_| seen.len() < most) {
        for action in stepper.actions(&state) {
            steps += 1;
            let mut next = state.clone();
            let taken = stepper.take(&mut next, action);
            let is_new = taken.is_ok() && seen.insert(next.key(&world, longest));
            if taken.is_ok() && !is_new {
                continue;
            }
            trail.push((index, action));
            if let Err(Broken(rule)) = taken.and_then(|()| rules::of_every_state(&stepper, &next)) {
                let history = tell(&stepper, &first, &trail);
                panic!("{}: after {steps} steps: {rule}\n{history}", scenario.name);
            }
            queue.push_back((trail.len() - 1, next));
        }
    }
    Explored { states: seen.len(), steps, is_whole: seen.len() < most }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The history that ends with the last of the trail, a line for each step.
fn tell(stepper: &Stepper<'_>, first: &State, trail: &[(usize, Action)]) -> String {
    let mut actions = Vec::new();
    let mut index = trail.len() - 1;
    while index > 0 {
        actions.push(trail[index].1);
        index = trail[index].0;
    }
    let mut state = first.clone();
    let mut lines = vec![format!("  starts with {}", stepper.describe(&state))];
    for action in actions.into_iter().rev() {
        let what = match action {
            Action::Open(index) | Action::Commit(index) | Action::Deliver(index) | Action::Lose(index) => {
                let request = &state.requests[index];
                format!("{action:?}: {:?} {:?} {:?}", request.who, request.op, request.token)
            }
            _ => format!("{action:?}"),
        };
        let outcome = stepper.take(&mut state, action);
        let outcome = outcome.map_or_else(|Broken(rule)| format!("broken: {rule}"), |()| String::new());
        lines.push(format!("  {what} -> {} {outcome}", stepper.describe(&state)));
    }
    lines.join("\n")
}

pub(crate) fn empty_state(scenario: &Scenario) -> State {
    State {
        records: Records::new(),
        now: 0,
        next: 0,
        jar: None,
        loot: BTreeSet::new(),
        requests: Vec::new(),
        histories: BTreeMap::new(),
        ended: BTreeSet::new(),
        requests_left: scenario.requests,
        thefts_left: scenario.thefts,
        waits_left: scenario.waits,
    }
}
