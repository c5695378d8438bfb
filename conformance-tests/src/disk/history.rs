//! The verbs that a recorded process calls, and which states of the store may follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use session_core::{
    CreateOutcome, DeleteOutcome, Durability, Error, ErrorKind, Record, Result, Revision, SessionBackend,
    SessionId, Timestamp, UpdateOutcome,
};
use tokio::task::JoinSet;

use super::control::Control;
use super::plan::{NOW, PLAN, Plan, at, id, verb};

/// What a store holds: every record, dead ones too.
pub type State = BTreeMap<SessionId, Record>;

/// Every verb, one after another and several at a time: the same in the process that calls them and in the test
/// that judges what is left.
#[derive(Debug)]
pub struct History {
    verbs: Vec<Verb>,
    rounds: Vec<Range<usize>>,
    /// Of rounds.
    parts: Vec<Range<usize>>,
    /// Before each round, and after the last.
    states: Vec<State>,
}

/// A call, with what it changes.
#[derive(Clone, Debug)]
pub(super) struct Verb {
    pub(super) number: usize,
    pub(super) call: Call,
    pub(super) changes: BTreeMap<SessionId, Option<Record>>,
}

#[derive(Clone, Debug)]
pub(super) enum Call {
    Create { record: Record, now: Timestamp },
    Update { expected: Revision, record: Record },
    Touch { expires_at: Timestamp },
    Delete,
    Purge,
}

impl History {
    /// Create, create over an expired record, update, touch, delete and purge, records that grow and shrink.
    #[must_use]
    pub fn of_every_verb() -> Self {
        let mut history =
            Self { verbs: Vec::new(), rounds: Vec::new(), parts: Vec::new(), states: vec![State::new()] };
        for part in PLAN {
            let start = history.rounds.len();
            part.iter().for_each(|round| history.add(round));
            history.parts.push(start..history.rounds.len());
        }
        history
    }

    fn add(&mut self, round: &[Plan]) {
        let (start, before) = (self.verbs.len(), self.states[self.rounds.len()].clone());
        let mut after = before.clone();
        for plan in round {
            let verb = verb(self.verbs.len(), *plan, &before);
            for (id, record) in &verb.changes {
                match record {
                    Some(record) => after.insert(*id, record.clone()),
                    None => after.remove(id),
                };
            }
            self.verbs.push(verb);
        }
        self.rounds.push(start..self.verbs.len());
        self.states.push(after);
    }

    /// How many parts it has. Between them the process may close its store, or have it tidy up.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Calls the verbs of a part, and marks when each begins and when it is acknowledged.
    ///
    /// # Errors
    ///
    /// Those of the verbs; [`Internal`](ErrorKind::Internal) if one has another outcome than it must have on a store
    /// that keeps the contract.
    pub async fn play(
        &self,
        part: usize,
        backend: &Arc<dyn SessionBackend>,
        control: &Arc<Mutex<Control>>,
    ) -> Result<()> {
        let mark = |control: &Mutex<Control>, text: String| {
            let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
            control.mark(&text).map_err(|error| Error::new(ErrorKind::Internal, error))
        };
        for round in &self.rounds[self.parts[part].clone()] {
            let mut tasks = JoinSet::new();
            for verb in &self.verbs[round.clone()] {
                mark(control, format!("{BEGUN}{}", verb.number))?;
                let (verb, backend, control) = (verb.clone(), backend.clone(), control.clone());
                tasks.spawn(async move {
                    verb.call(&*backend).await?;
                    mark(&control, format!("{ACKNOWLEDGED}{}", verb.number))
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.map_err(|error| Error::new(ErrorKind::Internal, error))??;
            }
        }
        Ok(())
    }

    /// Reads what is stored, dead records too.
    ///
    /// # Errors
    ///
    /// Those of the verbs; [`Corrupt`](ErrorKind::Corrupt) if loads and a list differ.
    pub async fn find(&self, backend: &dyn SessionBackend) -> Result<State> {
        let mut state = State::new();
        let sessions: BTreeSet<_> = self.verbs.iter().flat_map(|verb| verb.changes.keys()).collect();
        for session in sessions {
            // At the beginning of time nothing has expired.
            if let Some(record) = backend.load(*session, Timestamp::MIN).await? {
                state.insert(*session, record);
            }
        }
        match listed(backend).await {
            Ok(listed) if listed == state => Ok(state),
            Ok(_) => Err(Error::describe(ErrorKind::Corrupt, "a list shows other records than loads")),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(state),
            Err(error) => Err(error),
        }
    }

    /// Whether a store that promises `durability` may hold `found` after a power cut at this point: with
    /// [`PowerLoss`](Durability::PowerLoss) all that was acknowledged; with less, what the verbs up to some
    /// moment have made. In both, each verb as a whole or not at all.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn judge(
        &self,
        progress: &Progress,
        durability: Durability,
        found: &State,
    ) -> std::result::Result<(), String> {
        let current = self.current(progress);
        if durability == Durability::PowerLoss {
            return self.follows(current, progress, true, found);
        }
        if (0..=current).any(|round| self.follows(round, progress, false, found).is_ok()) {
            return Ok(());
        }
        let shown: Vec<_> = found.iter().map(|(id, record)| shown(*id, Some(record))).collect();
        Err(format!("no beginning of the history leads to this: {}", shown.join("; ")))
    }

    /// As [`judge`](Self::judge), for a store that keeps each session in a file of its own: what a power cut leaves of
    /// one says nothing about another. With less than [`PowerLoss`](Durability::PowerLoss) each is as some verb
    /// has left it, or lost; a purge may stop half-way.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn judge_each(
        &self,
        progress: &Progress,
        durability: Durability,
        found: &State,
    ) -> std::result::Result<(), String> {
        let current = self.current(progress);
        let sessions = self.states.iter().flat_map(State::keys).chain(found.keys());
        for id in sessions.collect::<BTreeSet<_>>() {
            let (first, mut is_settled) =
                (if durability == Durability::PowerLoss { current } else { 0 }, false);
            let mut allowed: Vec<_> =
                self.states[first..=current].iter().map(|state| state.get(id)).collect();
            for verb in self.rounds.get(current).map_or(&[][..], |round| &self.verbs[round.clone()]) {
                let Some(after) = verb.changes.get(id) else { continue };
                if progress.begun.contains(&verb.number) {
                    allowed.push(after.as_ref());
                    is_settled = progress.acknowledged.contains(&verb.number);
                }
            }
            if is_settled && durability == Durability::PowerLoss {
                allowed.drain(..allowed.len() - 1);
            }
            if !allowed.contains(&found.get(id)) {
                let allowed: Vec<_> = allowed.iter().map(|record| shown(*id, *record)).collect();
                return Err(format!("{}, and allowed is: {}", shown(*id, found.get(id)), allowed.join("; ")));
            }
        }
        Ok(())
    }

    /// The round that is not over yet.
    fn current(&self, progress: &Progress) -> usize {
        let is_over = |round: &Range<usize>| round.clone().all(|verb| progress.acknowledged.contains(&verb));
        self.rounds.iter().take_while(|round| is_over(round)).count()
    }

    /// The names of the verbs that have begun and were not acknowledged.
    pub(super) fn under_way(&self, progress: &Progress) -> impl Iterator<Item = &'static str> {
        progress.begun.difference(&progress.acknowledged).map(|number| self.verbs[*number].call.name())
    }

    /// Whether `found` is what there was before a round, and some of the round's verbs.
    fn follows(
        &self,
        round: usize,
        progress: &Progress,
        keeps_acknowledged: bool,
        found: &State,
    ) -> std::result::Result<(), String> {
        let before = &self.states[round];
        let verbs = self.rounds.get(round).map_or(&[][..], |round| &self.verbs[round.clone()]);
        let mut rest: BTreeSet<&SessionId> = before.keys().chain(found.keys()).collect();
        for verb in verbs.iter().filter(|verb| progress.begun.contains(&verb.number)) {
            let mut all_after = true;
            let mut all_before = true;
            for (id, after) in &verb.changes {
                rest.remove(id);
                all_after &= found.get(id) == after.as_ref();
                all_before &= found.get(id) == before.get(id);
            }
            let is_acknowledged = progress.acknowledged.contains(&verb.number);
            if all_before && is_acknowledged && keeps_acknowledged {
                return Err(format!("{verb} was acknowledged, and has not happened"));
            }
            if !all_after && !all_before {
                let shown: Vec<_> = verb.changes.keys().map(|id| shown(*id, found.get(id))).collect();
                return Err(format!("{verb} has happened in part: {}", shown.join("; ")));
            }
        }
        for id in rest {
            if found.get(id) != before.get(id) {
                let (found, before) = (shown(*id, found.get(id)), shown(*id, before.get(id)));
                return Err(format!("{found}, and it should be {before}"));
            }
        }
        Ok(())
    }
}

async fn listed(backend: &dyn SessionBackend) -> Result<State> {
    let mut state = State::new();
    let mut after = None;
    loop {
        let page = backend.list(None, after, 1_000, Timestamp::MIN).await?;
        state.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return Ok(state);
        }
    }
}

const BEGUN: &str = "begun ";
const ACKNOWLEDGED: &str = "acknowledged ";

/// How far a process has come with its history, by its marks.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    begun: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
}

impl Progress {
    /// Takes in a mark; others than those of [`History::play`] mean nothing.
    pub fn note(&mut self, mark: &str) {
        for (prefix, numbers) in [(BEGUN, &mut self.begun), (ACKNOWLEDGED, &mut self.acknowledged)] {
            numbers.extend(mark.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok()));
        }
    }

    /// How many verbs were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }
}

impl Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Touch { .. } => "touch",
            Self::Delete => "delete",
            Self::Purge => "purge",
        }
    }
}

impl Verb {
    async fn call(&self, backend: &dyn SessionBackend) -> Result<()> {
        let now = at(NOW);
        let id = self.changes.keys().next().copied().unwrap_or_else(|| id(u8::MAX));
        let is_as_expected = match &self.call {
            Call::Create { record, now } => {
                backend.create(id, record.clone(), *now).await? == CreateOutcome::Created
            }
            Call::Update { expected, record } => {
                backend.update(id, *expected, record.clone(), now).await? == UpdateOutcome::Updated
            }
            Call::Touch { expires_at } => backend.touch(id, *expires_at, now).await?,
            Call::Delete => backend.delete(id, None, now).await? == DeleteOutcome::Deleted,
            Call::Purge => backend.purge_expired(now, usize::MAX).await?.removed == self.changes.len() as u64,
        };
        if is_as_expected {
            Ok(())
        } else {
            Err(Error::describe(ErrorKind::Internal, format!("{self} had another outcome")))
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions: Vec<_> = self.changes.keys().map(|id| id.as_bytes()[0].to_string()).collect();
        write!(f, "verb {} ({} of session {})", self.number, self.call.name(), sessions.join(", "))
    }
}

/// A record for people, by whoever wrote its data.
fn shown(id: SessionId, record: Option<&Record>) -> String {
    let session = id.as_bytes()[0];
    match record {
        None => format!("session {session} is absent"),
        Some(record) => {
            let data = String::from_utf8_lossy(&record.data[..record.data.len().min(20)]).into_owned();
            let (expires_at, length) = (record.expires_at.as_millis(), record.data.len());
            let revision = record.revision.as_i64();
            format!(
                "session {session} has revision {revision:x}, expires at {expires_at}, {length} bytes `{data}`"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of which the first `over` rounds are over.
    fn after(over: usize) -> (History, Progress) {
        let history = History::of_every_verb();
        let mut progress = Progress::default();
        for verb in history.rounds[..over].iter().flat_map(Clone::clone) {
            progress.note(&format!("{BEGUN}{verb}"));
            progress.note(&format!("{ACKNOWLEDGED}{verb}"));
        }
        (history, progress)
    }

    #[test]
    fn what_was_acknowledged_must_survive_a_power_cut_only_if_that_is_promised() {
        for over in 1..=History::of_every_verb().rounds.len() {
            let (history, progress) = after(over);
            for earlier in 0..=over {
                let found = &history.states[earlier];
                let is_last = found == &history.states[over];
                assert_eq!(history.judge(&progress, Durability::PowerLoss, found).is_ok(), is_last);
                history.judge(&progress, Durability::ProcessCrash, found).unwrap();
            }
        }
    }

    #[test]
    fn old_and_new_must_not_be_mixed_in_any_case() {
        let (history, progress) = after(8);
        let mut found = history.states[8].clone();
        found.insert(id(2), history.states[3][&id(2)].clone());
        let (created, rewritten) = (id(0), found[&id(1)].clone().with_data(&b"nobody's"[..]));
        for durability in [Durability::ProcessCrash, Durability::PowerLoss] {
            history.judge(&progress, durability, &found).unwrap_err();
            let mut revived = history.states[8].clone();
            revived.insert(created, history.states[1][&created].clone());
            history.judge(&progress, durability, &revived).unwrap_err();
            let mut torn = history.states[8].clone();
            torn.insert(id(1), rewritten.clone());
            history.judge(&progress, durability, &torn).unwrap_err();
        }
    }

    #[test]
    fn sessions_of_their_own_are_judged_one_by_one() {
        let (history, mut progress) = after(12);
        let purge = history.rounds[12].start;
        let judge =
            |progress: &Progress, durability, found: &State| history.judge_each(progress, durability, found);
        let now = &history.states[12];
        let mut half = now.clone();
        assert!(half.remove(&id(6)).is_some() && half.contains_key(&id(7)));
        let lost = State::new();
        for (found, is_kept) in [(now, true), (&half, false), (&lost, false)] {
            judge(&progress, Durability::ProcessCrash, found).unwrap();
            assert_eq!(judge(&progress, Durability::PowerLoss, found).is_ok(), is_kept);
        }
        let mut mixed = now.clone();
        mixed.get_mut(&id(2)).unwrap().expires_at = at(7);
        judge(&progress, Durability::ProcessCrash, &mixed).unwrap_err();
        let mut old = now.clone();
        old.insert(id(2), history.states[3][&id(2)].clone());
        assert_ne!(old, *now);
        judge(&progress, Durability::ProcessCrash, &old).unwrap();
        judge(&progress, Durability::PowerLoss, &old).unwrap_err();

        // A purge that has begun may have come half-way; one that was acknowledged has not.
        progress.note(&format!("{BEGUN}{purge}"));
        judge(&progress, Durability::PowerLoss, &half).unwrap();
        judge(&progress, Durability::PowerLoss, now).unwrap();
        progress.note(&format!("{ACKNOWLEDGED}{purge}"));
        judge(&progress, Durability::PowerLoss, &half).unwrap_err();
        judge(&progress, Durability::PowerLoss, &history.states[13]).unwrap();
    }

    #[test]
    fn a_verb_that_has_begun_may_have_happened_as_a_whole() {
        let (history, mut progress) = after(12);
        let purge = history.rounds[12].start;
        history.judge(&progress, Durability::PowerLoss, &history.states[13]).unwrap_err();
        progress.note(&format!("{BEGUN}{purge}"));
        history.judge(&progress, Durability::PowerLoss, &history.states[12]).unwrap();
        history.judge(&progress, Durability::PowerLoss, &history.states[13]).unwrap();
        let mut half = history.states[12].clone();
        assert!(half.remove(&id(6)).is_some() && half.contains_key(&id(7)));
        for durability in [Durability::ProcessCrash, Durability::PowerLoss] {
            history.judge(&progress, durability, &half).unwrap_err();
        }
    }
}
