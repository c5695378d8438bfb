//! Group L, answers that a network loses once the server has done what it was asked: whatever the driver and its
//! client make of that, a commit counts once. The same rules without a network are in `sessions::lost_replies`.

use session_core::{CreateOutcome, ErrorKind, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure, ensure};
use crate::context::Context;
use crate::network::{Fault, Way};
use crate::site::{Site, add_one, cleared, id, refused, token, unchanged};
use crate::wire::{Answer, Call, Verb, Wire, places, temporary};

pub(super) const CASES: &[Case] = &[
    case!(
        "lost_answers",
        lost_reply_recognised_by_revision,
        "a commit whose answer the network loses finds its revision in the store: it has landed, once",
        Network,
    ),
    case!(
        "lost_answers",
        lost_reply_then_other_writer_recognised,
        "a commit whose answer the network loses finds its revision below up to eight later ones",
        Network,
    ),
    case!(
        "lost_answers",
        lost_reply_then_nine_writers_is_indeterminate,
        "after nine later writes a commit whose answer the network lost is `Indeterminate`, never a replay",
        Network,
    ),
    case!(
        "lost_answers",
        lost_create_reply_leaves_at_most_an_orphan_and_never_revives,
        "a create is never sent twice with one id: what has ended stays so, and a retry leaves one orphan at most",
        Network,
    ),
];

/// A node that reaches its store through the proxy.
fn node(ctx: &Context, wire: &Wire) -> CaseResult<Site> {
    Site::over(ctx, wire.backend.clone(), |builder| builder)
}

/// How often an answer is meant to be lost before that counts as impossible. A driver may test a connection that was
/// idle for long, and shift all bytes.
const ATTEMPTS: usize = 20;

/// A request that has counted to 1, and whose commit was cut off from the last byte of its answer.
struct Lost {
    current: String,
    session: Session,
    committed: session_core::Result<session_core::Committed>,
}

/// Loses the answer of a commit; what follows on the network is `then`.
async fn lose(ctx: &Context, wire: &mut Wire, then: Fault) -> CaseResult<Lost> {
    let (site, other) = (node(ctx, wire)?, Site::new(ctx)?);
    for _ in 0..ATTEMPTS {
        wire.recovers().await?;
        let current = other.visit().await?;
        site.count(&current).await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        let before = wire.proxy.traffic().replies;
        unchanged(session.commit().await?)?;
        let bytes = wire.proxy.traffic().replies - before;

        let current = other.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        wire.proxy.reset_at(Way::Replies, bytes.saturating_sub(1), then).await?;
        let committed = wire.within(session.commit()).await?;
        let lost = wire.proxy.has_struck();
        wire.proxy.set(Fault::None).await?;
        if lost && other.n(&current).await? == 1 {
            return Ok(Lost { current, session, committed });
        }
    }
    Err(Failure::new("no answer could be lost after its update had landed"))
}

async fn lost_reply_recognised_by_revision(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let other = Site::new(&ctx)?;
    for then in [Fault::None, Fault::Refuse] {
        let Lost { current, session, committed } = lose(&ctx, &mut wire, then).await?;
        // One look is enough if the store answers it; else the next commit finds out.
        match committed {
            Ok(committed) => unchanged(committed)?,
            Err(error) => temporary(&error, "a commit whose answer is lost")?,
        }
        wire.recovers().await?;
        unchanged(session.commit().await?)?;
        check::equal(session.get("n")?, Some(1), "the value after a lost answer")?;
        check::equal(other.n(&current).await?, 1, "the stored value after a lost answer")?;
    }
    Ok(())
}

async fn lost_reply_then_other_writer_recognised(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let other = Site::new(&ctx)?;
    for others in [1, 8] {
        let Lost { current, session, committed } = lose(&ctx, &mut wire, Fault::Refuse).await?;
        let error = committed.err().ok_or_else(|| Failure::new("committed without an answer"))?;
        temporary(&error, "a commit whose answer is lost")?;
        for _ in 0..others {
            other.count(&current).await?;
        }
        wire.recovers().await?;
        unchanged(session.commit().await?)?;
        let what = format!("the value after {others} others");
        check::equal(session.get("n")?, Some(1 + others), &what)?;
        check::equal(other.n(&current).await?, 1 + others, &what)?;
    }
    Ok(())
}

async fn lost_reply_then_nine_writers_is_indeterminate(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let other = Site::new(&ctx)?;
    let Lost { current, session, committed } = lose(&ctx, &mut wire, Fault::Refuse).await?;
    let error = committed.err().ok_or_else(|| Failure::new("committed without an answer"))?;
    temporary(&error, "a commit whose answer is lost")?;
    for _ in 0..9 {
        other.count(&current).await?;
    }
    wire.recovers().await?;
    refused(session.commit().await, ErrorKind::Indeterminate, "a commit after nine other writers")?;
    check::equal(other.n(&current).await?, 10, "the stored value after that")
}

async fn lost_create_reply_leaves_at_most_an_orphan_and_never_revives(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let bytes = wire.cost(Verb::Create).await?[1].1;
    let mut has_landed = false;
    for byte in places(&ctx, bytes, ctx.rounds(30)).into_iter().chain([bytes - 1]) {
        wire.warm(Verb::Create).await?;
        has_landed |= create_once(&ctx, &mut wire, byte).await?;
    }
    ensure(has_landed, "no create has landed whose answer was cut off")?;
    commit_again(&ctx, &mut wire).await
}

/// Creates a session, loses the answer from this byte on, and ends the session while the driver cannot connect
/// again. Whether it had landed.
async fn create_once(ctx: &Context, wire: &mut Wire, byte: u64) -> CaseResult<bool> {
    let call = Call::prepare(ctx, Verb::Create).await?;
    wire.proxy.reset_at(Way::Replies, byte, Fault::Hold).await?;
    let verb = tokio::spawn(call.run(&wire.backend));
    wire.within(wire.proxy.struck()).await?;
    let has_landed = call.look(ctx).await?;
    if has_landed {
        check::deleted(ctx.backend().delete(call.id, None, ctx.now()).await?)?;
    }
    wire.proxy.set(Fault::None).await?;
    match wire.within(verb).await?? {
        Err(error) => temporary(&error, "a create whose answer is lost")?,
        Ok(Answer::Create(CreateOutcome::Created)) => {}
        Ok(other) => return Err(Failure::new(format!("a create that was sent twice: {other:?}"))),
    }
    wire.recovers().await?;
    ensure(!has_landed || !call.look(ctx).await?, "a session that was ended is back")?;
    Ok(has_landed)
}

/// The same from above: the commit that is called again makes another session, and that one works.
async fn commit_again(ctx: &Context, wire: &mut Wire) -> CaseResult {
    let site = node(ctx, wire)?;
    wire.recovers().await?;
    site.visit().await?;
    let before = wire.proxy.traffic().replies;
    site.visit().await?;
    let bytes = wire.proxy.traffic().replies - before;
    let stored = stored_sessions(ctx).await?;
    let session = site.manager.open(None).await?;
    session.insert("n", 0)?;
    wire.proxy.reset_at(Way::Replies, bytes.saturating_sub(1), Fault::Refuse).await?;
    let committed = wire.within(session.commit()).await?;
    wire.proxy.set(Fault::None).await?;
    let committed = match committed {
        Err(error) => {
            temporary(&error, "a create whose answer is lost")?;
            wire.recovers().await?;
            session.commit().await?
        }
        Ok(committed) => committed,
    };
    let current = token(committed)?;
    check::equal(site.n(&current).await?, 0, "the value of the session that was made in the end")?;
    if let (Some(before), Some(after)) = (stored, stored_sessions(ctx).await?) {
        let made = after - before;
        ensure((1..=2).contains(&made), format!("{made} sessions were made for one"))?;
    }
    cleared(site.request(&current, Session::destroy).await?)?;
    wire.proxy.reset(Fault::None).await?;
    wire.recovers().await?;
    ctx.expect_none(id(&current)?, "a session that was ended").await
}

/// How many sessions there are, if the driver can tell.
async fn stored_sessions(ctx: &Context) -> CaseResult<Option<usize>> {
    if !ctx.harness().promises().list {
        return Ok(None);
    }
    let mut ids = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = ctx.backend().list(None, after, 100, ctx.now()).await?;
        ids.extend(page.sessions.into_iter().map(|(id, _)| id));
        after = page.next;
        if after.is_none() {
            return Ok(Some(ids.len()));
        }
    }
}
