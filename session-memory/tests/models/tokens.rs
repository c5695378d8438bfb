//! A search through what one browser, its stragglers and a thief can do to one session, in every order,
//! against the real manager: the rules about tokens hold after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Clock as _, Committed, ErrorKind, ManualClock, Record, Session, SessionBackend, SessionId,
    SessionManager, SessionToken, Timestamp,
};
use session_memory::MemoryBackend;

const GRACE: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(3600);
const ABSOLUTE: Duration = Duration::from_secs(3 * 3600);

/// One step of somebody. Steps that are not possible do nothing, so that any sequence is a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request with what the jar holds.
    Open,
    /// A late or stolen one, with the token that was handed out as this one, counted from the newest.
    OpenOld(usize),
    Insert(usize),
    SignIn(usize, &'static str),
    SignOut(usize),
    Rotate(usize),
    Destroy(usize),
    Clear(usize),
    RevokeOthers(usize),
    Commit(usize),
    RevokeAll(&'static str),
    Advance(u64),
}

const STEPS: &[Step] = &[
    Step::Open,
    Step::OpenOld(0),
    Step::OpenOld(1),
    Step::OpenOld(2),
    Step::Insert(0),
    Step::Insert(1),
    Step::SignIn(0, "alice"),
    Step::SignIn(1, "alice"),
    Step::SignIn(0, "bob"),
    Step::SignIn(1, "bob"),
    Step::SignOut(0),
    Step::SignOut(1),
    Step::Rotate(0),
    Step::Rotate(1),
    Step::Destroy(0),
    Step::Destroy(1),
    Step::Clear(1),
    Step::RevokeOthers(0),
    Step::RevokeOthers(1),
    Step::Commit(0),
    Step::Commit(1),
    Step::Commit(2),
    Step::RevokeAll("alice"),
    Step::Advance(20),
    Step::Advance(31),
    Step::Advance(1800),
    Step::Advance(3600),
];

struct Request {
    session: Session,
    token: Option<String>,
    changed: bool,
}

/// What the rules say about a token that was handed out.
struct Issued {
    token: String,
    id: SessionId,
    dead: bool,
    principal: Option<String>,
    /// Of the secret's session: creation or last sign-in.
    period: Timestamp,
}

struct World {
    backend: Arc<MemoryBackend>,
    manager: SessionManager,
    clock: ManualClock,
    requests: Vec<Request>,
    issued: Vec<Issued>,
    jar: Option<String>,
    ended: BTreeSet<SessionId>,
    presented: BTreeSet<SessionId>,
}

type Verdict = Result<(), String>;

fn ensure(condition: bool, what: impl Into<String>) -> Verdict {
    if condition { Ok(()) } else { Err(what.into()) }
}

impl World {
    fn new() -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let clock = ManualClock::new(Timestamp::from_millis(1_000_000_000_000).unwrap());
        let manager = SessionManager::builder(backend.clone())
            .clock(clock.clone())
            .grace(GRACE)
            .idle_timeout(IDLE)
            .absolute_timeout(ABSOLUTE)
            .build()
            .unwrap();
        Self {
            backend,
            manager,
            clock,
            requests: Vec::new(),
            issued: Vec::new(),
            jar: None,
            ended: BTreeSet::new(),
            presented: BTreeSet::new(),
        }
    }

    async fn stored(&self) -> BTreeMap<SessionId, Record> {
        let now = self.clock.now();
        self.backend.list(None, None, 1000, now).await.unwrap().sessions.into_iter().collect()
    }

    fn is_dead(&self, token: &str) -> bool {
        self.issued.iter().any(|issued| issued.token == token && issued.dead)
    }

    async fn step(&mut self, step: Step) -> Verdict {
        let before = self.stored().await;
        match step {
            Step::Open => self.open(self.jar.clone()).await?,
            Step::OpenOld(age) => {
                let Some(index) = self.issued.len().checked_sub(age + 1) else { return Ok(()) };
                let token = self.issued[index].token.clone();
                self.open(Some(token)).await?;
            }
            Step::Advance(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Step::RevokeAll(principal) => {
                let count = self.manager.revoke_all(principal).await.map_err(|error| error.to_string())?;
                let after = self.stored().await;
                for (id, record) in &before {
                    let theirs = record.principal.as_ref().is_some_and(|name| name.as_str() == principal);
                    ensure(after.contains_key(id) != theirs, "revoke_all ended the wrong sessions")?;
                }
                ensure(count as usize == before.len() - after.len(), "revoke_all counted wrong")?;
                self.note_ends(&before, &after);
                return Ok(());
            }
            Step::Insert(who) => self.change(who, |session| {
                let tag = session.principal().map_or("nobody".to_owned(), |name| name.as_str().to_owned());
                session.insert(["tags", &tag], 1)
            })?,
            Step::SignIn(who, principal) => self.change(who, |session| session.sign_in(principal))?,
            Step::SignOut(who) => self.change(who, |session| {
                session.sign_out()?;
                session.flash("bye")
            })?,
            Step::Rotate(who) => self.change(who, Session::rotate)?,
            Step::Destroy(who) => self.change(who, Session::destroy)?,
            Step::Clear(who) => self.change(who, Session::clear)?,
            Step::Commit(who) => return self.commit(who, before, false).await,
            Step::RevokeOthers(who) => return self.commit(who, before, true).await,
        }
        // Nothing reaches the store before a commit.
        let now = self.clock.now();
        let live = before.into_iter().filter(|(_, record)| record.is_live(now)).collect::<BTreeMap<_, _>>();
        ensure(live == self.stored().await, "something was stored without a commit")
    }

    async fn open(&mut self, token: Option<String>) -> Verdict {
        if let Some(token) = token.as_deref().and_then(SessionToken::parse) {
            self.presented.insert(token.id());
        }
        let session = self.manager.open(token.as_deref()).await.map_err(|error| error.to_string())?;
        if let Some(text) = &token {
            let now = self.clock.now();
            let issued = self.issued.iter().find(|issued| issued.token == *text).ok_or("never issued")?;
            let over = now >= issued.period.saturating_add(ABSOLUTE);
            if issued.dead || over {
                ensure(session.id().is_none(), "a dead token opened its session")?;
                ensure(session.principal().is_none(), "a dead token is somebody")?;
                ensure(session.keys([""; 0]).unwrap().is_empty(), "a dead token reads values")?;
            } else {
                match self.stored().await.get(&issued.id) {
                    Some(record) => {
                        ensure(session.id() == Some(issued.id), "a live token did not open its session")?;
                        let principal = record.principal.as_ref().map(|name| name.as_str().to_owned());
                        ensure(principal == issued.principal, "somebody else is signed in")?;
                    }
                    None => ensure(session.is_new(), "an expired session is not new")?,
                }
            }
        }
        self.check_tags(&session)?;
        self.requests.push(Request { session, token, changed: false });
        if self.requests.len() > 3 {
            self.requests.remove(0);
        }
        Ok(())
    }

    /// Counted from the newest request.
    fn request(&mut self, who: usize) -> Option<&mut Request> {
        let index = self.requests.len().checked_sub(who + 1)?;
        self.requests.get_mut(index)
    }

    fn change(&mut self, who: usize, change: impl FnOnce(&Session) -> session_core::Result<()>) -> Verdict {
        let Some(request) = self.request(who) else { return Ok(()) };
        match change(&request.session) {
            Ok(()) => request.changed = true,
            Err(error) => {
                let refused =
                    matches!(error.kind(), ErrorKind::Stale | ErrorKind::Gone | ErrorKind::AlreadyCommitted);
                ensure(refused, format!("a change failed: {error}"))?;
            }
        }
        let session = request.session.clone();
        self.check_tags(&session)
    }

    /// What one principal left is shown to nobody else.
    fn check_tags(&self, session: &Session) -> Verdict {
        let principal = session.principal().map(|name| name.as_str().to_owned());
        for tag in session.keys("tags").unwrap() {
            ensure(tag == "nobody" || Some(&tag) == principal.as_ref(), "a value of somebody else")?;
        }
        Ok(())
    }

    async fn commit(&mut self, who: usize, before: BTreeMap<SessionId, Record>, others: bool) -> Verdict {
        let Some(request) = self.request(who) else { return Ok(()) };
        let (session, token, changed) = (request.session.clone(), request.token.clone(), request.changed);
        let own = token.as_deref().and_then(SessionToken::parse).map(|token| token.id());
        let dead = token.as_deref().is_some_and(|token| self.is_dead(token));
        let wrote_before = self.backend.len();
        let result = if others {
            session.revoke_others().await.map(|_| Committed::Unchanged)
        } else {
            session.commit().await
        };
        let after = self.stored().await;
        // Its own session as this dead token must leave it: gone or as it was but for a touch.
        if dead
            && !others
            && let Some(id) = own
            && session.id() != Some(id)
        {
            match (before.get(&id), after.get(&id)) {
                (Some(before), Some(after)) => {
                    ensure(before.revision == after.revision, "a dead token has written")?;
                    ensure(before.data == after.data, "a dead token has changed values")?;
                }
                (None, None) => {}
                _ => return Err("a dead token has ended or revived a session".into()),
            }
        }
        if dead && others && own.is_some() && session.id() == own && before != after {
            return Err("a dead token has revoked".into());
        }
        for (id, record) in &after {
            ensure(!self.ended.contains(id), "an ended session is back")?;
            if !before.contains_key(id) {
                ensure(!self.presented.contains(id), "a presented id was adopted")?;
                ensure(changed, "a session was made for nothing")?;
            }
            let longest = self.clock.now().saturating_add(ABSOLUTE);
            ensure(record.deadline <= longest && record.expires_at <= record.deadline, "lives too long")?;
        }
        if !changed && !others {
            ensure(self.backend.len() == wrote_before, "a request that changed nothing made a record")?;
        }
        self.note_ends(&before, &after);
        if others
            && let Some(id) = session.id()
            && before.get(&id).map(|record| record.revision) != after.get(&id).map(|record| record.revision)
        {
            // It has rotated, and its answer, which is the HTTP layer's, is lost.
            self.forget(Some(id));
        }
        match result {
            Ok(Committed::SetToken { token, .. }) => self.hand_out(&token, &after)?,
            Ok(Committed::ClearToken) => {
                ensure(own.is_some_and(|id| !after.contains_key(&id)), "cleared what is not ended")?;
                self.jar = None;
            }
            Ok(Committed::Unchanged) => {}
            Err(error) => {
                let expected =
                    matches!(error.kind(), ErrorKind::Stale | ErrorKind::Gone | ErrorKind::AlreadyCommitted);
                ensure(expected, format!("a commit failed: {error}"))?;
            }
        }
        self.check_tags(&session)
    }

    fn hand_out(&mut self, token: &SessionToken, after: &BTreeMap<SessionId, Record>) -> Verdict {
        let id = token.id();
        let record = after.get(&id).ok_or("a token for nothing")?;
        let principal = record.principal.as_ref().map(|name| name.as_str().to_owned());
        self.forget(Some(id));
        self.issued.push(Issued {
            token: token.expose(),
            id,
            dead: false,
            principal,
            period: Timestamp::from_millis(record.deadline.as_millis() - ABSOLUTE.as_millis() as i64)
                .unwrap(),
        });
        self.jar = Some(token.expose());
        Ok(())
    }

    /// Every secret of this session so far is dead.
    fn forget(&mut self, id: Option<SessionId>) {
        for issued in self.issued.iter_mut().filter(|issued| Some(issued.id) == id) {
            issued.dead = true;
        }
    }

    fn note_ends(&mut self, before: &BTreeMap<SessionId, Record>, after: &BTreeMap<SessionId, Record>) {
        for id in before.keys().filter(|id| !after.contains_key(id)) {
            self.ended.insert(*id);
            self.forget(Some(*id));
        }
    }
}

async fn run(steps: &[Step]) -> Result<(), String> {
    let mut world = World::new();
    for (position, step) in steps.iter().enumerate() {
        world.step(*step).await.map_err(|what| format!("step {position} {step:?}: {what}"))?;
    }
    Ok(())
}

/// The shortest part of a failing history that still fails.
async fn shrink(mut steps: Vec<Step>) -> String {
    let mut position = 0;
    while position < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(position);
        if run(&fewer).await.is_err() {
            steps = fewer;
            position = 0;
        } else {
            position += 1;
        }
    }
    let mut text = run(&steps).await.unwrap_err();
    for step in &steps {
        let _ = write!(text, "\n  {step:?}");
    }
    text
}

/// A small generator with a seed: histories must be the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_rule_about_tokens_holds_in_random_histories() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1500 {
        let length = 6 + random.below(30);
        let mut steps = vec![Step::Open, Step::Insert(0), Step::Commit(0)];
        for _ in 0..length {
            steps.push(STEPS[random.below(STEPS.len())]);
            // Most requests are short.
            if random.below(3) == 0 {
                steps.push(Step::Commit(0));
            }
        }
        if run(&steps).await.is_err() {
            panic!("{}", shrink(steps).await);
        }
    }
}

/// All histories of two steps of any kind, after a sign-in and with two requests under way.
#[tokio::test(flavor = "current_thread")]
async fn every_rule_about_tokens_holds_in_all_short_histories() {
    const DEPTH: u32 = 2;
    for number in 0..STEPS.len().pow(DEPTH) {
        let mut steps = vec![
            Step::Open,
            Step::SignIn(0, "alice"),
            Step::Insert(0),
            Step::Commit(0),
            Step::Open,
            Step::OpenOld(0),
        ];
        let mut rest = number;
        for _ in 0..DEPTH {
            steps.push(STEPS[rest % STEPS.len()]);
            rest /= STEPS.len();
        }
        steps.extend([Step::Commit(0), Step::Commit(1), Step::OpenOld(0), Step::OpenOld(1)]);
        if run(&steps).await.is_err() {
            panic!("{}", shrink(steps).await);
        }
    }
}
