//! Housekeeping beside the requests, never inside one: see [`Janitor`].

use std::sync::Weak;
use std::time::Duration;

use crate::manager::{Inner, Pages};
use crate::meta::Meta;
use crate::{DeleteOutcome, ErrorKind, Record, Result, Revision, SessionId, SessionManager, Timestamp};

/// Removes sessions that nobody will use again, in rounds.
///
/// Expired sessions are dead whether or not they are removed: a janitor frees the space. Any number of
/// nodes may each run one. It purges what expired more than
/// [`max_clock_skew`](crate::SessionManagerBuilder::max_clock_skew) ago, so a node whose clock is fast removes
/// nobody's live session. It survives every error, and logs it.
///
/// [`SessionManagerBuilder::janitor`](crate::SessionManagerBuilder::janitor) runs one for as long as the
/// manager lives; [`run_once`](Self::run_once) is for cron jobs.
#[derive(Clone, Debug)]
pub struct Janitor {
    interval: Duration,
    batch: usize,
    pause: Duration,
    empty_after: Option<Duration>,
    max_sessions: Option<usize>,
}

/// What one round has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sweep {
    /// Sessions that had expired.
    pub expired: u64,
    /// Live sessions without values and without a principal.
    pub empty: u64,
    /// Live sessions over the limit, those that would have expired next.
    pub surplus: u64,
}

impl Default for Janitor {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            batch: 500,
            pause: Duration::from_millis(50),
            empty_after: None,
            max_sessions: None,
        }
    }
}

impl Janitor {
    /// A janitor that removes what has expired, about every 5 minutes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time between two rounds. Default: 5 minutes; at most a day. Each pause is between half and one and a half
    /// times as long, so that the nodes do not march in step.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.min(Duration::from_secs(24 * 3600));
        self
    }

    /// How many sessions one statement may remove. Default: 500. A large batch holds up writers for longer.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// How long to let others work between two batches. Default: 50 ms.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Also removes live sessions that hold no value and nobody, and that nobody has used for this long.
    /// Default: off. Costs a walk over all sessions each round.
    #[must_use]
    pub fn with_empty_after(mut self, age: Duration) -> Self {
        self.empty_after = Some(age);
        self
    }

    /// Also removes live sessions over this number, those that would expire next. Default: no limit.
    /// Costs a walk over all sessions each round, and 32 bytes for each.
    ///
    /// Holds after each round, not between two. A session that is written meanwhile stays.
    #[must_use]
    pub fn with_max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// One round, now.
    ///
    /// # Errors
    ///
    /// Those of the store; what was removed by then stays removed. A store that expires sessions by itself,
    /// or cannot purge, is no error; one that cannot list is, if a rule needs it.
    pub async fn run_once(&self, sessions: &SessionManager) -> Result<Sweep> {
        let mut sweep = Sweep { expired: self.purge(sessions).await?, ..Sweep::default() };
        if self.empty_after.is_some() || self.max_sessions.is_some() {
            self.walk(sessions, &mut sweep).await?;
        }
        Ok(sweep)
    }

    async fn purge(&self, sessions: &SessionManager) -> Result<u64> {
        let mut removed = 0;
        loop {
            match sessions.purge_expired(self.batch).await {
                Ok(purged) => {
                    removed += purged.removed;
                    if !purged.more {
                        return Ok(removed);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(removed),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn walk(&self, sessions: &SessionManager, sweep: &mut Sweep) -> Result<()> {
        let mut live = Vec::new();
        let mut pages = Pages::of(sessions, None);
        while let Some(page) = pages.advance().await? {
            for (id, record) in page {
                if self.is_forgotten(&record, sessions.now()) && remove(sessions, id, record.revision).await?
                {
                    sweep.empty += 1;
                } else if self.max_sessions.is_some() {
                    live.push((record.expires_at, id, record.revision));
                }
            }
            tokio::time::sleep(self.pause).await;
        }
        // A session that was listed twice counts once.
        live.sort_unstable_by_key(|(_, id, _)| *id);
        live.dedup_by_key(|(_, id, _)| *id);
        let surplus = self.max_sessions.map_or(0, |most| live.len().saturating_sub(most));
        if surplus > 0 {
            live.select_nth_unstable(surplus - 1);
        }
        for (_, id, revision) in live.into_iter().take(surplus) {
            sweep.surplus += u64::from(remove(sessions, id, revision).await?);
        }
        Ok(())
    }

    /// Whether a session holds nothing and nobody, and has not been used for a while.
    fn is_forgotten(&self, record: &Record, now: Timestamp) -> bool {
        self.empty_after.is_some_and(|age| {
            record.principal.is_none()
                && now.saturating_duration_since(record.touched_at) >= age
                && is_empty(record).unwrap_or(false)
        })
    }

    /// Runs rounds until the last manager is gone.
    pub(crate) async fn run(self, sessions: Weak<Inner>) {
        loop {
            tokio::time::sleep(self.interval.mul_f64(rand::random::<f64>() + 0.5)).await;
            // Held for the round only, so that the last manager of the application is the last.
            let Some(sessions) = sessions.upgrade().map(SessionManager::from_shared) else { return };
            match self.run_once(&sessions).await {
                Ok(sweep) => tracing::debug!(?sweep, "swept the sessions"),
                Err(error) => tracing::warn!(%error, "could not sweep the sessions"),
            }
        }
    }
}

fn is_empty(record: &Record) -> Result<bool> {
    Ok(Meta::decode(&record.meta)?.codec.read(record.data.clone())?.is_empty())
}

/// Removes a session if nobody has written it since it was listed: somebody may have signed in.
async fn remove(sessions: &SessionManager, id: SessionId, revision: Revision) -> Result<bool> {
    let outcome = sessions.store().delete(id, Some(revision), sessions.now()).await?;
    Ok(outcome == DeleteOutcome::Deleted)
}
