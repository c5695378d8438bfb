//! Group C: a write happens only to the revision that the writer has seen.

use rand::RngExt as _;
use session_core::{DeleteOutcome, Record, Revision, SessionId, UpdateOutcome};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, MINUTE};
use crate::race::{hesitate, race, race_two, racer};

pub(super) const CASES: &[Case] = &[
    case!(
        "compare_and_set",
        matching_revision_stores,
        "update with the current revision stores the record; the driver takes any revision as it comes",
    ),
    case!(
        "compare_and_set",
        stale_revision_conflicts_data_intact,
        "update with another revision is `Conflict(current)`, and the record stays",
    ),
    case!(
        "compare_and_set",
        conflict_returns_current_not_snapshot,
        "a conflict carries the record as it was after the attempt, never a stale snapshot",
    ),
    case!(
        "compare_and_set",
        two_updates_of_one_id_in_one_batch_one_wins,
        "of several updates with one expected revision, one wins",
    ),
    case!(
        "compare_and_set",
        conditional_delete_conflicts,
        "delete with another revision is `Conflict(current)`, and the record stays",
    ),
    case!(
        "compare_and_set",
        old_revision_never_matches_recreated_id,
        "a revision of an earlier life of an id never matches",
    ),
    case!("compare_and_set", counter_race_loses_nothing, "concurrent read-and-update loops lose no update"),
    case!(
        "compare_and_set",
        conflict_never_carries_expected,
        "a conflict carries another revision than the expected one, whoever writes meanwhile",
    ),
];

async fn matching_revision_stores(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let mut record = ctx.record();
    let id = ctx.create(&record).await?;
    // The largest, the smallest, neighbours beyond the precision of a double, and back again.
    let values = [i64::MAX, 1 << 32, (1 << 53) + 1, 1 << 53, i64::MAX - 1, (7 << 32) | 0x8000_0000];
    for value in values {
        let mut next = ctx.successor(&record);
        next.revision = revision(value)?;
        check::updated(backend.update(id, record.revision, next.clone(), ctx.now()).await?)?;
        ctx.expect(id, &next, "the record with its new revision").await?;
        record = next;
    }
    Ok(())
}

async fn stale_revision_conflicts_data_intact(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for value in [(5 << 32) | 17, i64::MAX, (1 << 53) + 1] {
        let mut record = ctx.record_of("alice")?;
        record.revision = revision(value)?;
        let id = ctx.create(&record).await?;
        // Another random part, another sequence in either direction, one bit apart.
        let others = [value - 1, value ^ 0xffff, value ^ (1 << 31), value - (1 << 32), value ^ (1 << 40)];
        let others = others.into_iter().filter_map(Revision::from_i64).chain([Revision::first(3)]);
        for expected in others {
            let next = ctx.successor(&record);
            check::conflict(backend.update(id, expected, next, ctx.now()).await?, &record)?;
            ctx.expect(id, &record, "the record after a conflict").await?;
        }
        // Not even if what is to be stored bears the revision that is there.
        let mut same = ctx.successor(&record);
        same.revision = record.revision;
        check::conflict(backend.update(id, Revision::first(3), same, ctx.now()).await?, &record)?;
        ctx.expect(id, &record, "the record after a conflict").await?;
    }
    Ok(())
}

async fn conflict_returns_current_not_snapshot(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let first = ctx.record();
    let id = ctx.create(&first).await?;
    let mut second = ctx.successor(&first);
    check::updated(backend.update(id, first.revision, second.clone(), ctx.now()).await?)?;
    let next = ctx.successor(&second);
    check::conflict(backend.update(id, first.revision, next.clone(), ctx.now()).await?, &second)?;
    // A touch leaves the revision and shows all the same.
    ctx.clock().advance(MINUTE);
    check::ensure(backend.touch(id, second.deadline, ctx.now()).await?, "touch of a live session")?;
    second.touch(second.deadline, ctx.now());
    check::conflict(backend.update(id, first.revision, next, ctx.now()).await?, &second)?;
    check::delete_conflict(backend.delete(id, Some(first.revision), ctx.now()).await?, &second)?;

    for _ in 0..ctx.rounds(200) {
        let (left, right) = (ctx.clone(), ctx.clone());
        let (a, b) = (ctx.successor(&second), ctx.successor(&second));
        let (a_record, b_record, expected) = (a.clone(), b.clone(), second.revision);
        let outcomes = race_two(
            async move { Ok(left.backend().update(id, expected, a_record, left.now()).await?) },
            async move { Ok(right.backend().update(id, expected, b_record, right.now()).await?) },
        )
        .await?;
        second = match outcomes {
            (UpdateOutcome::Updated, loser) => check::conflict(loser, &a).map(|()| a)?,
            (loser, UpdateOutcome::Updated) => check::conflict(loser, &b).map(|()| b)?,
            other => return Err(Failure::new(format!("nobody won: {other:?}"))),
        };
    }
    Ok(())
}

async fn two_updates_of_one_id_in_one_batch_one_wins(ctx: Context) -> CaseResult {
    for _ in 0..ctx.rounds(30) {
        let mut sessions = Vec::new();
        let mut racers = Vec::new();
        for _ in 0..16 {
            let record = ctx.record();
            let id = ctx.create(&record).await?;
            let rivals = [ctx.successor(&record), ctx.successor(&record)];
            for rival in rivals.clone() {
                let (ctx, expected) = (ctx.clone(), record.revision);
                racers.push(racer(
                    async move { Ok(ctx.backend().update(id, expected, rival, ctx.now()).await?) },
                ));
            }
            sessions.push((id, rivals));
        }
        let mut outcomes = race(racers).await?.into_iter();
        for (id, [left, right]) in sessions {
            let winner = match (outcomes.next(), outcomes.next()) {
                (Some(UpdateOutcome::Updated), Some(loser)) => {
                    check::conflict(loser, &left).map(|()| left)?
                }
                (Some(loser), Some(UpdateOutcome::Updated)) => {
                    check::conflict(loser, &right).map(|()| right)?
                }
                other => return Err(Failure::new(format!("nobody won: {other:?}"))),
            };
            ctx.expect(id, &winner, "the winner's record").await?;
        }
    }
    Ok(())
}

async fn conditional_delete_conflicts(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let first = ctx.record_of("alice")?;
    let id = ctx.create(&first).await?;
    let second = ctx.successor(&first);
    check::updated(backend.update(id, first.revision, second.clone(), now).await?)?;
    let random_part = revision(second.revision.as_i64() ^ 1)?;
    for expected in [first.revision, random_part, second.revision.next(9)] {
        check::delete_conflict(backend.delete(id, Some(expected), now).await?, &second)?;
        ctx.expect(id, &second, "the record after a refused delete").await?;
    }
    check::deleted(backend.delete(id, Some(second.revision), now).await?)?;
    ctx.expect_none(id, "load after a conditional delete").await
}

async fn old_revision_never_matches_recreated_id(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for expired in [false, true] {
        let mut old = ctx.record();
        old.revision = Revision::first(1);
        let id = ctx.create(&old).await?;
        if expired {
            ctx.clock().set(old.expires_at);
        } else {
            check::deleted(backend.delete(id, None, ctx.now()).await?)?;
        }
        let mut new = ctx.record();
        new.revision = Revision::first(2);
        check::created(backend.create(id, new.clone(), ctx.now()).await?)?;
        let late = ctx.successor(&old);
        check::conflict(backend.update(id, old.revision, late, ctx.now()).await?, &new)?;
        check::delete_conflict(backend.delete(id, Some(old.revision), ctx.now()).await?, &new)?;
        ctx.expect(id, &new, "the record of the id's second life").await?;
    }
    Ok(())
}

async fn counter_race_loses_nothing(ctx: Context) -> CaseResult {
    const WRITERS: u64 = 8;
    let each = ctx.rounds(25) as u64;
    let id = ctx.create(&ctx.record().with_data("0")).await?;
    let writer = |_| {
        let ctx = ctx.clone();
        racer(async move {
            for _ in 0..each {
                increment(&ctx, id).await?;
            }
            Ok(())
        })
    };
    race((0..WRITERS).map(writer).collect()).await?;
    let last = ctx.backend().load(id, ctx.now()).await?;
    let last = last.ok_or_else(|| Failure::new("the counter is missing"))?;
    check::equal(count(&last)?, WRITERS * each, "the counter at the end")
}

async fn conflict_never_carries_expected(ctx: Context) -> CaseResult {
    let mut current = ctx.record();
    let id = ctx.create(&current).await?;
    for round in 0..ctx.rounds(400) {
        let (second, third) = (ctx.successor(&current), ctx.record());
        let (writer, late) = (ctx.clone(), ctx.clone());
        let (first_revision, expected) = (current.revision, second.revision);
        let (stored, wanted) = (second.clone(), third.clone());
        // Expects what the writer is about to store: it comes too early, or just in time.
        let (outcome, conflict) = race_two(
            async move {
                hesitate(round / 2 % 4).await;
                Ok(writer.backend().update(id, first_revision, stored, writer.now()).await?)
            },
            async move {
                let backend = late.backend();
                if round % 2 == 0 {
                    return Ok(match backend.update(id, expected, wanted, late.now()).await? {
                        UpdateOutcome::Conflict(found) => Some(found),
                        UpdateOutcome::Updated => None,
                        UpdateOutcome::Gone => return Err(Failure::new("update of a live session is Gone")),
                    });
                }
                Ok(match backend.delete(id, Some(expected), late.now()).await? {
                    DeleteOutcome::Conflict(found) => Some(found),
                    DeleteOutcome::Deleted => None,
                    DeleteOutcome::Absent => return Err(Failure::new("delete of a live session is Absent")),
                })
            },
        )
        .await?;
        check::updated(outcome)?;
        match conflict {
            Some(found) => {
                check::same(&found, &current, "the conflict of who came before the revision it expects")?;
                ctx.expect(id, &second, "the record after a conflict").await?;
                current = second;
            }
            None if round % 2 == 0 => {
                ctx.expect(id, &third, "the record of who came just in time").await?;
                current = third;
            }
            None => {
                ctx.expect_none(id, "the session that was deleted just in time").await?;
                check::created(ctx.backend().create(id, second.clone(), ctx.now()).await?)?;
                current = second;
            }
        }
    }
    Ok(())
}

async fn increment(ctx: &Context, id: SessionId) -> CaseResult {
    // More attempts than writes of all the others: a correct driver never needs them.
    const ATTEMPTS: usize = 1000;
    let (backend, mut rng) = (ctx.backend(), ctx.rng());
    let loaded = backend.load(id, ctx.now()).await?;
    let mut current = loaded.ok_or_else(|| Failure::new("the counter is missing"))?;
    for _ in 0..ATTEMPTS {
        let mut next = current.clone().with_data((count(&current)? + 1).to_string());
        next.revision = current.revision.next(rng.random());
        match backend.update(id, current.revision, next, ctx.now()).await? {
            UpdateOutcome::Updated => return Ok(()),
            UpdateOutcome::Conflict(newer) => current = newer,
            UpdateOutcome::Gone => return Err(Failure::new("the counter is gone")),
        }
    }
    Err(Failure::new("a conflict each time, though the revision was the one in the last conflict"))
}

fn count(record: &Record) -> CaseResult<u64> {
    let number = std::str::from_utf8(&record.data).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Failure::new("the counter is not what was stored"))
}

fn revision(value: i64) -> CaseResult<Revision> {
    Revision::from_i64(value).ok_or_else(|| Failure::new(format!("{value} is no revision")))
}
