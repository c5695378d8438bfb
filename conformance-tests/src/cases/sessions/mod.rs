//! Sessions through `SessionManager`, over every driver: groups D, Q and T.

mod cap;
mod commit;
mod concurrency;
mod damage;
mod events;
mod format;
mod generator;
mod janitor;
mod lifetime;
mod lost_replies;
mod overwrites;
mod privilege;
mod replay;
mod revocation;
mod rotation;
mod secrecy;
mod security;
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
        format::CASES,
        writes::CASES,
        commit::CASES,
        replay::CASES,
        overwrites::CASES,
        concurrency::CASES,
        lost_replies::CASES,
        lifetime::CASES,
        revocation::CASES,
        cap::CASES,
        events::CASES,
        security::CASES,
        janitor::CASES,
        secrecy::CASES,
    ]
    .concat()
}
