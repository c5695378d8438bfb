//! Sessions through `SessionManager`, over every driver: groups D and T.

mod commit;
mod concurrency;
mod damage;
mod events;
mod generator;
mod janitor;
mod lifetime;
mod lost_replies;
mod privilege;
mod replay;
mod revocation;
mod rotation;
mod secrecy;
mod tokens;
mod values;
mod writes;

use crate::case::Case;

/// The cases that look at a driver from above.
pub(super) fn all() -> Vec<Case> {
    [
        tokens::CASES,
        rotation::CASES,
        generator::CASES,
        privilege::CASES,
        values::CASES,
        damage::CASES,
        writes::CASES,
        commit::CASES,
        replay::CASES,
        concurrency::CASES,
        lost_replies::CASES,
        lifetime::CASES,
        revocation::CASES,
        events::CASES,
        janitor::CASES,
        secrecy::CASES,
    ]
    .concat()
}
