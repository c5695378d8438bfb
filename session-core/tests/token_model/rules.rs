//! The rules that no history may break, each with the sentence of DESIGN 2 that it comes from.

use session_core::{ErrorKind, OnReplay};

use crate::history::{By, Class};
use crate::state::{Answer, Op, Phase, Request, State};
use crate::step::{Broken, Outcome, Stepper, holds};
use crate::world::{GRACE, Records, Token};

/// What opening must come to, for the browser and for the thief.
pub(crate) fn of_opening(
    stepper: &Stepper<'_>,
    state: &State,
    token: Option<Token>,
    class: Class,
    before: &Records,
) -> Result<(), Broken> {
    let mut was = state.clone();
    was.records.clone_from(before);
    let expected = was.expected(token);
    if class == Class::Live && expected != Class::Live {
        holds(
            !token.is_some_and(|token| was.is_killed(token)),
            "privilege rotation: every earlier secret is dead at once",
        )?;
        return Err(Broken(format!(
            "presenting a replaced secret extends nothing: it dies `grace` after a successor was first \
             presented (the secret is {expected:?})"
        )));
    }
    match expected {
        Class::Live => holds(
            class == Class::Live,
            "the replaced secret stays valid until `grace` after one of its successors was first presented",
        )?,
        Class::Superseded => holds(
            class == Class::Superseded,
            "a listed secret that died less than `grace` ago is superseded: stragglers must not become \
             strangers who create sessions",
        )?,
        Class::Replayed | Class::Stranger => {
            holds(class == Class::Stranger, "a secret that died longer ago is a stranger's")?;
        }
    }
    let ended = before.keys().filter(|id| !state.records.contains_key(id)).count();
    let may_revoke = expected == Class::Replayed && stepper.scenario.on_replay == OnReplay::Revoke;
    holds(
        ended == usize::from(may_revoke),
        "only a periodically replaced secret can revoke; never a privilege-replaced, forged or forgotten one",
    )
}

/// What a commit must come to.
pub(crate) fn of_committing(
    stepper: &Stepper<'_>,
    before: &State,
    after: &State,
    request: &Request,
    outcome: Outcome,
    issued: Option<Token>,
) -> Result<(), Broken> {
    let Phase::Opened { class, snapshot, .. } = &request.phase else { unreachable!() };
    // Whoever was nobody when the request came has nobody's sessions to revoke.
    let of_nobody = snapshot.as_ref().is_none_or(|record| record.principal.is_none());
    let op = if request.op == Op::RevokeOthers && of_nobody { Op::Read } else { request.op };
    let answer = outcome.unwrap_or(Answer::Nothing);
    holds(!after.records.keys().any(|id| before.ended.contains(id)), "deletion wins over every late write")?;
    match answer {
        Answer::Set(token) => holds(
            issued == Some(token),
            "only create, privilege rotation, periodic rotation and destroy ever send a cookie",
        )?,
        Answer::Clear => holds(
            before.records.len() == after.records.len() + 1,
            "`Gone`, `Stale`, expired and unknown never clear a cookie",
        )?,
        Answer::Nothing => holds(issued.is_none(), "a rotation sends its cookie")?,
    }
    match (*class, request.token) {
        (Class::Live, Some(token)) => of_live(stepper, before, after, op, token, outcome, issued),
        _ => {
            let untouched = before.records.iter().all(|(id, record)| after.records.get(id) == Some(record));
            holds(untouched, "a request without a session changes none that there is")?;
            of_strange(request.op, *class, outcome)
        }
    }
}

fn of_live(
    stepper: &Stepper<'_>,
    before: &State,
    after: &State,
    op: Op,
    token: Token,
    outcome: Outcome,
    issued: Option<Token>,
) -> Result<(), Broken> {
    let Some(record) = before.records.get(&token.id) else {
        let silent = matches!(outcome, Ok(Answer::Nothing) | Err(ErrorKind::Gone | ErrorKind::Stale));
        // A sign-in over somebody else is a new session.
        let anew = op == Op::SignIn && matches!(outcome, Ok(Answer::Set(fresh)) if fresh.id != token.id);
        return holds(silent || anew, "a commit of an ended session is refused, or has nothing to say");
    };
    if before.is_killed(token) {
        holds(after.records == before.records, "on a stale commit nothing is written, ended or revoked")?;
        let refused = if op == Op::Read { Ok(Answer::Nothing) } else { Err(ErrorKind::Stale) };
        return holds(
            outcome == refused || (op == Op::RotateGracefully && outcome == Ok(Answer::Nothing)),
            "commit checks that its digest is current, or that every rotation since was periodic; else \
             `Stale`",
        );
    }
    let history = &before.histories[&token.id];
    let position = history.position(token.secret).expect("a secret that opened a session");
    let (is_current, is_listed) = (history.is_current(position), history.is_listed(position));
    if !is_listed {
        let refused = matches!(outcome, Err(ErrorKind::Stale) | Ok(Answer::Nothing));
        return holds(refused, "a digest that is neither current nor listed counts as privilege-replaced");
    }
    match op {
        Op::Read | Op::Write | Op::RotateGracefully => {
            holds(outcome.is_ok(), "a due rotation is dropped, and never fails the request")?;
        }
        Op::Destroy => holds(outcome == Ok(Answer::Clear), "a valid secret ends its session")?,
        Op::SignIn | Op::Rotate | Op::RevokeOthers => {
            let rotated = matches!(outcome, Ok(Answer::Set(_)));
            holds(
                rotated || (!is_current && outcome == Err(ErrorKind::Stale)),
                "`sign_in` and `rotate` work with the current secret",
            )?;
        }
    }
    let flag = |state: &State| state.records.get(&token.id).map(|record| record.data.ends_with(b"true}"));
    if op == Op::Write {
        holds(flag(after) != flag(before), "periodic rotation loses no data: the write commits")?;
    }
    let periodic = issued.filter(|_| !op.changes_privilege() && op != Op::Destroy);
    if periodic.is_none() {
        return Ok(());
    }
    let opened_as_current = is_current && op == Op::RotateGracefully;
    holds(
        opened_as_current || record.principal.is_some() || !is_current,
        "sessions without a principal are not rotated periodically",
    )?;
    let issued_at = history.0.last().map_or(0, |last| last.at);
    let may_reissue = before.now >= issued_at + GRACE && history.successor_seen(position).is_none();
    holds(
        is_current || may_reissue,
        "a valid replaced secret may rotate once `grace` has passed since the current one was issued and no \
         successor of it was presented",
    )?;
    let due = stepper.scenario.rotate_every.is_some_and(|every| before.now >= issued_at + every);
    holds(opened_as_current || !is_current || due, "a rotation comes when it is due")?;
    let forgotten = history.0.len().checked_sub(5);
    let meant = forgotten.is_some_and(|oldest| {
        !matches!(history.class(history.0[oldest].secret, before.now), Class::Replayed | Class::Stranger)
    });
    holds(
        !meant,
        "a periodic rotation is put off while it would push out a digest that is valid, or dead for less \
         than `grace`",
    )
}

fn of_strange(op: Op, class: Class, outcome: Outcome) -> Result<(), Broken> {
    let anew = matches!(outcome, Ok(Answer::Set(_)));
    match (class, op) {
        (_, Op::SignIn) => holds(anew, "sign_in alone works on a superseded session; a stranger may, too"),
        (_, Op::Read) => holds(outcome == Ok(Answer::Nothing), "a read of nothing says nothing"),
        (Class::Superseded, Op::RevokeOthers) => holds(!anew, "a superseded session revokes nothing"),
        (Class::Superseded, _) => {
            holds(outcome == Err(ErrorKind::Stale), "on a superseded session mutators fail with `Stale`")
        }
        (_, Op::Write) => holds(anew, "the first write creates under a fresh id"),
        _ => holds(outcome == Ok(Answer::Nothing), "a new session has nothing to rotate or end"),
    }
}

/// What must be so after every step.
pub(crate) fn of_every_state(stepper: &Stepper<'_>, state: &State) -> Result<(), Broken> {
    if !stepper.scenario.is_fair() {
        return Ok(());
    }
    let Some(jar) = state.jar.filter(|jar| state.records.contains_key(&jar.id)) else { return Ok(()) };
    let (history, position) = state.history(jar).expect("a secret that was issued");
    let (class, read) = stepper.try_request(&state.records, state.now, state, Op::Read);
    if class != Class::Live {
        let killed = history.0[position + 1..].iter().position(|later| later.by == By::Privilege);
        let Some(killed) = killed else {
            return Err(Broken("periodic rotation never signs the browser out".into()));
        };
        let told = history.0[position + 1 + killed..].iter().any(|later| later.delivered);
        holds(!told, "answers that arrive within `grace` cannot disturb the new cookie")?;
    } else if !history.is_current(position) {
        let issued_at = history.0.last().map_or(0, |last| last.at);
        let lost = state.now >= issued_at + GRACE && history.successor_seen(position).is_none();
        let oldest_is_kept = history.0.len() <= 4;
        holds(
            !lost || !oldest_is_kept || matches!(read, Ok(Answer::Set(_))),
            "reissue: an answer is taken as lost once `grace` has passed",
        )?;
    }
    // If not at once then after `grace`, when no answer is under way any more.
    let signs_in = |now| {
        let (_, signed_in) = stepper.try_request(&state.records, now, state, Op::SignIn);
        matches!(signed_in, Ok(Answer::Set(_)))
    };
    let is_current = history.is_current(position);
    let works = signs_in(state.now) || (!is_current && signs_in(state.now + GRACE));
    holds(works, "whoever lost an answer can sign in again")
}
