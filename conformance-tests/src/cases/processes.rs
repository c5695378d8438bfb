//! Groups M and N: several processes on one store, some of which are killed without a warning.

use tokio::task::spawn_blocking;

use session_core::{Record, Revision, SessionId, UpdateOutcome};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure, ensure};
use crate::context::{Context, START};
use crate::process::{COUNTS, Process, Role, numbered, successor};

pub(super) const CASES: &[Case] = &[
    case!(
        "processes",
        two_processes_counter,
        "updates of one session by several processes lose none of each other",
        Processes,
    ),
    case!(
        "processes",
        lock_freed_after_kill9,
        "a process that is killed while it writes holds nobody up",
        Processes,
    ),
    case!(
        "processes",
        three_initialisers_migrate_once,
        "processes may open a new namespace at the same time",
        Processes,
    ),
    case!(
        "crash",
        kill9_loop_acknowledged_survive_none_torn,
        "what was acknowledged outlives the process that wrote it, and nothing is there in part",
        Processes,
        Durable,
    ),
];

async fn two_processes_counter(ctx: Context) -> CaseResult {
    let ids = [ctx.id(), ctx.id()];
    for id in ids {
        check::created(ctx.backend().create(id, numbered(1, Revision::first(1)), START).await?)?;
    }
    let processes = [ctx.process(Role::Count, &ids)?, ctx.process(Role::Count, &ids)?];
    for process in processes {
        spawn_blocking(move || process.succeed()).await??;
    }
    for id in ids {
        let counted = ctx.backend().load(id, START).await?;
        let sequence = counted.map(|record| record.revision.sequence());
        check::equal(sequence, Some(1 + 2 * COUNTS), "the sequence after all counts")?;
    }
    Ok(())
}

async fn lock_freed_after_kill9(ctx: Context) -> CaseResult {
    let id = ctx.id();
    check::created(ctx.backend().create(id, numbered(1, Revision::first(1)), START).await?)?;
    for round in 0..ctx.rounds(20) {
        let process = ctx.process(Role::Write, &[id])?;
        let _ = spawn_blocking(move || kill_after(process, 1 + round * 3)).await??;
        write_over(&ctx, id).await?;
    }
    Ok(())
}

async fn three_initialisers_migrate_once(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(10) {
        let namespace = ctx.reserve(&format!("{}{}", ctx.namespace(), round));
        let ids = [ctx.id(), ctx.id(), ctx.id()];
        let start = |id| Process::start(ctx.command()?, Role::Open, &namespace, &[id]);
        let processes: Vec<_> = ids.into_iter().map(start).collect::<CaseResult<_>>()?;
        for process in processes {
            spawn_blocking(move || process.succeed()).await??;
        }
        let backend = ctx.harness().second_handle(&namespace).await?;
        let backend = backend.ok_or_else(|| Failure::new("the harness opens no second handle"))?;
        for id in ids {
            let found = backend.load(id, START).await?;
            ensure(found.is_some(), "a session is missing that one of the processes has created")?;
        }
    }
    Ok(())
}

async fn kill9_loop_acknowledged_survive_none_torn(ctx: Context) -> CaseResult {
    let ids = [ctx.id(), ctx.id(), ctx.id(), ctx.id()];
    let mut seen = [1; 4];
    for id in ids {
        check::created(ctx.backend().create(id, numbered(1, Revision::first(1)), START).await?)?;
    }
    // A server outlives its clients, each of which has to connect first.
    let kills = if ctx.harness().promises().network { 20 } else { 200 };
    for round in 0..ctx.rounds(kills) {
        let process = ctx.process(Role::Write, &ids)?;
        let acknowledged = spawn_blocking(move || kill_after(process, 1 + round % 41)).await??;
        for (place, sequence) in acknowledged {
            seen[place] = sequence;
        }
        for (id, seen) in ids.into_iter().zip(&mut seen) {
            let (stored, next) = write_over(&ctx, id).await?;
            let sequence = stored.revision.sequence();
            // What came after the last acknowledged write may have happened.
            ensure(
                sequence == *seen || sequence == *seen + 1,
                format!("write {sequence} is stored, and {seen} was the last to be acknowledged"),
            )?;
            check::same(&stored, &numbered(sequence, stored.revision), "a write of a killed process")?;
            *seen = next.revision.sequence();
        }
    }
    Ok(())
}

/// Updates a session whose writer was killed, and returns the record before that and the one after. What a dead writer has
/// sent last may still arrive at a server; it no longer can when this has been stored.
async fn write_over(ctx: &Context, id: SessionId) -> CaseResult<(Record, Record)> {
    let current = ctx.backend().load(id, START).await?;
    let mut current = current.ok_or_else(|| Failure::new("the session is gone"))?;
    for _ in 0..2 {
        let next = successor(&current);
        match ctx.backend().update(id, current.revision, next.clone(), START).await? {
            UpdateOutcome::Updated => return Ok((current, next)),
            UpdateOutcome::Conflict(late) => current = late,
            UpdateOutcome::Gone => return Err(Failure::new("the session is gone")),
        }
    }
    Err(Failure::new("a dead process goes on writing"))
}

/// Kills `process` once it has had `count` writes acknowledged, and returns all that were.
fn kill_after(mut process: Process, count: usize) -> CaseResult<Vec<(usize, u32)>> {
    let mut acknowledged = Vec::new();
    while acknowledged.len() < count {
        let next = process.acknowledged()?;
        acknowledged.push(next.ok_or_else(|| Failure::new("a process has ended by itself"))?);
    }
    process.kill()?;
    // What it said before it died. The last line may be broken off.
    while let Ok(Some(next)) = process.acknowledged() {
        acknowledged.push(next);
    }
    Ok(acknowledged)
}
