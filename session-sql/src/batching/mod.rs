//! Natural batching, for servers that are asked over a network: calls of a verb queue while that verb's statement is
//! under way, then go as one. Nobody waits for others to come, and a call that finds nothing under way goes at once,
//! alone.
//!
//! Here is what does not depend on the dialect: who waits for whom ([`Lane`]), what a failure of many means for each
//! ([`Batch`]), and where connections come in ([`serve`]). SQLite's group commit is something else: its threads
//! block, several verbs share a transaction, and one connection writes.

mod batch;
mod call;
mod lane;
mod serve;

pub(crate) use batch::{Batch, Fault, Remedy, Verb};
pub(crate) use call::Request;
pub(crate) use lane::{Lane, Limits};
pub(crate) use serve::{Connector, serve};

#[cfg(test)]
mod tests;
