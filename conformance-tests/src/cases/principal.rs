//! Group H: whose sessions these are. Listing is how "sign me out everywhere" finds them.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Principal, Record, SessionBackend, SessionId, Timestamp};

use super::list::{expect_list, list_all};
use super::purge::purge_all;
use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::race::{hesitate, race, racer};
use crate::scan::{holds, is_named};

pub(super) const CASES: &[Case] = &[
    case!(
        "principal",
        lists_every_live_session_of_it,
        "list of a principal contains every live session that was created or updated with it",
        List,
    ),
    case!(
        "principal",
        principals_isolated,
        "principals are compared byte by byte: no case, no normal form, no padding, no pattern",
        List,
    ),
    case!(
        "principal",
        change_and_clear,
        "an update with another principal, or none, moves the session to that list",
        List,
    ),
    case!(
        "principal",
        delete_expiry_leave_list,
        "list holds live records only: a deleted or expired session is in none",
        List,
    ),
    case!(
        "principal",
        delete_expiry_purge_leave_list,
        "a purge takes a session off the list for good, and leaves the others on it",
        List,
        Purge,
    ),
    case!("principal", pages_1000, "list goes through any number of sessions page by page, each once", List),
    case!(
        "principal",
        index_kept_while_create_in_flight,
        "a list or a delete while a create or an update is under way takes its session off no list",
        List,
    ),
    case!(
        "principal",
        index_survives_touch_past_old_expiry,
        "a session that lives by its touches stays on the list of its principal, however old it gets",
        List,
    ),
    case!(
        "principal",
        delete_leaves_no_index_rows,
        "a deleted session leaves nothing in the store, neither of its id nor of its principal",
        Scan,
    ),
];

async fn lists_every_live_session_of_it(ctx: Context) -> CaseResult {
    let (mut alice, mut nameless, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..24 {
        let record = match number % 3 {
            0 => ctx.record_of("alice")?,
            // The empty string is somebody, and not the same as nobody.
            1 => ctx.record_of("")?,
            _ => ctx.record(),
        };
        let session = (ctx.create(&record).await?, record);
        all.push(session.clone());
        match number % 3 {
            0 => alice.push(session),
            1 => nameless.push(session),
            _ => {}
        }
    }
    expect_list(&ctx, Some("alice"), &alice, "the list of a principal").await?;
    expect_list(&ctx, Some(""), &nameless, "the list of the empty principal").await?;
    expect_list(&ctx, Some("nobody"), &[], "the list of a principal without sessions").await?;
    expect_list(&ctx, None, &all, "the list of all").await?;
    // A touch and an update with the same principal leave the session where it is, as it is now.
    ctx.clock().advance(MINUTE);
    for (number, (id, record)) in alice.iter_mut().enumerate() {
        if number % 2 == 0 {
            let later = ctx.now().saturating_add(2 * HOUR);
            check::equal(ctx.backend().touch(*id, later, ctx.now()).await?, true, "touch")?;
            record.touch(later, ctx.now());
        } else {
            let next = ctx.successor(record);
            check::updated(ctx.backend().update(*id, record.revision, next.clone(), ctx.now()).await?)?;
            *record = next;
        }
    }
    expect_list(&ctx, Some("alice"), &alice, "the list after touches and updates").await
}

async fn principals_isolated(ctx: Context) -> CaseResult {
    let longest = "x".repeat(Principal::MAX_LEN);
    let nearly_longest = "x".repeat(Principal::MAX_LEN - 1);
    let names = [
        "",
        " ",
        "alice",
        "alic",
        "alice2",
        "alice ",
        " alice",
        "Alice",
        "ALICE",
        "al%",
        "al_ce",
        "al*",
        "al?ce",
        "[a]lice",
        "'alice'",
        "alice\0",
        "alice\n",
        "0",
        "00",
        // Composed and decomposed, a ligature, sharp s against ss, the dotless i.
        "\u{e9}",
        "e\u{301}",
        "\u{fb01}",
        "fi",
        "stra\u{df}e",
        "strasse",
        "\u{131}",
        "i",
        longest.as_str(),
        nearly_longest.as_str(),
    ];
    let mut sessions = Vec::new();
    for name in names {
        let record = ctx.record_of(name)?;
        sessions.push((name, (ctx.create(&record).await?, record)));
    }
    for (name, session) in sessions {
        let what = format!("the list of {:?}", name.get(..20).unwrap_or(name));
        expect_list(&ctx, Some(name), &[session], &what).await?;
    }
    Ok(())
}

async fn change_and_clear(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let mut record = ctx.record();
    let id = ctx.create(&record).await?;
    for principal in [Some("alice"), Some("bob"), None, Some("alice"), Some(""), None] {
        let named = principal.map(Principal::new).transpose()?;
        let next = ctx.successor(&record).with_principal(named);
        check::updated(backend.update(id, record.revision, next.clone(), now).await?)?;
        record = next;
        for name in ["alice", "bob", ""] {
            let session = [(id, record.clone())];
            let expected = if principal == Some(name) { &session[..] } else { &[] };
            expect_list(&ctx, Some(name), expected, &format!("the list of {name:?}")).await?;
        }
    }
    Ok(())
}

async fn delete_expiry_leave_list(ctx: Context) -> CaseResult {
    let (backend, deleted, expired, replaced, kept) = four_sessions(&ctx).await?;
    check::deleted(backend.delete(deleted.0, None, ctx.now()).await?)?;
    let still = [expired.clone(), replaced.clone(), kept.clone()];
    expect_list(&ctx, Some("alice"), &still, "the list after a delete").await?;
    ctx.clock().set(expired.1.expires_at);
    expect_list(&ctx, Some("alice"), slice::from_ref(&kept), "the list after an expiry").await?;
    expect_list(&ctx, None, slice::from_ref(&kept), "the list of all after an expiry").await?;
    let of_bob = (replaced.0, ctx.record_of("bob")?);
    check::created(backend.create(of_bob.0, of_bob.1.clone(), ctx.now()).await?)?;
    expect_list(&ctx, Some("alice"), &[kept], "the list after a create over an expired record").await?;
    expect_list(&ctx, Some("bob"), &[of_bob], "the list of the new owner").await
}

async fn delete_expiry_purge_leave_list(ctx: Context) -> CaseResult {
    let (backend, deleted, expired, replaced, kept) = four_sessions(&ctx).await?;
    check::deleted(backend.delete(deleted.0, None, ctx.now()).await?)?;
    ctx.clock().set(expired.1.expires_at);
    purge_all(&ctx, ctx.now(), 100, 10).await?;
    expect_list(&ctx, Some("alice"), slice::from_ref(&kept), "the list after a purge").await?;
    // An id that was purged and is created again stands on the list of its new owner only.
    let again = (replaced.0, ctx.record_of("bob")?);
    check::created(backend.create(again.0, again.1.clone(), ctx.now()).await?)?;
    expect_list(&ctx, Some("bob"), &[again], "the list of the new owner").await?;
    expect_list(&ctx, Some("alice"), &[kept], "the list of the old owner").await
}

async fn pages_1000(ctx: Context) -> CaseResult {
    let sessions = ctx.sessions(1000);
    let mut expected = Vec::new();
    for number in 0..sessions {
        let record = ctx.record_of("alice")?;
        expected.push(ctx.create(&record).await?);
        if number % 10 == 0 {
            ctx.create(&ctx.record_of("bob")?).await?;
        }
    }
    expected.sort();
    for limit in [64, 1000, 5000] {
        let listed = list_all(&ctx, Some("alice"), limit).await?;
        check::ensure(
            listed.keys().eq(&expected),
            format!("{} of {sessions} by pages of {limit}", listed.len()),
        )?;
    }
    let all = list_all(&ctx, None, 64).await?.len();
    check::equal(all, sessions + sessions / 10, "the list of all, by pages of 64")
}

async fn index_kept_while_create_in_flight(ctx: Context) -> CaseResult {
    for round in 0..ctx.rounds(150) {
        let before = ctx.record_of("alice")?;
        let before = (ctx.create(&before).await?, before);
        let nobody = ctx.record();
        let (created, updated) = (ctx.id(), ctx.create(&nobody).await?);
        let (of_alice, signed_in) = (ctx.record_of("alice")?, ctx.successor(&nobody));
        let signed_in = signed_in.with_principal(of_alice.principal.clone());
        let (creator, updater, lister, deleter) = (ctx.clone(), ctx.clone(), ctx.clone(), ctx.clone());
        let (new, next) = (of_alice.clone(), signed_in.clone());
        let mut racers = vec![
            racer(async move {
                hesitate(round % 4).await;
                check::created(creator.backend().create(created, new, creator.now()).await?)
            }),
            racer(async move {
                hesitate(round / 2 % 4).await;
                let outcome = updater.backend().update(updated, nobody.revision, next, updater.now()).await?;
                check::updated(outcome)
            }),
            racer(async move {
                for _ in 0..3 {
                    list_all(&lister, Some("alice"), 2).await?;
                    hesitate(2).await;
                }
                Ok(())
            }),
        ];
        if round % 2 == 0 {
            let id = before.0;
            racers.push(racer(async move {
                hesitate(round / 2 % 4).await;
                check::deleted(deleter.backend().delete(id, None, deleter.now()).await?)
            }));
        }
        race(racers).await?;
        let mut expected = vec![(created, of_alice), (updated, signed_in)];
        if round % 2 == 1 {
            expected.push(before);
        }
        expect_list(&ctx, Some("alice"), &expected, "the list after all of it").await?;
        for (id, _) in expected {
            check::deleted(ctx.backend().delete(id, None, ctx.now()).await?)?;
        }
    }
    Ok(())
}

async fn index_survives_touch_past_old_expiry(ctx: Context) -> CaseResult {
    let (backend, instant) = (ctx.backend(), Duration::from_millis(1));
    let mut sessions = Vec::new();
    for named_later in [false, true] {
        let mut record = ctx.record_of("alice")?;
        record.deadline = ctx.now().saturating_add(30 * DAY);
        let mut first = record.clone();
        first.principal = first.principal.filter(|_| !named_later);
        let id = ctx.create(&first).await?;
        record.revision = first.revision.next(1);
        check::updated(backend.update(id, first.revision, record.clone(), ctx.now()).await?)?;
        sessions.push((id, record));
    }
    let touch = async |sessions: &mut Vec<Session>, until: Timestamp| -> CaseResult {
        for (id, record) in sessions {
            check::equal(backend.touch(*id, until, ctx.now()).await?, true, "touch of a live session")?;
            record.touch(until, ctx.now());
        }
        Ok(())
    };
    // Touched in its last millisecond, again and again.
    for _ in 0..4 {
        let old = sessions[0].1.expires_at;
        ctx.clock().set(old.saturating_sub(instant));
        touch(&mut sessions, ctx.now().saturating_add(HOUR)).await?;
        ctx.clock().set(old.saturating_add(MINUTE));
        expect_list(&ctx, Some("alice"), &sessions, "the list past an expiry that was moved").await?;
    }
    // Touched once more, up to the deadline, and then left alone.
    let deadline = sessions[0].1.deadline;
    touch(&mut sessions, deadline).await?;
    let touched = ctx.now();
    for hours in [1, 11, 12, 13, 19, 20, 21, 24, 25, 48, 7 * 24, 14 * 24, 29 * 24] {
        ctx.clock().set(touched.saturating_add(hours * HOUR + instant));
        let what = format!("the list {hours} hours after the last touch");
        expect_list(&ctx, Some("alice"), &sessions, &what).await?;
        expect_list(&ctx, None, &sessions, &what).await?;
    }
    ctx.clock().set(deadline.saturating_sub(instant));
    expect_list(&ctx, Some("alice"), &sessions, "the list before the deadline").await?;
    ctx.clock().set(deadline);
    expect_list(&ctx, Some("alice"), &[], "the list at the deadline").await
}

async fn delete_leaves_no_index_rows(ctx: Context) -> CaseResult {
    const NAME: &str = "a principal that is nowhere else";
    let mut ids = Vec::new();
    for number in 0..4 {
        let record = ctx.record_of(NAME)?;
        let id = ctx.create(&record).await?;
        let next = ctx.successor(&record);
        check::updated(ctx.backend().update(id, record.revision, next.clone(), ctx.now()).await?)?;
        let touched = ctx.backend().touch(id, next.deadline, ctx.now()).await?;
        check::equal(touched, true, "touch of a live session")?;
        ids.push((id, (number % 2 == 0).then_some(next.revision)));
    }
    for (id, _) in &ids {
        check::ensure(holds(&ctx.scan().await?, id.as_bytes()), "the harness does not show an id")?;
    }
    for (id, expected) in &ids {
        check::deleted(ctx.backend().delete(*id, *expected, ctx.now()).await?)?;
    }
    let pieces = ctx.scan().await?;
    for (id, _) in &ids {
        check::ensure(!is_named(&pieces, *id), format!("{id} is still in the store"))?;
    }
    check::ensure(!holds(&pieces, NAME.as_bytes()), "the principal is still in the store")
}

type Session = (SessionId, Record);
type FourSessions = (Arc<dyn SessionBackend>, Session, Session, Session, Session);

/// Four sessions of alice: three that expire within the hour, and one that lives longer.
async fn four_sessions(ctx: &Context) -> CaseResult<FourSessions> {
    let mut sessions = Vec::new();
    for hours in [1, 1, 1, 3] {
        let mut record = ctx.record_of("alice")?;
        record.expires_at = ctx.now().saturating_add(hours * HOUR);
        sessions.push((ctx.create(&record).await?, record));
    }
    let [a, b, c, d] = <[Session; 4]>::try_from(sessions).map_err(|_| check::Failure::new("four of four"))?;
    Ok((ctx.backend(), a, b, c, d))
}
