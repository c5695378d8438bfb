//! A case: a name, the sentence of the contract that it checks, what it needs, and its body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::check::CaseResult;
use crate::context::Context;
use crate::harness::Promises;

/// One rule of the contract, ready to run on any driver, or on any other subject with a [`Ground`].
pub(crate) struct Case<G = Context> {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(G) -> CaseFuture,
}

pub(crate) type CaseFuture = Pin<Box<dyn Future<Output = CaseResult> + Send>>;

impl<G> Clone for Case<G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for Case<G> {}

impl<G> Case<G> {
    /// `group::name`, as lists and matrices have it.
    pub(crate) fn full_name(&self) -> String {
        format!("{}::{}", self.group, self.name)
    }

    /// Why the case cannot pass on a driver with these promises.
    pub(crate) fn unmet_need(&self, promises: &Promises) -> Option<&'static str> {
        self.needs.iter().find(|need| !need.is_met(promises)).map(|need| need.unmet())
    }

    /// Whether `reason` is that one of the case's needs is not met.
    pub(crate) fn is_need(&self, reason: &str) -> bool {
        self.needs.iter().any(|need| need.unmet() == reason)
    }
}

impl<G> fmt::Debug for Case<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}

/// What a case needs of a driver beyond the five verbs. Declared here, so that no body ever decides by
/// itself to do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `list` works.
    List,
    /// `purge_expired` works, be it by doing nothing.
    Purge,
    /// `purge_expired` removes what is dead.
    Removal,
    /// `data` of 1 MiB.
    Mebibyte,
    /// `Harness::damage` works.
    Damage,
    /// `Harness::scan` works.
    Scan,
    /// The store removes records by itself, and the harness can look at that.
    OwnExpiry,
    /// `data` has a limit.
    Limit,
    /// `Harness::second_handle` works.
    SharedHandles,
    /// `Harness::process` works.
    Processes,
    /// What was acknowledged stays.
    Durable,
    /// The store is a server, and `Harness::open_through` works.
    Network,
}

impl Need {
    fn is_met(self, promises: &Promises) -> bool {
        match self {
            Self::List => promises.list,
            Self::Purge => promises.purge,
            Self::Removal => promises.purge && !promises.native_expiry,
            Self::Mebibyte => promises.max_payload.is_none_or(|bytes| bytes >= 1 << 20),
            Self::Damage => promises.damage,
            Self::Scan => promises.scan,
            Self::OwnExpiry => promises.expiry_slack.is_some(),
            Self::Limit => promises.max_payload.is_some(),
            Self::SharedHandles => promises.shared,
            Self::Processes => promises.processes,
            Self::Durable => promises.durable,
            Self::Network => promises.network,
        }
    }

    fn unmet(self) -> &'static str {
        match self {
            Self::List => "the driver has no list",
            Self::Purge => "the driver has no purge_expired",
            Self::Removal => "purge_expired removes nothing by itself",
            Self::Mebibyte => "the driver does not take 1 MiB",
            Self::Damage => "the harness has no way to damage a record",
            Self::Scan => "the harness has no way to look at what is stored",
            Self::OwnExpiry => "the store removes nothing by itself",
            Self::Limit => "the driver sets no limit to data",
            Self::SharedHandles => "handles do not share their sessions",
            Self::Processes => "the harness starts no other process",
            Self::Durable => "nothing outlives its process",
            Self::Network => "there is no server",
        }
    }
}

/// A [`Case`] out of an `async fn` of this name, with the sentence that it checks and its needs.
macro_rules! case {
    ($group:literal, $body:ident, $sentence:literal $(, $need:ident)* $(,)?) => {
        $crate::case::case!($group, stringify!($body) => $body, $sentence $(, $need)*)
    };
    ($group:literal, $name:expr => $body:ident, $sentence:literal $(, $need:ident)* $(,)?) => {
        $crate::case::Case {
            group: $group,
            name: $name,
            sentence: $sentence,
            needs: &[$($crate::case::Need::$need),*],
            run: |context| Box::pin($body(context)),
        }
    };
}
pub(crate) use case;
