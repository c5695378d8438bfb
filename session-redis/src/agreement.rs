//! What the nodes of a cluster say about who serves what, where they disagree.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::connection::{Failure, Limits};
use crate::peers::Answers;
use crate::slots::Layout;
use crate::source::{Access, Address};

/// The layout that more than half of the nodes name, else the one that most of those name who answer at about the
/// same time. Not simply the first: a master that was cut off from the others, or has no slots any more, still
/// names itself, and the nearest node always answers first.
pub(crate) async fn most_named(
    nodes: Vec<(Access, Address)>,
    limits: Limits,
    failure: &mut Option<Failure>,
) -> Option<Layout> {
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let half = nodes.len() / 2;
    // Half of the time is left for other nodes.
    let mut answers = Answers::ask(nodes, &question, Limits { connect: limits.connect / 2, ..limits });
    let mut named: Vec<(Layout, usize)> = Vec::new();
    let mut deadline = None;
    loop {
        let answer = match deadline {
            None => answers.next().await,
            Some(deadline) => timeout_at(deadline, answers.next()).await.unwrap_or_default(),
        };
        let Some((address, answer)) = answer else { break };
        match answer.map(|reply| Layout::parse(reply, &address)) {
            Ok(Some(layout)) => {
                deadline.get_or_insert_with(|| Instant::now() + AGREEMENT);
                let count = match named.iter_mut().find(|(known, _)| known.fingerprint == layout.fingerprint)
                {
                    Some((_, count)) => {
                        *count += 1;
                        *count
                    }
                    None => {
                        named.push((layout, 1));
                        1
                    }
                };
                if count > half {
                    break;
                }
            }
            Ok(None) => {}
            Err(error) => *failure = failure.take().or(Some(error.into())),
        }
    }
    // Of several with as many names, that which came first.
    named.into_iter().rev().max_by_key(|(_, count)| *count).map(|(layout, _)| layout)
}

/// How long others are waited for once one has answered.
const AGREEMENT: Duration = Duration::from_millis(250);
