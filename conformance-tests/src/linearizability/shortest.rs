//! Makes a history that no order explains as short as can be, without accusing anybody of what it cut away.

use super::call::Verb;
use super::checker::{is_linearizable, surely_ends_empty};
use super::history::Event;

/// The shortest part of a history that is not linearizable and proves that the whole is not.
///
/// Three cuts are allowed, because they leave a linearizable history linearizable. The end goes: calls that
/// had begun by then stay, without answer. The beginning goes, up to a moment when nothing ran and surely
/// nothing was stored. And whatever its own answer says has changed nothing goes. A call that did change
/// something stays: without the delete, a load that finds nothing would look like the mistake.
pub(crate) fn shortest(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| event.invoked);
    let mut answers: Vec<_> = events.iter().filter(|event| event.answer.is_some()).collect();
    answers.sort_by_key(|event| event.returned);
    let ends: Vec<_> = answers.iter().map(|event| event.returned).collect();
    let fine = ends.partition_point(|end| is_linearizable(&until(&events, *end)));
    let Some(end) = ends.get(fine) else { return events };
    let mut events = until(&events, *end);
    events.drain(..earlier_lives(&events));
    let mut index = 0;
    while let Some(event) = events.get(index) {
        if event.answer.as_ref().is_some_and(|answer| !answer.changes_nothing()) {
            index += 1;
            continue;
        }
        let removed = events.remove(index);
        // Without an answer, only a load has surely changed nothing.
        let may_go = removed.answer.is_some() || matches!(removed.call.verb, Verb::Load | Verb::LoadLatest);
        if !may_go || is_linearizable(&events) {
            events.insert(index, removed);
            index += 1;
        }
    }
    events
}

/// How many calls at the beginning are over and have left nothing behind.
fn earlier_lives(events: &[Event]) -> usize {
    let is_over = |cut: &usize| {
        let (before, after) = events.split_at(*cut);
        let done = before.iter().map(|event| event.returned).max();
        done < after.iter().map(|event| event.invoked).min() && surely_ends_empty(before)
    };
    (1..events.len()).rev().find(is_over).unwrap_or(0)
}

/// What had begun by `end`; what was answered later is not answered yet.
fn until(events: &[Event], end: u64) -> Vec<Event> {
    let begun = events.iter().filter(|event| event.invoked < end);
    begun.map(|event| if event.returned <= end { event.clone() } else { event.pending() }).collect()
}
