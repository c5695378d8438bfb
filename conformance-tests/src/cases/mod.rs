//! The registry. A group is a file; `all` is the order of lists and summaries.

mod cancellation;
mod clocks;
mod compare_and_set;
mod crud;
mod equivalence;
mod expiry;
mod hostile;
mod lifecycle;
mod linearizability;
mod list;
mod lost_answers;
mod network;
mod payload;
mod principal;
mod processes;
mod purge;
mod resurrection;
mod sessions;
mod slow;
mod unreadable;

use crate::case::Case;

/// Every case, of backends and of whatever stands on them. Those that start processes have broken
/// stores of their own, and those that drop verbs and break connections have broken clients: the other broken
/// backends live in the process of their test, and have no connection that could break.
pub(crate) fn all() -> Vec<Case> {
    [backend(), network(), processes(), sessions::all()].concat()
}

/// The cases about verbs that nobody waits for any more, and about networks.
pub(crate) fn network() -> Vec<Case> {
    [cancellation::CASES, network::CASES, lost_answers::CASES].concat()
}

/// The cases in which several processes use one store.
pub(crate) fn processes() -> Vec<Case> {
    processes::CASES.to_vec()
}

/// The cases that look at one backend through its own verbs: those that broken backends must fail.
pub(crate) fn backend() -> Vec<Case> {
    [
        crud::CASES,
        resurrection::CASES,
        compare_and_set::CASES,
        expiry::CASES,
        clocks::CASES,
        purge::CASES,
        principal::CASES,
        payload::CASES,
        list::CASES,
        lifecycle::CASES,
        hostile::CASES,
        unreadable::CASES,
        slow::CASES,
        linearizability::CASES,
        equivalence::CASES,
    ]
    .concat()
}

/// The one group that lets real time pass.
pub(crate) const SLOW: &str = "slow";
