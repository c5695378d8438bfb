//! Group B: nothing is written over, and nothing comes back from the dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use session_core::{CreateOutcome, DeleteOutcome, Principal, Record, Revision, SessionId, UpdateOutcome};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, HOUR, MINUTE};
use crate::race::{hesitate, race, race_two, racer};

pub(super) const CASES: &[Case] = &[
    case!(
        "resurrection",
        create_on_live_is_occupied_and_returns_it,
        "create on a live id is `Occupied(current)`, the original untouched",
    ),
    case!("resurrection", create_race_has_one_winner, "of several creates with one id, one wins"),
    case!(
        "resurrection",
        create_over_expired_unpurged,
        "create over an expired record replaces it, and keeps nothing of it",
    ),
    case!(
        "resurrection",
        two_creates_over_one_expired_row,
        "create replaces an expired record atomically: of several, one wins",
    ),
    case!(
        "resurrection",
        update_absent_is_gone_creates_nothing,
        "update of an absent id is `Gone`, nothing created",
    ),
    case!("resurrection", update_expired_is_gone, "update of an expired record is `Gone`, nothing created"),
    case!("resurrection", update_deleted_is_gone, "update of a deleted session is `Gone`, nothing created"),
    case!("resurrection", touch_dead_is_false, "touch of an expired, absent or deleted session is `false`"),
    case!(
        "resurrection",
        delete_races_update_never_revives,
        "once delete has returned `Deleted`, no late update brings the session back",
    ),
    case!(
        "resurrection",
        delete_races_touch_never_revives,
        "once delete has returned `Deleted`, no late touch brings the session back",
    ),
    case!(
        "resurrection",
        purge_races_update_never_revives,
        "a purge and an update of one record happen one after the other",
        Purge,
    ),
    case!("resurrection", partial_record_never_visible, "a partial record is never visible"),
];

async fn create_on_live_is_occupied_and_returns_it(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let original = ctx.record_of("alice")?;
    let id = ctx.create(&original).await?;
    let intruder = ctx.record_of("mallory")?;
    check::occupied(backend.create(id, intruder, ctx.now()).await?, &original)?;
    ctx.expect(id, &original, "the original after a second create").await?;
    // A client that sends the same create again is told that it is there, not that it made it.
    check::occupied(backend.create(id, original.clone(), ctx.now()).await?, &original)?;
    ctx.expect(id, &original, "the original after a repeated create").await
}

async fn create_race_has_one_winner(ctx: Context) -> CaseResult {
    for _ in 0..ctx.rounds(50) {
        creates_have_one_winner(&ctx, ctx.id(), 32).await?;
    }
    Ok(())
}

async fn create_over_expired_unpurged(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let late = [("at the instant", 0), ("a millisecond later", 1), ("a year later", 365 * 24 * 3_600_000)];
    for (when, millis) in late {
        let old = ctx.record_of("alice")?;
        let id = ctx.create(&old).await?;
        ctx.clock().set(old.expires_at.saturating_add(Duration::from_millis(millis)));
        let mut new = ctx.record().with_meta(Bytes::new());
        new.deadline = new.expires_at;
        check::created(backend.create(id, new.clone(), ctx.now()).await?)?;
        ctx.expect(id, &new, &format!("the record created over one that expired {when}")).await?;
        check::occupied(backend.create(id, ctx.record(), ctx.now()).await?, &new)?;
    }
    Ok(())
}

async fn two_creates_over_one_expired_row(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(100) {
        let old = ctx.record_of("alice")?;
        let id = ctx.create(&old).await?;
        ctx.clock().set(old.expires_at);
        creates_have_one_winner(&ctx, id, if round % 2 == 0 { 2 } else { 8 }).await?;
    }
    Ok(())
}

async fn creates_have_one_winner(ctx: &Context, id: SessionId, racers: usize) -> CaseResult {
    let records: Vec<_> = (0..racers).map(|_| ctx.record()).collect();
    let create = |record: &Record| {
        let (ctx, record) = (ctx.clone(), record.clone());
        racer(async move { Ok(ctx.backend().create(id, record, ctx.now()).await?) })
    };
    let outcomes = race(records.iter().map(create).collect()).await?;
    let won: Vec<_> = (0..racers).filter(|&racer| outcomes[racer] == CreateOutcome::Created).collect();
    let [winner] = won[..] else {
        return Err(Failure::new(format!("{} of {racers} creates were told that they won", won.len())));
    };
    for (_, outcome) in outcomes.into_iter().enumerate().filter(|(racer, _)| *racer != winner) {
        check::occupied(outcome, &records[winner])?;
    }
    ctx.expect(id, &records[winner], "the winner's record").await
}

async fn update_absent_is_gone_creates_nothing(ctx: Context) -> CaseResult {
    let (backend, id, record) = (ctx.backend(), ctx.id(), ctx.record_of("alice")?);
    check::gone(backend.update(id, record.revision, record.clone(), ctx.now()).await?)?;
    ctx.expect_none(id, "load after an update of nothing").await?;
    let next = ctx.successor(&record);
    check::gone(backend.update(id, record.revision, next.clone(), ctx.now()).await?)?;
    ctx.expect_none(id, "load after an update of nothing").await?;
    check::created(backend.create(id, next.clone(), ctx.now()).await?)?;
    ctx.expect(id, &next, "a create after updates of nothing").await
}

async fn update_expired_is_gone(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for matching in [true, false] {
        let old = ctx.record();
        let id = ctx.create(&old).await?;
        let alive = ctx.now();
        ctx.clock().set(old.expires_at);
        let mut new = ctx.successor(&old);
        new.expires_at = ctx.now().saturating_add(HOUR);
        let expected = if matching { old.revision } else { new.revision };
        check::gone(backend.update(id, expected, new.clone(), ctx.now()).await?)?;
        ctx.expect_none(id, "load after an update of an expired record").await?;
        // Nor is it stored for a reader whose clock is behind.
        let behind = backend.load(id, alive).await?;
        check::ensure(behind.is_none_or(|record| record == old), "the refused update is in the store")?;
        check::created(backend.create(id, new, ctx.now()).await?)?;
    }
    Ok(())
}

async fn update_deleted_is_gone(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let old = ctx.record_of("alice")?;
    let id = ctx.create(&old).await?;
    check::deleted(backend.delete(id, None, ctx.now()).await?)?;
    let new = ctx.successor(&old);
    for expected in [old.revision, new.revision] {
        check::gone(backend.update(id, expected, new.clone(), ctx.now()).await?)?;
        ctx.expect_none(id, "load after an update of a deleted session").await?;
    }
    check::nothing_deleted(backend.delete(id, None, ctx.now()).await?)?;
    check::created(backend.create(id, new, ctx.now()).await?)
}

async fn touch_dead_is_false(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let record = ctx.record();
    let absent = ctx.id();
    let deleted = ctx.create(&record).await?;
    check::deleted(backend.delete(deleted, None, ctx.now()).await?)?;
    let expired = ctx.create(&record).await?;
    ctx.clock().set(record.expires_at);
    let later = ctx.now().saturating_add(HOUR);
    for (id, what) in [(absent, "an absent"), (deleted, "a deleted"), (expired, "an expired")] {
        for _ in 0..2 {
            let touched = backend.touch(id, later, ctx.now()).await?;
            check::equal(touched, false, &format!("touch of {what} session"))?;
            ctx.expect_none(id, &format!("load after a touch of {what} session")).await?;
        }
        check::created(backend.create(id, ctx.record(), ctx.now()).await?)?;
    }
    Ok(())
}

async fn delete_races_update_never_revives(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(1000) {
        let record = ctx.record();
        let id = ctx.create(&record).await?;
        let (deleter, updater, next) = (ctx.clone(), ctx.clone(), ctx.successor(&record));
        let (deleted, outcome) = race_two(
            async move {
                hesitate(round % 4).await;
                Ok(deleter.backend().delete(id, None, deleter.now()).await?)
            },
            async move { Ok(updater.backend().update(id, record.revision, next, updater.now()).await?) },
        )
        .await?;
        check::deleted(deleted)?;
        let possible = matches!(outcome, UpdateOutcome::Updated | UpdateOutcome::Gone);
        check::ensure(possible, format!("an update that races a delete got {outcome:?}"))?;
        ctx.expect_none(id, "load after a delete that raced an update").await?;
    }
    Ok(())
}

async fn delete_races_touch_never_revives(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(1000) {
        let record = ctx.record();
        let id = ctx.create(&record).await?;
        let (deleter, toucher) = (ctx.clone(), ctx.clone());
        let (deleted, _) = race_two(
            async move {
                hesitate(round % 4).await;
                Ok(deleter.backend().delete(id, None, deleter.now()).await?)
            },
            async move { Ok(toucher.backend().touch(id, record.deadline, toucher.now()).await?) },
        )
        .await?;
        check::equal(deleted, DeleteOutcome::Deleted, "a delete that races a touch")?;
        ctx.expect_none(id, "load after a delete that raced a touch").await?;
    }
    Ok(())
}

async fn purge_races_update_never_revives(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(300) {
        let record = ctx.record();
        let id = ctx.create(&record).await?;
        let alive = ctx.now();
        ctx.clock().set(record.expires_at);
        let now = ctx.now();
        // Every other time the updater's clock is behind, and the session alive to it.
        let behind = round % 2 == 1;
        let updater_now = if behind { alive } else { now };
        let (purger, updater) = (ctx.backend(), ctx.backend());
        let mut next = ctx.successor(&record);
        next.expires_at = now.saturating_add(MINUTE);
        let wanted = next.clone();
        let (_, outcome) = race_two(
            async move {
                hesitate(round / 2 % 4).await;
                Ok(purger.purge_expired(now, 100).await?)
            },
            async move {
                hesitate(round / 2 % 3).await;
                Ok(updater.update(id, record.revision, wanted, updater_now).await?)
            },
        )
        .await?;
        match outcome {
            UpdateOutcome::Updated if behind => {
                ctx.expect(id, &next, "an update that came before the purge").await?;
            }
            outcome => {
                check::gone(outcome)?;
                ctx.expect_none(id, "an update that came after the purge").await?;
            }
        }
        let _ = ctx.backend().delete(id, None, now).await?;
    }
    Ok(())
}

async fn partial_record_never_visible(ctx: Context) -> CaseResult {
    const READERS: usize = 3;
    let id = ctx.create(&uniform(&ctx, 0)?).await?;
    // Nobody stops before all have done their part: a side that is not scheduled misses nothing.
    let missing = Arc::new(AtomicUsize::new(READERS + 1));
    let writer = {
        let (ctx, part) = (ctx.clone(), Part::of(&missing));
        racer(async move {
            let mut record = uniform(&ctx, 0)?;
            let mut number = 0;
            while part.goes_on(number, ctx.rounds(500)) {
                number += 1;
                let mut next = uniform(&ctx, number)?;
                next.revision = record.revision.next(0);
                check::updated(ctx.backend().update(id, record.revision, next.clone(), ctx.now()).await?)?;
                record = next;
                hesitate(2).await;
            }
            Ok(())
        })
    };
    let reader = |_| {
        let (ctx, part) = (ctx.clone(), Part::of(&missing));
        racer(async move {
            let mut number = 0;
            while part.goes_on(number, ctx.rounds(500)) {
                number += 1;
                reads_uniform(&ctx, id).await?;
                hesitate(1).await;
            }
            Ok(())
        })
    };
    race((0..READERS).map(reader).chain([writer]).collect()).await?;
    Ok(())
}

/// One racer's part of a work that ends when all have done theirs, or one of them has failed.
struct Part {
    missing: Arc<AtomicUsize>,
    done: AtomicBool,
}

impl Part {
    fn of(missing: &Arc<AtomicUsize>) -> Self {
        Self { missing: missing.clone(), done: AtomicBool::new(false) }
    }

    fn goes_on(&self, rounds: usize, enough: usize) -> bool {
        if rounds == enough && !self.done.swap(true, Ordering::SeqCst) {
            let one_less = |missing: usize| missing.checked_sub(1);
            let _ = self.missing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        }
        self.missing.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.done.load(Ordering::SeqCst) {
            // It has failed: nobody needs to go on.
            self.missing.store(0, Ordering::SeqCst);
        }
    }
}

async fn reads_uniform(ctx: &Context, id: SessionId) -> CaseResult {
    let loaded = ctx.backend().load(id, ctx.now()).await?;
    is_uniform(&loaded.ok_or_else(|| Failure::new("the record was missing for a moment"))?)?;
    let never = uniform(ctx, 0)?;
    match ctx.backend().update(id, never.revision.next(99), never, ctx.now()).await? {
        UpdateOutcome::Conflict(current) => is_uniform(&current),
        other => Err(Failure::new(format!("update: expected Conflict, got {other:?}"))),
    }
}

/// A record whose every field tells the same number.
fn uniform(ctx: &Context, number: usize) -> CaseResult<Record> {
    let name = format!("number {number}");
    let mut record =
        ctx.record_of(&name)?.with_meta(name.clone()).with_data(name.repeat(number % 7 * 100 + 1));
    let shift = Duration::from_secs(number as u64);
    record.touched_at = record.touched_at.saturating_add(shift);
    record.expires_at = record.touched_at.saturating_add(HOUR);
    record.deadline = record.touched_at.saturating_add(2 * HOUR);
    record.revision = Revision::first(0);
    Ok(record)
}

fn is_uniform(record: &Record) -> CaseResult {
    let name = record.principal.as_ref().map(Principal::as_str).unwrap_or_default();
    let times = [record.expires_at, record.deadline];
    let hours = [HOUR, 2 * HOUR].map(|hours| record.touched_at.saturating_add(hours));
    let number: usize = name.strip_prefix("number ").and_then(|text| text.parse().ok()).unwrap_or_default();
    let data = name.repeat(number % 7 * 100 + 1);
    let whole = *record.meta == *name.as_bytes()
        && *record.data == *data.as_bytes()
        && times == hours
        && record.revision.sequence() as usize == number + 1;
    check::ensure(whole, format!("a record made of two: {record:?}"))
}
