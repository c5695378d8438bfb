//! One step of the search, done by the real manager, and what it must come to.

use session_core::{Committed, ErrorKind, Session};

use crate::history::{By, Class, Issued};
use crate::rules;
use crate::search::{Action, Scenario, empty_state};
use crate::state::{Answer, Op, Phase, Request, State, Who};
use crate::world::{GRACE, Records, Token, World};

/// A rule that a step has broken, in the words of the design.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

/// Fails with `rule` unless `condition` holds.
pub(crate) fn holds(condition: bool, rule: &str) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken(rule.to_owned())) }
}

/// What a commit came to.
pub(crate) type Outcome = Result<Answer, ErrorKind>;

pub(crate) struct Stepper<'a> {
    pub(crate) world: &'a World,
    pub(crate) scenario: &'a Scenario,
}

impl Stepper<'_> {
    pub(crate) fn start(&self) -> State {
        let mut state = empty_state(self.scenario);
        let create = |state: &mut State, who, op| {
            let request = Request { who, token: None, op, phase: Phase::Sent { at: 0 } };
            state.requests.push(request);
            self.take(state, Action::Open(0)).unwrap();
            self.take(state, Action::Commit(0)).unwrap();
            self.take(state, Action::Deliver(0)).unwrap();
        };
        if self.scenario.sibling {
            create(&mut state, Who::Browser, Op::SignIn);
            state.jar = None;
        }
        if self.scenario.planted {
            create(&mut state, Who::Thief, Op::Write);
            state.jar = state.loot.first().copied();
        } else {
            create(&mut state, Who::Browser, Op::SignIn);
        }
        if self.scenario.copied {
            self.take(&mut state, Action::Steal).unwrap();
        }
        let (rotations, arrive) = self.scenario.rotations.unwrap_or_default();
        for _ in 0..rotations {
            let phase = Phase::Sent { at: state.now };
            let token = state.jar;
            state.requests.push(Request { who: Who::Browser, token, op: Op::RotateGracefully, phase });
            self.take(&mut state, Action::Open(0)).unwrap();
            self.take(&mut state, Action::Commit(0)).unwrap();
            self.take(&mut state, if arrive { Action::Deliver(0) } else { Action::Lose(0) }).unwrap();
            state.waits_left += 1;
            self.take(&mut state, Action::Wait(GRACE)).unwrap();
        }
        state
    }

    pub(crate) fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        if state.requests_left > 0 && state.requests.len() < self.scenario.in_flight {
            let send = |who, token| move |op: &Op| Action::Send(who, token, *op);
            actions.extend(self.scenario.ops.iter().map(send(Who::Browser, state.jar)));
            for token in &state.loot {
                actions.extend(self.scenario.thiefs_ops.iter().map(send(Who::Thief, Some(*token))));
            }
        }
        for (index, request) in state.requests.iter().enumerate() {
            match request.phase {
                Phase::Sent { .. } => actions.push(Action::Open(index)),
                Phase::Opened { .. } => actions.extend([Action::Commit(index), Action::Lose(index)]),
                Phase::Answered { at, .. } => {
                    actions.push(Action::Lose(index));
                    if self.scenario.late_answers || state.now < at + GRACE {
                        actions.push(Action::Deliver(index));
                    }
                }
            }
        }
        if state.thefts_left > 0 && state.jar.is_some() {
            actions.push(Action::Steal);
        }
        if state.waits_left > 0 {
            // A request that takes longer than `grace` to arrive is the same to the server as a replay.
            let oldest = state.requests.iter().filter_map(|request| match request.phase {
                Phase::Sent { at } => Some(at),
                _ => None,
            });
            let patience = oldest.min().map_or(i64::MAX, |at| at + GRACE - state.now);
            let steps = [Some(1), Some(GRACE), self.scenario.rotate_every];
            let steps = steps.into_iter().flatten().filter(|ticks| *ticks <= patience);
            actions.extend(steps.map(Action::Wait));
            if self.scenario.thiefs_ops.is_empty() {
                actions.push(Action::Expire);
            }
        }
        actions
    }

    pub(crate) fn take(&self, state: &mut State, action: Action) -> Result<(), Broken> {
        match action {
            Action::Send(who, token, op) => {
                state.requests_left -= 1;
                state.requests.push(Request { who, token, op, phase: Phase::Sent { at: state.now } });
                if !self.scenario.slow_requests {
                    self.open(state, state.requests.len() - 1)?;
                }
            }
            Action::Open(index) => self.open(state, index)?,
            Action::Commit(index) => self.commit(state, index)?,
            Action::Deliver(index) => self.deliver(state, index)?,
            Action::Lose(index) => drop(state.requests.remove(index)),
            Action::Wait(ticks) => {
                state.now += ticks;
                state.waits_left -= 1;
            }
            Action::Steal => {
                state.loot.extend(state.jar);
                state.thefts_left = state.thefts_left.saturating_sub(1);
            }
            Action::Expire => {
                state.now += 400 * 24 * 3600 / 15;
                state.waits_left = 0;
                state.requests.retain(|request| matches!(request.phase, Phase::Opened { .. }));
                state.ended.extend(std::mem::take(&mut state.records).into_keys());
            }
        }
        Ok(())
    }

    fn open(&self, state: &mut State, index: usize) -> Result<(), Broken> {
        let Request { token, .. } = state.requests[index];
        let before = state.records.clone();
        self.world.set(&state.records, state.now, state.next);
        let (_, class) = self.open_session(token);
        state.records = self.world.records();
        rules::of_opening(self, state, token, class, &before)?;
        if class == Class::Live
            && let Some(token) = token
            && let Some(history) = state.histories.get_mut(&token.id)
            && let Some(position) = history.position(token.secret)
        {
            history.0[position].presented.get_or_insert(state.now);
        }
        let snapshot = token.and_then(|token| state.records.get(&token.id).cloned());
        state.requests[index].phase = Phase::Opened { at: state.now, class, snapshot };
        Ok(())
    }

    /// Opens a session where the world stands.
    pub(crate) fn open_session(&self, token: Option<Token>) -> (Session, Class) {
        let text = token.map(Token::text);
        let session = self.world.run(self.world.manager.open(text.as_deref())).unwrap();
        let class = match (session.is_new(), session.is_superseded()) {
            (true, _) => Class::Stranger,
            (_, true) => Class::Superseded,
            _ => Class::Live,
        };
        (session, class)
    }

    fn commit(&self, state: &mut State, index: usize) -> Result<(), Broken> {
        let request = state.requests.remove(index);
        let Phase::Opened { at, class, snapshot } = &request.phase else { unreachable!() };
        // The request as it was when it was opened, then the store as it is now.
        let found = request.token.zip(snapshot.clone()).map(|(token, record)| (token.id, record));
        self.world.set(&found.into_iter().collect(), *at, state.next);
        let (session, again) = self.open_session(request.token);
        assert_eq!(again, *class, "a request that is opened again is the same");
        self.world.set(&state.records, state.now, state.next);
        let before = state.clone();
        let mut outcome = self.world.run(work(&session, request.who, request.op));
        state.records = self.world.records();
        state.next = self.world.next();
        let issued = self.note_issued(state, &before, request.op);
        if request.op == Op::RevokeOthers && outcome == Ok(Answer::Nothing) {
            // The middleware is told by the session; this looks at what was stored.
            outcome = Ok(issued.map_or(Answer::Nothing, Answer::Set));
        }
        rules::of_committing(self, &before, state, &request, outcome, issued)?;
        state.ended.extend(before.records.keys().filter(|id| !state.records.contains_key(id)));
        if let Ok(answer @ (Answer::Set(_) | Answer::Clear)) = outcome {
            let phase = Phase::Answered { at: state.now, answer };
            state.requests.push(Request { phase, ..request });
        }
        Ok(())
    }

    /// Writes the secret into its history that this commit has put into the store.
    fn note_issued(&self, state: &mut State, before: &State, op: Op) -> Option<Token> {
        let mut noted = None;
        for (id, record) in &state.records {
            let current = self.world.books(*id, record).current;
            let history = state.histories.entry(*id).or_default();
            if history.0.last().is_some_and(|issued| issued.secret == current) {
                continue;
            }
            let by = match before.records.contains_key(id) {
                false => By::Create,
                true if op.changes_privilege() => By::Privilege,
                true => By::Periodic,
            };
            history.0.push(Issued { secret: current, by, at: state.now, presented: None, delivered: false });
            noted = Some(Token { id: *id, secret: current });
        }
        noted
    }

    fn deliver(&self, state: &mut State, index: usize) -> Result<(), Broken> {
        let request = state.requests.remove(index);
        let Phase::Answered { answer, .. } = request.phase else { unreachable!() };
        if let (Who::Thief, Answer::Set(token)) = (request.who, answer) {
            state.loot.insert(token);
        }
        if request.who == Who::Thief {
            return Ok(());
        }
        match answer {
            Answer::Nothing => {}
            Answer::Clear => state.jar = None,
            Answer::Set(token) => {
                state.jar = Some(token);
                if let Some(history) = state.histories.get_mut(&token.id)
                    && let Some(position) = history.position(token.secret)
                {
                    history.0[position].delivered = true;
                }
            }
        }
        Ok(())
    }

    /// A whole request where the world stands: what a browser that asks now is answered.
    pub(crate) fn try_request(&self, records: &Records, now: i64, state: &State, op: Op) -> (Class, Outcome) {
        self.world.set(records, now, state.next);
        let (session, class) = self.open_session(state.jar);
        (class, self.world.run(work(&session, Who::Browser, op)))
    }

    pub(crate) fn describe(&self, state: &State) -> String {
        let records = state.records.iter().map(|(id, record)| {
            let books = self.world.books(*id, record);
            format!("{id}: current {} of {}, replaced {:?}", books.current, books.issued_at, books.replaced)
        });
        let records: Vec<_> = records.collect();
        let jar = state.jar.map(|token| (token.id, token.secret));
        format!("tick {}, jar {jar:?}, {}", state.now, records.join("; "))
    }
}

async fn work(session: &Session, who: Who, op: Op) -> Outcome {
    let name = if who == Who::Browser { "a" } else { "m" };
    let done = match op {
        Op::Read => Ok(()),
        Op::Write => session.update("w", |w: Option<bool>| !w.unwrap_or(false)).map(drop),
        Op::SignIn => session.sign_in(name),
        Op::Rotate => session.rotate(),
        Op::RotateGracefully => session.rotate_gracefully(),
        Op::Destroy => session.destroy(),
        Op::RevokeOthers => session.revoke_others().await.map(drop),
    };
    done.map_err(|error| error.kind())?;
    match session.commit().await.map_err(|error| error.kind())? {
        Committed::Unchanged => Ok(Answer::Nothing),
        Committed::SetToken { token, .. } => Ok(Answer::Set(Token::of(&token))),
        Committed::ClearToken => Ok(Answer::Clear),
    }
}
