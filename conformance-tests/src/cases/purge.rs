//! Group G: a purge removes the dead, all of them in the end, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use session_core::{Purged, Record, SessionId, Timestamp};
use tokio::time::timeout;

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::race::{hesitate, race, race_two, racer};
use crate::scan::{holds, is_named};

pub(super) const CASES: &[Case] = &[
    case!(
        "purge",
        removes_only_expired,
        "purge_expired removes what is dead at its `now`, and never a live record",
        Removal,
    ),
    case!(
        "purge",
        limit_and_more_converge,
        "purge_expired removes at most `limit`, counts what it removed, and ends when called again and again",
        Removal,
    ),
    case!(
        "purge",
        concurrent_purgers_no_deadlock,
        "purge_expired may run in several places at once: each record is removed, and counted, once",
        Removal,
    ),
    case!(
        "purge",
        touched_after_selection_survives,
        "purge_expired carries its predicate into the deletion: what was touched meanwhile stays",
        Purge,
    ),
    case!(
        "purge",
        limit_0_removes_nothing,
        "purge_expired with a limit of 0 removes nothing, and ends",
        Purge
    ),
    case!(
        "purge",
        leaves_no_index_rows,
        "a purged session leaves nothing in the store, neither of its id nor of its principal",
        Removal,
        Scan,
    ),
    case!("purge", writers_progress_during_purge, "a purge of many keeps no writer from its work", Removal,),
];

async fn removes_only_expired(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now().saturating_add(HOUR));
    let millisecond = Duration::from_millis(1);
    let dead_from = [now, now.saturating_sub(millisecond), ctx.now(), ctx.now().saturating_sub(HOUR)];
    let live_until = [now.saturating_add(millisecond), now.saturating_add(HOUR), Timestamp::MAX];
    let (mut dead, mut live) = (Vec::new(), Vec::new());
    for round in 0..6 {
        for expires_at in dead_from {
            dead.push(session(&ctx, expires_at, round % 2 == 0).await?);
        }
        for expires_at in live_until {
            live.push(session(&ctx, expires_at, round % 2 == 0).await?);
        }
    }
    let removed = purge_all(&ctx, now, 1000, 3).await?;
    check::equal(removed, dead.len() as u64, "how many were removed")?;
    for (id, _) in &dead {
        check::missing(backend.load(*id, Timestamp::MIN).await?, "a purged session, to any clock")?;
    }
    for (id, record) in &live {
        check::found(backend.load(*id, now).await?, record, "a live session after a purge")?;
    }
    Ok(())
}

async fn limit_and_more_converge(ctx: Context) -> CaseResult {
    const DEAD: u64 = 25;
    let now = ctx.now();
    let survivor = ctx.record();
    let survivor_id = ctx.create(&survivor).await?;
    for _ in 0..DEAD {
        session(&ctx, now, true).await?;
    }
    let first = ctx.backend().purge_expired(now, 10).await?;
    check::ensure(first.removed <= 10, format!("{} removed, the limit was 10", first.removed))?;
    check::ensure(first.more, "`more` is false while dead records are left")?;
    // One call for each record, and one more to find nothing, is the worst that converges.
    let rest = purge_all(&ctx, now, 10, DEAD as usize + 1).await?;
    check::equal(first.removed + rest, DEAD, "how many were removed")?;
    let again = ctx.backend().purge_expired(now, 10).await?;
    check::equal((again.removed, again.more), (0, false), "a purge of nothing")?;
    ctx.expect(survivor_id, &survivor, "a live session after purges").await
}

async fn concurrent_purgers_no_deadlock(ctx: Context) -> CaseResult {
    const DEAD: u64 = 16;
    for _ in 0..ctx.rounds(100) {
        let now = ctx.now();
        for _ in 0..DEAD {
            session(&ctx, now, true).await?;
        }
        let purger = |_| {
            let ctx = ctx.clone();
            racer(async move { purge_all(&ctx, now, 7, 100).await })
        };
        let writer = {
            let ctx = ctx.clone();
            racer(async move {
                for _ in 0..4 {
                    let record = ctx.record_of("alice")?;
                    let id = ctx.create(&record).await?;
                    ctx.expect(id, &record, "a session created during purges").await?;
                }
                Ok(0)
            })
        };
        let removed: u64 = race((0..4).map(purger).chain([writer]).collect()).await?.into_iter().sum();
        check::equal(removed, DEAD, "how many all the purgers removed")?;
    }
    Ok(())
}

async fn touched_after_selection_survives(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(300) {
        let record = ctx.record_of("alice")?;
        let id = ctx.create(&record).await?;
        // The toucher's clock is a little behind: to it the session lives, to the purger it is dead.
        let (behind, now) = (ctx.now(), record.expires_at);
        let until = now.saturating_add(HOUR);
        let (purger, toucher) = (ctx.backend(), ctx.backend());
        let (_, touched) = race_two(async move { Ok(purger.purge_expired(now, 100).await?) }, async move {
            hesitate(round % 4).await;
            Ok(toucher.touch(id, until, behind).await?)
        })
        .await?;
        let found = ctx.backend().load(id, now).await?;
        if touched {
            let mut expected = record;
            expected.touch(until, behind);
            check::found(found, &expected, "a session that was touched before the purge")?;
        } else {
            check::missing(found, "a session that was purged before the touch")?;
        }
        let _ = ctx.backend().delete(id, None, now).await?;
    }
    Ok(())
}

async fn limit_0_removes_nothing(ctx: Context) -> CaseResult {
    let (now, mut dead) = (ctx.now(), Vec::new());
    let none = async || -> CaseResult {
        let purged = timeout(ctx.patience(), ctx.backend().purge_expired(now, 0)).await;
        let purged = purged.map_err(|_| Failure::new("a purge with a limit of 0 does not end"))??;
        check::equal(purged, Purged::default(), "a purge of none")
    };
    none().await?;
    for _ in 0..3 {
        dead.push(session(&ctx, now, true).await?);
    }
    none().await?;
    for (id, record) in &dead {
        let found = ctx.backend().load(*id, Timestamp::MIN).await?;
        check::found(found, record, "a dead session after a purge of none, to a clock that is behind")?;
    }
    Ok(())
}

async fn leaves_no_index_rows(ctx: Context) -> CaseResult {
    const NAMES: [&str; 2] = ["a principal that is nowhere else", "another one of the kind"];
    let backend = ctx.backend();
    let mut ids = Vec::new();
    for number in 0..6 {
        let record = ctx.record_of(NAMES[0])?;
        let id = ctx.create(&record).await?;
        match number % 3 {
            0 => {}
            1 => {
                let next = ctx.successor(&record).with_principal(ctx.record_of(NAMES[1])?.principal);
                check::updated(backend.update(id, record.revision, next, ctx.now()).await?)?;
            }
            _ => {
                let touched = backend.touch(id, record.deadline, ctx.now()).await?;
                check::equal(touched, true, "touch of a live session")?;
            }
        }
        ids.push(id);
    }
    let pieces = ctx.scan().await?;
    for id in &ids {
        check::ensure(holds(&pieces, id.as_bytes()), "the harness does not show an id")?;
    }
    ctx.clock().advance(DAY);
    check::equal(purge_all(&ctx, ctx.now(), 4, 10).await?, 6, "how many were removed")?;
    let pieces = ctx.scan().await?;
    for id in ids {
        check::ensure(!is_named(&pieces, id), format!("{id} is still in the store"))?;
    }
    for name in NAMES {
        check::ensure(!holds(&pieces, name.as_bytes()), format!("{name:?} is still in the store"))?;
    }
    Ok(())
}

async fn writers_progress_during_purge(ctx: Context) -> CaseResult {
    const WRITERS: usize = 3;
    let (now, dead) = (ctx.now(), ctx.sessions(1200));
    for _ in 0..dead {
        session(&ctx, now, false).await?;
    }
    let purging = Arc::new(AtomicBool::new(true));
    let purger = {
        let (ctx, purging) = (ctx.clone(), purging.clone());
        racer(async move {
            let purged = timeout(MINUTE, ctx.backend().purge_expired(now, usize::MAX)).await;
            purging.store(false, Ordering::SeqCst);
            let purged = purged.map_err(|_| Failure::new("a purge beside writers does not end"))??;
            check::equal(purged.removed, dead as u64, "how many were removed")
        })
    };
    let writer = |_| {
        let (ctx, purging) = (ctx.clone(), purging.clone());
        racer(async move {
            let record = ctx.record_of("alice")?;
            let mut round = 0;
            while round < 3 || purging.load(Ordering::SeqCst) {
                round += 1;
                let patience = ctx.patience();
                let life = timeout(patience, lives_a_life(&ctx, &record)).await;
                life.map_err(|_| Failure::new(format!("a writer waited for {patience:?}")))??;
                // A driver that never waits would keep the purge itself off its worker.
                hesitate(1).await;
            }
            Ok(())
        })
    };
    race((0..WRITERS).map(writer).chain([purger]).collect()).await?;
    Ok(())
}

/// A session from its create to its delete.
async fn lives_a_life(ctx: &Context, record: &Record) -> CaseResult {
    let backend = ctx.backend();
    let id = ctx.create(record).await?;
    let mut next = ctx.successor(record);
    check::updated(backend.update(id, record.revision, next.clone(), ctx.now()).await?)?;
    check::equal(backend.touch(id, next.deadline, ctx.now()).await?, true, "touch during a purge")?;
    next.touch(next.deadline, ctx.now());
    ctx.expect(id, &next, "a session during a purge").await?;
    check::deleted(backend.delete(id, None, ctx.now()).await?)
}

/// A session that is dead from `expires_at` on, whatever the case's clock shows.
async fn session(ctx: &Context, expires_at: Timestamp, anonymous: bool) -> CaseResult<(SessionId, Record)> {
    let mut record = if anonymous { ctx.record() } else { ctx.record_of("alice")? };
    record.expires_at = expires_at;
    record.deadline = record.deadline.max(expires_at);
    Ok((ctx.create(&record).await?, record))
}

/// Calls until there is no more; how many were removed in all.
pub(super) async fn purge_all(ctx: &Context, now: Timestamp, limit: usize, calls: usize) -> CaseResult<u64> {
    let mut removed = 0;
    for _ in 0..calls {
        let purged = ctx.backend().purge_expired(now, limit).await?;
        let within = purged.removed <= limit as u64;
        check::ensure(within, format!("{} removed, the limit was {limit}", purged.removed))?;
        removed += purged.removed;
        if !purged.more {
            return Ok(removed);
        }
    }
    Err(Failure::new(format!("still more to purge after {calls} calls")))
}
