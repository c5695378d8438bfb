//! Whether a history is linearizable: Wing and Gong's search, with Lowe's memory of what was tried.

use std::collections::HashMap;

use super::history::Event;
use super::model::Model;

/// Whether the calls can be put in an order that explains all their answers, starting with nothing stored,
/// in which each call comes somewhere between its beginning and its answer. A call that was not answered may
/// have taken effect at any time since its beginning, or not at all.
///
/// # Panics
///
/// With more than 64 calls: sets of them are bits of one number.
pub(crate) fn is_linearizable(events: &[Event]) -> bool {
    Search::new(events).explains(0, &Model::default(), &mut |_| true)
}

/// Whether every order that explains the answers ends with nothing stored, live or dead, and there is one.
///
/// # Panics
///
/// As [`is_linearizable`].
pub(crate) fn surely_ends_empty(events: &[Event]) -> bool {
    let mut orders = 0;
    let leaves_something = Search::new(events).explains(0, &Model::default(), &mut |model| {
        orders += 1;
        *model != Model::default()
    });
    orders > 0 && !leaves_something
}

type Set = u64;

fn bit(index: usize) -> Set {
    1 << index
}

struct Search<'a> {
    events: &'a [Event],
    /// The calls that were answered: each of them must have its place in the order.
    goal: Set,
    /// Where the search has been. One set of calls may leave different models behind, depending on the order:
    /// an update and a touch do.
    tried: HashMap<Set, Vec<Model>>,
}

impl<'a> Search<'a> {
    fn new(events: &'a [Event]) -> Self {
        assert!(events.len() <= Set::BITS as usize, "{} calls are too many for one history", events.len());
        let answered = events.iter().enumerate().filter(|(_, event)| event.answer.is_some());
        let goal = answered.fold(0, |goal, (index, _)| goal | bit(index));
        Self { events, goal, tried: HashMap::new() }
    }

    /// Whether what is not in `done` can follow, when `done` has led to `model`, and lead to an end that is
    /// `accepted`.
    fn explains(&mut self, done: Set, model: &Model, accepted: &mut impl FnMut(&Model) -> bool) -> bool {
        let tried = self.tried.entry(done).or_default();
        if tried.contains(model) {
            return false;
        }
        tried.push(model.clone());
        if done & self.goal == self.goal {
            return accepted(model);
        }
        let events = self.events;
        let open = || events.iter().enumerate().filter(|(index, _)| done & bit(*index) == 0);
        // Whatever began after another call was answered comes after that call.
        let first_answer = open().map(|(_, event)| event.returned).min().unwrap_or(u64::MAX);
        for (index, event) in open().filter(|(_, event)| event.invoked < first_answer) {
            let mut next = model.clone();
            let answer = next.apply(&event.call);
            let fits = event.answer.as_ref().is_none_or(|actual| *actual == answer);
            if fits && self.explains(done | bit(index), &next, accepted) {
                return true;
            }
        }
        false
    }
}
