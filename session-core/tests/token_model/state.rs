//! A state of the search: the store, the browser, the thief, their requests in flight, and the history
//! that the rules are checked against.

use std::collections::{BTreeMap, BTreeSet};

use session_core::Record;

use crate::history::{Class, History};
use crate::world::{GRACE, Records, Token, World};

/// What a request's handler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    Read,
    Write,
    SignIn,
    Rotate,
    RotateGracefully,
    Destroy,
    RevokeOthers,
}

impl Op {
    pub(crate) fn changes_privilege(self) -> bool {
        matches!(self, Self::SignIn | Self::Rotate | Self::RevokeOthers)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Browser,
    Thief,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) who: Who,
    pub(crate) token: Option<Token>,
    pub(crate) op: Op,
    pub(crate) phase: Phase,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Sent { at: i64 },
    Opened { at: i64, class: Class, snapshot: Option<Record> },
    Answered { at: i64, answer: Answer },
}

/// What an answer says of the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Nothing,
    Set(Token),
    Clear,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) records: Records,
    pub(crate) now: i64,
    pub(crate) next: u8,
    pub(crate) jar: Option<Token>,
    /// What the thief holds: the copy, and what he was answered since.
    pub(crate) loot: BTreeSet<Token>,
    pub(crate) requests: Vec<Request>,
    pub(crate) histories: BTreeMap<u8, History>,
    pub(crate) ended: BTreeSet<u8>,
    pub(crate) requests_left: u8,
    pub(crate) thefts_left: u8,
    pub(crate) waits_left: u8,
}

impl State {
    pub(crate) fn history(&self, token: Token) -> Option<(&History, usize)> {
        let history = self.histories.get(&token.id)?;
        Some((history, history.position(token.secret)?))
    }

    /// Whether a change of privilege has killed the secret, whatever became of its session.
    pub(crate) fn is_killed(&self, token: Token) -> bool {
        self.history(token).is_some_and(|(history, position)| history.killer(position).is_some())
    }

    pub(crate) fn expected(&self, token: Option<Token>) -> Class {
        match token {
            Some(token) if self.records.contains_key(&token.id) => {
                self.histories[&token.id].class(token.secret, self.now)
            }
            _ => Class::Stranger,
        }
    }

    /// The same for all states that nothing can tell apart from here on: times relative to now and as far
    /// as they matter, secrets by their place in their session's history.
    pub(crate) fn key(&self, world: &World, longest: i64) -> Vec<i16> {
        let mut key = Key { state: self, longest, words: Vec::with_capacity(128) };
        key.write(world);
        key.words
    }
}

struct Key<'a> {
    state: &'a State,
    longest: i64,
    words: Vec<i16>,
}

impl Key<'_> {
    fn write(&mut self, world: &World) {
        let state = self.state;
        self.put(state.requests_left.into());
        self.put(state.thefts_left.into());
        self.put(state.waits_left.into());
        self.token(state.jar);
        for token in &state.loot {
            self.token(Some(*token));
        }
        self.put(-100);
        for (id, record) in &state.records {
            self.put((*id).into());
            self.record(world, *id, record);
        }
        self.put(-101);
        for (id, history) in &state.histories {
            let interesting = self.oldest_held(*id).min(history.0.len().saturating_sub(5));
            self.put((*id).into());
            for position in interesting..history.0.len() {
                let issued = &history.0[position];
                self.put(issued.by as i16);
                self.put(issued.delivered.into());
                self.age(issued.at, self.longest);
                self.put(issued.presented.map_or(-1, |at| (state.now - at).min(2 * GRACE) as i16));
            }
            self.put(-102);
        }
        let mut requests: Vec<_> =
            state.requests.iter().map(|request| self.request(world, request)).collect();
        requests.sort();
        self.words.extend(requests.concat());
    }

    fn put(&mut self, word: i16) {
        self.words.push(word);
    }

    fn age(&mut self, at: i64, longest: i64) {
        self.put((self.state.now - at).min(longest) as i16);
    }

    /// The session, and how many secrets it has had since.
    fn token(&mut self, token: Option<Token>) {
        let Some(token) = token else { return self.put(-1) };
        self.put(token.id.into());
        let place = self.state.history(token).map(|(history, position)| history.0.len() - position);
        self.put(place.map_or(-1, |place| place as i16));
    }

    fn oldest_held(&self, id: u8) -> usize {
        let requests = self.state.requests.iter();
        let answers = requests.clone().filter_map(|request| match request.phase {
            Phase::Answered { answer: Answer::Set(token), .. } => Some(token),
            _ => None,
        });
        let tokens = requests.filter_map(|request| request.token).chain(answers);
        let tokens = tokens.chain(self.state.jar).chain(self.state.loot.iter().copied());
        let of_this = tokens.filter(|token| token.id == id);
        let places = of_this.filter_map(|token| self.state.histories[&id].position(token.secret));
        places.min().unwrap_or(usize::MAX)
    }

    fn record(&mut self, world: &World, id: u8, record: &Record) {
        let books = world.books(id, record);
        let place = |secret: u8| {
            let history = &self.state.histories[&id];
            history.position(secret).map_or(-1, |position| (history.0.len() - position) as i16)
        };
        let mut words = vec![place(books.current)];
        words.push((self.state.now - books.issued_at).min(self.longest) as i16);
        for (secret, killed, until) in books.replaced {
            words.push(place(secret));
            words.push(killed.into());
            words.push(until.map_or(i16::MIN, |until| (until - self.state.now).max(-GRACE) as i16));
        }
        words.push(-103);
        words.push(record.principal.as_ref().map_or(0, |name| name.as_str().as_bytes()[0].into()));
        words.push(i16::from(record.data.ends_with(b"true}")));
        self.words.extend(words);
    }

    fn request(&self, world: &World, request: &Request) -> Vec<i16> {
        let mut key = Key { state: self.state, longest: self.longest, words: Vec::new() };
        key.put(-104);
        key.put(request.who as i16);
        key.put(request.op as i16);
        key.token(request.token);
        match &request.phase {
            Phase::Sent { at } => {
                key.put(0);
                key.age(*at, GRACE);
            }
            Phase::Opened { class, snapshot, .. } => {
                key.put(1);
                key.put(*class as i16);
                if let (Some(token), Some(snapshot)) = (request.token, snapshot) {
                    let stored = self.state.records.get(&token.id);
                    let is_current = stored.is_some_and(|stored| stored.revision == snapshot.revision);
                    key.put(is_current.into());
                    if !is_current {
                        key.record(world, token.id, snapshot);
                    }
                }
            }
            Phase::Answered { at, answer } => {
                key.put(2);
                key.age(*at, GRACE);
                match answer {
                    Answer::Nothing => key.put(0),
                    Answer::Clear => key.put(1),
                    Answer::Set(token) => key.token(Some(*token)),
                }
            }
        }
        key.words
    }
}
