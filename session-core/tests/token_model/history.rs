//! What DESIGN says of every secret that a session has had, kept beside the real bookkeeping: the
//! search holds the two against each other.

use crate::world::GRACE;

/// How a secret came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum By {
    Create,
    Privilege,
    Periodic,
}

#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) secret: u8,
    pub(crate) by: By,
    pub(crate) at: i64,
    /// When a request first opened the session with it.
    pub(crate) presented: Option<i64>,
    /// Whether the browser has been told.
    pub(crate) delivered: bool,
}

/// The secrets of one session, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(pub(crate) Vec<Issued>);

/// What opening with a secret must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    Live,
    Superseded,
    Replayed,
    Stranger,
}

const LISTED: usize = 4;

impl History {
    pub(crate) fn position(&self, secret: u8) -> Option<usize> {
        self.0.iter().position(|issued| issued.secret == secret)
    }

    pub(crate) fn is_current(&self, position: usize) -> bool {
        position + 1 == self.0.len()
    }

    pub(crate) fn is_listed(&self, position: usize) -> bool {
        self.0.len() - 1 - position <= LISTED
    }

    /// The first change of privilege since.
    pub(crate) fn killer(&self, position: usize) -> Option<&Issued> {
        self.0[position + 1..].iter().find(|later| later.by == By::Privilege)
    }

    pub(crate) fn successor_seen(&self, position: usize) -> Option<i64> {
        self.0[position + 1..].iter().filter_map(|later| later.presented).min()
    }

    fn death(&self, position: usize) -> Option<i64> {
        let window = self.successor_seen(position).map(|seen| seen + GRACE);
        let killed = self.killer(position).map(|killer| killer.at);
        window.into_iter().chain(killed).min()
    }

    pub(crate) fn class(&self, secret: u8, now: i64) -> Class {
        let Some(position) = self.position(secret) else { return Class::Stranger };
        if self.is_current(position) {
            return Class::Live;
        }
        if !self.is_listed(position) {
            return Class::Stranger;
        }
        match self.death(position) {
            None => Class::Live,
            Some(death) if now < death => Class::Live,
            Some(death) if now < death + GRACE => Class::Superseded,
            Some(_) if self.killer(position).is_some() => Class::Stranger,
            Some(_) => Class::Replayed,
        }
    }
}
