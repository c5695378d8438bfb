//! Histories of verbs that ran at once, and the question whether some order of them, one after the other,
//! explains every answer. Linearizability is what the contract promises for verbs on one id.
//!
//! [`Model`] says what a verb answers when nothing else runs. It follows the table of the contract and
//! shares no code with any driver, so that a mistake cannot hide in both.

mod call;
mod checker;
mod client;
mod history;
mod model;
mod shortest;
mod tally;

#[cfg(test)]
mod tests;

pub(crate) use self::call::{Answer, Call, Verb};
pub(crate) use self::checker::is_linearizable;
pub(crate) use self::client::{Loads, record_history};
pub(crate) use self::history::History;
pub(crate) use self::model::Model;
pub(crate) use self::shortest::shortest;
pub(crate) use self::tally::Tally;
