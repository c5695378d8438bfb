//! Group L, cancellation: verbs that nobody waits for any more.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use session_core::{CreateOutcome, DeleteOutcome, UpdateOutcome};
use tokio::task::JoinSet;

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure, ensure};
use crate::context::Context;
use crate::network::{Fault, Way};
use crate::wire::{Call, Verb, Wire, places};

pub(super) const CASES: &[Case] = &[
    case!(
        "cancellation",
        drop_at_every_poll_every_verb,
        "a verb whose future is dropped takes effect later, once, or never; never half",
    ),
    case!(
        "cancellation",
        late_landing_of_a_dropped_verb_happens_once,
        "what a dropped verb has sent may take effect later, once: neither again, nor over what came between",
        Network,
    ),
    case!(
        "cancellation",
        pool_of_one_clean_after_cancel,
        "a dropped verb leaves the connection clean: the next one on it works",
        Network,
    ),
    case!(
        "cancellation",
        cancelled_read_never_hands_over_another_reply,
        "the answer to a dropped verb never reaches another caller",
        Network,
    ),
];

/// Polls `future` up to `polls` times, then drops it. What it had come to.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return Some(output);
        }
        // Lets the driver's tasks come a bit further, so that drops meet it in all of its states.
        tokio::task::yield_now().await;
    }
    None
}

async fn drop_at_every_poll_every_verb(ctx: Context) -> CaseResult {
    let (backend, promises) = (ctx.backend(), ctx.harness().promises());
    let mut calls = Vec::new();
    for polls in (0..12).chain((4..11).map(|power| 1 << power)) {
        for verb in Verb::ALL {
            let call = Call::prepare(&ctx, verb).await?;
            let answer = drop_after(polls, call.run(&backend)).await;
            let happened = match answer {
                Some(answer) => call.check(&ctx, &Ok(answer?)).await?,
                None => call.look(&ctx).await?,
            };
            ensure(!happened || polls > 0 || verb == Verb::Load, "what was never asked for has happened")?;
            calls.push((call, happened));
        }
        if promises.list {
            drop_after(polls, backend.list(None, None, 10, ctx.now())).await.transpose()?;
        }
        if promises.purge {
            drop_after(polls, backend.purge_expired(ctx.now(), 10)).await.transpose()?;
        }
    }
    for (call, happened) in calls {
        let settled = call.look(&ctx).await?;
        ensure(settled || !happened, format!("{:?} has happened, and then it had not", call.verb))?;
    }
    Ok(())
}

/// Makes a call, and drops it when the proxy holds a byte of it. Whether it came to its end before.
async fn drop_when_held(wire: &Wire, ctx: &Context, call: &Call) -> CaseResult<bool> {
    let verb = tokio::spawn(call.run(&wire.backend));
    let abort = verb.abort_handle();
    tokio::select! {
        biased;
        () = wire.proxy.struck() => {
            abort.abort();
            Ok(false)
        }
        answer = wire.within(verb) => {
            call.check(ctx, &answer??).await?;
            Ok(true)
        }
    }
}

async fn late_landing_of_a_dropped_verb_happens_once(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let direct = ctx.backend();
    for _ in 0..ctx.rounds(30) {
        // Another writer comes first: the late one meets a newer revision.
        wire.warm(Verb::Update).await?;
        let call = Call::prepare(&ctx, Verb::Update).await?;
        wire.proxy.set(Fault::Hold).await?;
        drop_when_held(&wire, &ctx, &call).await?;
        let mine = write_over(&ctx, &call).await?;
        wire.proxy.set(Fault::None).await?;
        wire.recovers().await?;
        check::found(direct.load(call.id, ctx.now()).await?, &mine, "a write that a dropped one came after")?;

        // It is ended once it has landed, and stays ended, though its answer never arrived.
        wire.warm(Verb::Create).await?;
        let call = Call::prepare(&ctx, Verb::Create).await?;
        wire.proxy.set_at(Way::Replies, 0, Fault::Hold).await?;
        drop_when_held(&wire, &ctx, &call).await?;
        let landed = call.look(&ctx).await?;
        if landed {
            check::deleted(direct.delete(call.id, None, ctx.now()).await?)?;
        }
        wire.proxy.reset(Fault::None).await?;
        wire.recovers().await?;
        wire.recovers().await?;
        ensure(!landed || !call.look(&ctx).await?, "a session that was ended is back")?;
    }
    Ok(())
}

/// Updates the session of a call that may land at any time; what is stored then.
async fn write_over(ctx: &Context, call: &Call) -> CaseResult<session_core::Record> {
    let direct = ctx.backend();
    let current = direct.load(call.id, ctx.now()).await?;
    let mut current = current.ok_or_else(|| Failure::new("the session is gone"))?;
    loop {
        let next = ctx.successor(&current);
        match direct.update(call.id, current.revision, next.clone(), ctx.now()).await? {
            UpdateOutcome::Updated => return Ok(next),
            UpdateOutcome::Conflict(newer) => current = newer,
            UpdateOutcome::Gone => return Err(Failure::new("the session is gone")),
        }
    }
}

async fn pool_of_one_clean_after_cancel(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    for verb in Verb::ALL {
        for (way, bytes) in wire.cost(verb).await? {
            for byte in places(&ctx, bytes, ctx.rounds(16)) {
                wire.warm(verb).await?;
                let call = Call::prepare(&ctx, verb).await?;
                wire.proxy.set_at(way, byte, Fault::Hold).await?;
                drop_when_held(&wire, &ctx, &call).await?;
                wire.proxy.set(Fault::None).await?;
                // At once, on the connection that was in the middle of something.
                let next = Call::prepare(&ctx, verb).await?;
                let answer = wire.within(next.run(&wire.backend)).await?;
                ensure(answer.is_ok(), format!("{verb:?} after a dropped one: {answer:?}"))?;
                next.check(&ctx, &answer).await?;
                call.look(&ctx).await?;
            }
        }
    }
    Ok(())
}

async fn cancelled_read_never_hands_over_another_reply(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let record = ctx.record();
        sessions.push((ctx.create(&record).await?, record));
    }
    for round in 0..ctx.rounds(60) {
        wire.recovers().await?;
        wire.proxy.set_at(Way::Replies, round as u64 % 3, Fault::Hold).await?;
        let dropped: Vec<_> = (0..1 + round % 3)
            .map(|at| {
                let (backend, id, now) = (wire.backend.clone(), sessions[at].0, ctx.now());
                tokio::spawn(async move { backend.load(id, now).await })
            })
            .collect();
        wire.within(wire.proxy.struck()).await?;
        dropped.iter().for_each(|load| load.abort());
        // Those that follow are asked before the answers to the dropped ones are there.
        let mut readers = JoinSet::new();
        for (id, record) in &sessions {
            let (backend, id, record, now) = (wire.backend.clone(), *id, record.clone(), ctx.now());
            readers.spawn(async move { (backend.load(id, now).await, record) });
        }
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        wire.proxy.set(Fault::None).await?;
        while let Some(read) = wire.within(readers.join_next()).await? {
            let (found, record) = read?;
            check::found(found?, &record, "load after a dropped one")?;
        }
        // Absent is absent, whatever was asked before.
        let (id, now) = (ctx.id(), ctx.now());
        check::missing(wire.within(wire.backend.load(id, now)).await??, "load of an absent session")?;
        let deleted = wire.within(wire.backend.delete(id, None, now)).await??;
        check::equal(deleted, DeleteOutcome::Absent, "delete of an absent session")?;
        let created = wire.within(wire.backend.create(id, ctx.record(), now)).await??;
        check::equal(created, CreateOutcome::Created, "create after all that")?;
    }
    Ok(())
}
