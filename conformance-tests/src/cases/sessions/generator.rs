//! Group D, generators that repeat themselves or fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use session_core::{
    Error, ErrorKind, IdGenerator, RandomIds, Result, Session, SessionManagerBuilder, SessionToken, Sha512Ids,
};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, HOUR};
use crate::site::{Site, Step, cleared, id, refused, token};
use crate::spy::Calls;

pub(super) const CASES: &[Case] = &[
    case!(
        "generator",
        colliding_generator_4_tries,
        "create that meets an existing id tries a fresh one, at most 4 times",
    ),
    case!(
        "generator",
        failing_generator,
        "a generator that fails is an error, never a fallback, and nothing is written",
    ),
    case!(
        "generator",
        sha512_tokens_through_a_whole_life,
        "tokens of 128 hexadecimal digits work from the create to the end, whatever generator comes next",
    ),
];

/// Gives out what it was told to, then random tokens.
#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<VecDeque<Option<SessionToken>>>>);

impl Script {
    fn then(&self, tokens: impl IntoIterator<Item = Option<SessionToken>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(tokens);
    }
}

impl IdGenerator for Script {
    fn generate(&self) -> Result<SessionToken> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            None => RandomIds::default().generate(),
            Some(Some(token)) => Ok(token),
            Some(None) => Err(Error::describe(ErrorKind::Internal, "no randomness")),
        }
    }
}

fn scripted(ctx: &Context) -> CaseResult<(Site, Script)> {
    let script = Script::default();
    let ids = script.clone();
    let site = Site::with(ctx, move |builder: SessionManagerBuilder| builder.ids(ids))?;
    Ok((site, script))
}

async fn colliding_generator_4_tries(ctx: Context) -> CaseResult {
    let (site, script) = scripted(&ctx)?;
    let victim = site.member("alice").await?;
    let stored = site.record(&victim).await?;
    let victims_id = id(&victim)?;
    let taken = || Some(SessionToken::from_parts(victims_id, [9; 32]));
    for collisions in [1, 3] {
        script.then((0..collisions).map(|_| taken()));
        site.spy.calls();
        let own = site.create(|session| session.insert("n", 5)).await?;
        let expected = Calls { create: collisions + 1, ..Calls::default() };
        check::equal(site.spy.calls(), expected, "calls for a create that collides")?;
        check::ensure(id(&own)? != id(&victim)?, "the new session has the id of another")?;
        check::equal(site.n(&own).await?, 5, "the value of the new session")?;
    }
    script.then((0..4).map(|_| taken()));
    let session = site.manager.open(None).await?;
    session.insert("n", 5)?;
    site.spy.calls();
    refused(session.commit().await, ErrorKind::Internal, "a create that collides four times")?;
    check::equal(site.spy.calls().create, 4, "creates that were tried")?;
    check::same(&site.record(&victim).await?, &stored, "the session whose id was generated again")?;
    // With a generator that works again, so does the session.
    let own = token(session.commit().await?)?;
    check::equal(site.n(&own).await?, 5, "the value of the session that was created in the end")?;
    // An id that is taken by an expired session is free.
    ctx.clock().set(stored.expires_at);
    script.then([taken()]);
    let reused = site.create(|session| session.insert("n", 6)).await?;
    check::equal(id(&reused)?, id(&victim)?, "the id of an expired session")?;
    site.expect_stranger(&victim, "the token of the session that expired").await
}

async fn failing_generator(ctx: Context) -> CaseResult {
    let (site, script) = scripted(&ctx)?;
    let session = site.manager.open(None).await?;
    session.insert("n", 5)?;
    script.then([None]);
    site.spy.calls();
    refused(session.commit().await, ErrorKind::Internal, "a create without randomness")?;
    check::equal(site.spy.calls(), Calls::default(), "calls of the store without an id")?;
    let current = token(session.commit().await?)?;
    let stored = site.record(&current).await?;
    let steps: [Step; 2] = [Session::rotate, |session| session.sign_in("alice")];
    for step in steps {
        script.then([None]);
        let session = site.open(&current).await?;
        step(&session)?;
        session.insert("n", 6)?;
        refused(session.commit().await, ErrorKind::Internal, "a rotation without randomness")?;
        check::same(&site.record(&current).await?, &stored, "the session after a failed rotation")?;
    }
    site.open(&current).await.map(drop)
}

async fn sha512_tokens_through_a_whole_life(ctx: Context) -> CaseResult {
    let hexadecimal = Site::with(&ctx, |builder| builder.ids(Sha512Ids::default()))?;
    let random = Site::new(&ctx)?;
    let is_hexadecimal = |token: &str| {
        token.len() == 128 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let first = hexadecimal.visit().await?;
    check::ensure(is_hexadecimal(&first), "the token is not 128 hexadecimal digits")?;
    hexadecimal.count(&first).await?;
    let second = token(hexadecimal.request(&first, |session| session.sign_in("alice")).await?)?;
    check::ensure(is_hexadecimal(&second), "the rotated token is not 128 hexadecimal digits")?;
    check::equal(&second[..32], &first[..32], "the id's digits")?;
    hexadecimal.expect_superseded(&first, "the token before").await?;
    check::equal(id(&second)?.to_string().len(), 22, "the length of the id's text")?;
    // One that differs in its last digit, and one in capitals.
    let last = if second.ends_with('0') { "1" } else { "0" };
    hexadecimal.expect_stranger(&format!("{}{last}", &second[..127]), "a wrong digit").await?;
    hexadecimal.expect_stranger(&second.to_uppercase(), "capitals").await?;
    // Another generator takes over, and the first one again.
    random.count(&second).await?;
    let third = token(random.request(&second, Session::rotate_gracefully).await?)?;
    check::ensure(!is_hexadecimal(&third), "the generator did not change")?;
    check::equal(id(&third)?, id(&second)?, "the id under another generator")?;
    hexadecimal.count(&second).await?;
    hexadecimal.count(&third).await?;
    let fourth = token(hexadecimal.request(&third, Session::rotate).await?)?;
    check::equal(&fourth[..32], &first[..32], "the id's digits in the end")?;
    check::equal(hexadecimal.n(&fourth).await?, 4, "the value")?;
    ctx.clock().advance(HOUR);
    cleared(random.request(&fourth, Session::destroy).await?)?;
    hexadecimal.expect_stranger(&fourth, "the token of an ended session").await
}
