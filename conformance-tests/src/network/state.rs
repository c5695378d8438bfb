//! What the proxy does with bytes at present, and what it has done: one value that all its connections look at
//! before each piece that they pass on.

use std::collections::BTreeMap;
use std::time::Duration;

/// What becomes of bytes and connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Everything gets through.
    #[default]
    None,
    /// Nobody listens. Connections that are open are reset, as those of a server that was killed.
    Refuse,
    /// Connections are accepted and stay open; what is sent in either direction is swallowed.
    Blackhole,
    /// Requests get through; replies are swallowed.
    LoseReplies,
    /// Bytes in either direction wait for the next fault, which then decides about them.
    Hold,
    /// Each piece is passed on so much later.
    Delay(Duration),
    /// Bytes are passed on one by one.
    OneByte,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the driver to the server.
    Requests,
    /// From the server to the driver.
    Replies,
}

/// What the proxy has seen since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Connections that it has accepted.
    pub connections: u64,
    /// Bytes that it has passed to the server.
    pub requests: u64,
    /// Bytes that it has passed to the driver.
    pub replies: u64,
}

/// A fault that begins at a byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) way: Way,
    /// How many bytes get through before.
    pub(super) left: u64,
    pub(super) resets: bool,
    pub(super) fault: Fault,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) fault: Fault,
    pub(super) plan: Option<Plan>,
    /// Whether the fault, or the planned one, has met a byte.
    pub(super) has_struck: bool,
    /// Connections of an earlier era are reset.
    pub(super) era: u64,
    /// How many connections of each era are open.
    pub(super) open: BTreeMap<u64, usize>,
    pub(super) traffic: Traffic,
}

/// What to do with the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// So many are passed on, after a wait.
    Pass(usize, Duration),
    /// All are swallowed.
    Swallow,
    /// To wait for another fault.
    Wait,
    /// The connection is reset.
    Reset,
}

impl State {
    pub(super) fn begin(&mut self, fault: Fault, resets: bool) {
        self.fault = fault;
        if resets || fault == Fault::Refuse {
            self.era += 1;
        }
    }

    /// Whether connections of an earlier era are still open.
    pub(super) fn has_stragglers(&self) -> bool {
        self.open.range(..self.era).next().is_some()
    }

    /// What to do with `len` bytes, one at least, that a connection of `era` has got.
    pub(super) fn decide(&mut self, era: u64, way: Way, len: usize) -> Order {
        if let Some(plan) = self.plan.filter(|plan| plan.way == way && plan.left == 0 && era == self.era) {
            self.plan = None;
            self.begin(plan.fault, plan.resets);
            self.has_struck = true;
        }
        if era != self.era {
            return Order::Reset;
        }
        let order = match self.fault {
            Fault::None => Order::Pass(len, Duration::ZERO),
            Fault::Delay(delay) => Order::Pass(len, delay),
            Fault::OneByte => Order::Pass(1, Duration::ZERO),
            Fault::LoseReplies if way == Way::Requests => Order::Pass(len, Duration::ZERO),
            Fault::LoseReplies | Fault::Blackhole => Order::Swallow,
            Fault::Hold => Order::Wait,
            Fault::Refuse => Order::Reset,
        };
        let Order::Pass(mut len, delay) = order else {
            self.has_struck = true;
            return order;
        };
        if let Some(plan) = self.plan.as_mut().filter(|plan| plan.way == way) {
            len = len.min(usize::try_from(plan.left).unwrap_or(usize::MAX));
            plan.left -= len as u64;
        }
        *match way {
            Way::Requests => &mut self.traffic.requests,
            Way::Replies => &mut self.traffic.replies,
        } += len as u64;
        Order::Pass(len, delay)
    }
}
