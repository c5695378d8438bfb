//! Group L, network: servers that are not there, connections that break, silence, and those who come back.

use std::thread;
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::case::{Case, case};
use crate::check::{CaseResult, Failure, ensure};
use crate::context::Context;
use crate::harness::Damage;
use crate::network::{Fault, Way};
use crate::wire::{Answer, Call, Verb, Wire, places};

pub(super) const CASES: &[Case] = &[
    case!(
        "network",
        refused_is_unavailable_quickly,
        "a server that refuses connections is `Unavailable`, never an absent session",
        Network,
    ),
    case!(
        "network",
        reset_at_each_byte,
        "a connection that breaks, at whatever byte, is an error, and what was asked for is done whole or not",
        Network,
    ),
    case!(
        "network",
        blackhole_hits_deadline,
        "a server that never answers is an error once the driver's own time is up",
        Network,
    ),
    case!(
        "network",
        one_byte_segments,
        "answers mean the same in whatever pieces and however late they come",
        Network,
    ),
    case!(
        "network",
        server_restart_reconnects,
        "a driver finds its server again by itself, as often as that goes away",
        Network,
    ),
    case!(
        "network",
        pool_exhaustion_times_out_and_recovers,
        "whoever waits behind others for a connection is told in time that there is none",
        Network,
    ),
    case!(
        "network",
        bad_row_in_batch_fails_alone,
        "a record that cannot be read fails the calls about it, and nobody else's at the same time",
        Damage,
    ),
    case!(
        "network",
        close_with_inflight_never_hangs,
        "a driver can be dropped, and its runtime end, while verbs wait for a server that is silent",
        Network,
    ),
];

/// Makes one call of every verb at the same time, `times` over, and waits for all answers.
async fn call_all(ctx: &Context, wire: &Wire, times: usize) -> CaseResult<Vec<(Call, Result<Answer>)>> {
    let mut calls = Vec::new();
    for _ in 0..times {
        for verb in Verb::ALL {
            calls.push(Call::prepare(ctx, verb).await?);
        }
    }
    let start = |call: Call| {
        let answer = tokio::spawn(call.run(&wire.backend));
        (call, answer)
    };
    let calls: Vec<_> = calls.into_iter().map(start).collect();
    // One limit for all: nobody is to wait for as long as there are others before.
    wire.within(async {
        let mut answers = Vec::new();
        for (call, answer) in calls {
            answers.push((call, answer.await?));
        }
        Ok(answers)
    })
    .await?
}

/// Fails unless a new handle is refused, in time.
async fn refuses_to_open(ctx: &Context, wire: &Wire, kinds: &[ErrorKind]) -> CaseResult {
    let (namespace, address) = (ctx.namespace(), wire.proxy.address());
    match wire.within(ctx.harness().open_through(&namespace, address)).await? {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        // Some connect when they are first used.
        Ok(Some(lazy)) => {
            let found = wire.within(lazy.load(ctx.id(), ctx.now())).await?;
            let kind = found.as_ref().err().map(Error::kind);
            ensure(kind.is_some_and(|kind| kinds.contains(&kind)), format!("load by a new handle: {found:?}"))
        }
        other => Err(Failure::new(format!("a handle to a server out of reach: {other:?}"))),
    }
}

async fn refused_is_unavailable_quickly(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    wire.recovers().await?;
    wire.proxy.set(Fault::Refuse).await?;
    for _ in 0..2 {
        for (call, answer) in call_all(&ctx, &wire, 1).await? {
            let kind = answer.as_ref().err().map(Error::kind);
            let right = kind == Some(ErrorKind::Unavailable);
            ensure(right, format!("{:?}, refused: expected Unavailable, got {answer:?}", call.verb))?;
            let changed = call.look(&ctx).await? && call.verb != Verb::Load;
            ensure(!changed, format!("{:?} has happened without a server", call.verb))?;
        }
    }
    refuses_to_open(&ctx, &wire, &[ErrorKind::Unavailable]).await?;
    wire.proxy.set(Fault::None).await?;
    wire.recovers().await
}

async fn reset_at_each_byte(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    for verb in Verb::ALL {
        for (way, bytes) in wire.cost(verb).await? {
            for byte in places(&ctx, bytes, ctx.rounds(24)) {
                wire.warm(verb).await?;
                break_at(&ctx, &mut wire, verb, (way, byte)).await?;
            }
        }
        // With all that is said before the first verb.
        wire.proxy.reset(Fault::None).await?;
        let before = wire.proxy.traffic();
        wire.warm(verb).await?;
        let after = wire.proxy.traffic();
        let greeting = [
            (Way::Requests, after.requests - before.requests),
            (Way::Replies, after.replies - before.replies),
        ];
        for (way, bytes) in greeting {
            for byte in places(&ctx, bytes, ctx.rounds(8)) {
                wire.proxy.reset(Fault::None).await?;
                break_at(&ctx, &mut wire, verb, (way, byte)).await?;
            }
        }
    }
    wire.recovers().await
}

/// Makes a call on a connection that is reset at this byte.
async fn break_at(ctx: &Context, wire: &mut Wire, verb: Verb, (way, byte): (Way, u64)) -> CaseResult {
    let call = Call::prepare(ctx, verb).await?;
    wire.proxy.reset_at(way, byte, Fault::None).await?;
    let answer = wire.within(call.run(&wire.backend)).await?;
    let in_place = |failure: Failure| Failure::new(format!("cut at byte {byte} of {way:?}: {failure}"));
    let happened = call.check(ctx, &answer).await.map_err(in_place)?;
    wire.proxy.set(Fault::None).await?;
    wire.recovers().await.map_err(in_place)?;
    let settled = call.look(ctx).await.map_err(in_place)?;
    ensure(settled || !happened, "it has happened, and then it had not").map_err(in_place)
}

async fn blackhole_hits_deadline(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout];
    // A connection that falls silent, one whose answers are lost, and one that is never made.
    for (fault, resets) in [(Fault::Blackhole, false), (Fault::LoseReplies, false), (Fault::Blackhole, true)]
    {
        wire.recovers().await?;
        if resets {
            wire.proxy.reset(fault).await?;
        } else {
            wire.proxy.set(fault).await?;
        }
        let answers = call_all(&ctx, &wire, 1).await?;
        for (call, answer) in &answers {
            ensure(answer.is_err(), format!("{:?}, into silence: {answer:?}", call.verb))?;
            call.check(&ctx, answer).await?;
        }
        if resets {
            refuses_to_open(&ctx, &wire, &kinds).await?;
        }
        wire.proxy.set(Fault::None).await?;
        wire.recovers().await?;
        for (call, _) in answers {
            call.look(&ctx).await?;
        }
    }
    Ok(())
}

async fn one_byte_segments(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    for fault in [Fault::OneByte, Fault::Delay(Duration::from_millis(5))] {
        wire.recovers().await?;
        wire.proxy.reset(fault).await?;
        // Connects again.
        wire.recovers().await?;
        for _ in 0..ctx.rounds(10) {
            for verb in Verb::ALL {
                let call = Call::prepare(&ctx, verb).await?;
                let answer = wire.within(call.run(&wire.backend)).await?;
                ensure(answer.is_ok(), format!("{verb:?} in pieces: {answer:?}"))?;
                call.check(&ctx, &answer).await?;
            }
        }
    }
    Ok(())
}

async fn server_restart_reconnects(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    for _ in 0..3 {
        wire.recovers().await?;
        wire.proxy.set(Fault::Refuse).await?;
        // The first may find a connection that has broken, the second finds none.
        for _ in 0..2 {
            let call = Call::prepare(&ctx, Verb::Load).await?;
            let answer = wire.within(call.run(&wire.backend)).await?;
            ensure(answer.is_err(), format!("load without a server: {answer:?}"))?;
        }
        wire.proxy.set(Fault::None).await?;
        wire.recovers().await?;
        for (call, answer) in call_all(&ctx, &wire, 2).await? {
            ensure(answer.is_ok(), format!("{:?} after a restart: {answer:?}", call.verb))?;
            call.check(&ctx, &answer).await?;
        }
    }
    Ok(())
}

async fn pool_exhaustion_times_out_and_recovers(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    wire.recovers().await?;
    wire.proxy.set(Fault::Hold).await?;
    let answers = call_all(&ctx, &wire, ctx.rounds(120)).await?;
    for (call, answer) in &answers {
        ensure(answer.is_err(), format!("{:?}, held: {answer:?}", call.verb))?;
        call.check(&ctx, answer).await?;
    }
    wire.proxy.set(Fault::None).await?;
    wire.recovers().await?;
    for (call, _) in answers {
        call.look(&ctx).await?;
    }
    for (call, answer) in call_all(&ctx, &wire, 1).await? {
        ensure(answer.is_ok(), format!("{:?} after a shortage: {answer:?}", call.verb))?;
        call.check(&ctx, &answer).await?;
    }
    Ok(())
}

async fn bad_row_in_batch_fails_alone(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for _ in 0..ctx.rounds(10) {
        let bad = Call::prepare(&ctx, Verb::Load).await?;
        ctx.damage(bad.id, Damage::Unreadable).await?;
        let next = ctx.record();
        for verb in Verb::ALL {
            let mut good = Vec::new();
            for _ in 0..8 {
                good.push(Call::prepare(&ctx, verb).await?);
            }
            let spoil = {
                let (backend, id, next, now) = (backend.clone(), bad.id, next.clone(), ctx.now());
                move || {
                    let (backend, next) = (backend.clone(), next.clone());
                    tokio::spawn(async move {
                        match verb {
                            Verb::Create => backend.create(id, next, now).await.map(drop),
                            Verb::Load => backend.load(id, now).await.map(drop),
                            Verb::Update => backend.update(id, next.revision, next, now).await.map(drop),
                            // It need not read what it touches.
                            Verb::Touch => backend.touch(id, next.expires_at, now).await.map(drop),
                            Verb::Delete => backend.delete(id, Some(next.revision), now).await.map(drop),
                        }
                    })
                }
            };
            let mut spoilt = Vec::new();
            let mut answers = Vec::new();
            for call in good {
                spoilt.push(spoil());
                let answer = tokio::spawn(call.run(&backend));
                answers.push((call, answer));
            }
            for (call, answer) in answers {
                let answer = answer.await?;
                ensure(answer.is_ok(), format!("{verb:?} beside a bad record: {answer:?}"))?;
                call.check(&ctx, &answer).await?;
            }
            for call in spoilt {
                let result = call.await?;
                let refused = result.as_ref().err().is_some_and(|error| error.kind() == ErrorKind::Corrupt);
                let unknown =
                    result.as_ref().err().is_some_and(|error| error.kind() == ErrorKind::UnknownFormat);
                let excused = verb == Verb::Touch && result.is_ok();
                ensure(refused || unknown || excused, format!("{verb:?} of a bad record: {result:?}"))?;
            }
        }
    }
    Ok(())
}

async fn close_with_inflight_never_hangs(ctx: Context) -> CaseResult {
    let mut wire = ctx.wire().await?;
    let mut calls = Vec::new();
    for verb in Verb::ALL {
        calls.push(Call::prepare(&ctx, verb).await?);
    }
    let backend = ctx.open_through(&wire.proxy).await?;
    wire.proxy.set(Fault::Hold).await?;
    let verbs: Vec<_> = calls.iter().map(|call| tokio::spawn(call.run(&backend))).collect();
    wire.within(wire.proxy.struck()).await?;
    // With their futures the last other handles go.
    for verb in verbs {
        verb.abort();
        let _ = verb.await;
    }
    let (sender, ended) = oneshot::channel();
    thread::spawn(move || {
        drop(backend);
        let _ = sender.send(());
    });
    wire.within(ended).await?.map_err(|_| Failure::new("dropping a handle panicked"))?;
    wire.proxy.reset(Fault::None).await?;
    for call in calls {
        call.look(&ctx).await?;
    }
    end_runtime_with_inflight(&ctx, &mut wire).await?;
    wire.recovers().await
}

/// Ends a runtime, that of the driver, while verbs wait for a server that is silent.
async fn end_runtime_with_inflight(ctx: &Context, wire: &mut Wire) -> CaseResult {
    let call = Call::prepare(ctx, Verb::Update).await?;
    let (opened, is_open) = oneshot::channel();
    let (begin, begun) = oneshot::channel::<()>();
    let (end, may_end) = oneshot::channel::<()>();
    let (sender, ended) = oneshot::channel();
    let (namespace, address, harness) = (ctx.namespace(), wire.proxy.address(), ctx.harness());
    let verb = call.clone();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(Some(backend)) = harness.open_through(&namespace, address).await else { return };
            let _ = opened.send(());
            let _ = begun.await;
            let verb = tokio::spawn(verb.run(&backend));
            let _ = may_end.await;
            drop(verb);
        });
        drop(runtime);
        let _ = sender.send(());
    });
    wire.within(is_open).await?.map_err(|_| Failure::new("no handle on a runtime of its own"))?;
    wire.proxy.set(Fault::Hold).await?;
    let _ = begin.send(());
    wire.within(wire.proxy.struck()).await?;
    let _ = end.send(());
    wire.within(ended).await?.map_err(|_| Failure::new("the end of a runtime panicked"))?;
    wire.proxy.reset(Fault::None).await?;
    call.look(ctx).await.map(drop)
}
