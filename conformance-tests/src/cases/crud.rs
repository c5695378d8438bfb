//! Group A: what is stored comes back, and only there.

use session_core::{Principal, Record, Revision, SessionId, Timestamp};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, DAY, HOUR, MINUTE};

pub(super) const CASES: &[Case] = &[
    case!("crud", create_load_roundtrip, "create on an absent id stores the record, every field of it"),
    case!("crud", load_absent_is_none, "load of an absent id is `None`, not an error"),
    case!("crud", update_replaces_whole_record, "update stores the record as given, every field of it"),
    case!("crud", delete_then_load_none, "a deleted session is absent"),
    case!("crud", delete_absent_is_absent, "delete of an absent id is `Absent` and creates nothing"),
    case!(
        "crud",
        recreate_after_delete_starts_fresh,
        "create after a delete keeps nothing of the old record"
    ),
    case!("crud", sessions_independent, "a verb on one id never shows on another, however similar"),
    case!("crud", load_has_no_side_effects, "load changes nothing, whatever `now` it is called with"),
    case!("crud", namespaces_isolated, "sessions of one namespace are invisible in every other"),
];

async fn create_load_roundtrip(ctx: Context) -> CaseResult {
    let nobody = bare(&ctx);
    let full = ctx.record_of("alice")?;
    let empty_name = ctx.record_of("")?;
    for record in [nobody, full, empty_name] {
        let id = ctx.create(&record).await?;
        ctx.expect(id, &record, "load after create").await?;
        let latest = ctx.backend().load_latest(id, ctx.now()).await?;
        check::found(latest, &record, "load_latest after create")?;
    }
    Ok(())
}

async fn load_absent_is_none(ctx: Context) -> CaseResult {
    ctx.create(&ctx.record()).await?;
    let id = ctx.id();
    ctx.expect_none(id, "load of an id never created").await?;
    let latest = ctx.backend().load_latest(id, ctx.now()).await?;
    check::missing(latest, "load_latest of an id never created")
}

async fn update_replaces_whole_record(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let mut record = ctx.record_of("alice")?;
    let id = ctx.create(&record).await?;
    ctx.clock().advance(MINUTE);
    let now = ctx.now();

    let mut longer = ctx.successor(&record).with_principal(Some(Principal::new("bob")?));
    longer.expires_at = now.saturating_add(2 * HOUR);
    longer.deadline = now.saturating_add(2 * DAY);
    longer.touched_at = now;
    let mut shorter = ctx.successor(&longer).with_principal(None);
    shorter.expires_at = now.saturating_add(MINUTE);
    shorter.deadline = now.saturating_add(HOUR);
    shorter.touched_at = now.saturating_sub(MINUTE);
    let somebody = ctx.successor(&shorter).with_principal(Some(Principal::new("carol")?));

    for next in [longer, shorter, somebody] {
        check::updated(backend.update(id, record.revision, next.clone(), now).await?)?;
        ctx.expect(id, &next, "load after update").await?;
        let latest = backend.load_latest(id, now).await?;
        check::found(latest, &next, "load_latest after update")?;
        record = next;
    }
    Ok(())
}

async fn delete_then_load_none(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    for conditional in [false, true] {
        let record = ctx.record_of("alice")?;
        let id = ctx.create(&record).await?;
        let expected = conditional.then_some(record.revision);
        check::deleted(backend.delete(id, expected, ctx.now()).await?)?;
        ctx.expect_none(id, "load after delete").await?;
        let latest = backend.load_latest(id, ctx.now()).await?;
        check::missing(latest, "load_latest after delete")?;
    }
    Ok(())
}

async fn delete_absent_is_absent(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let record = ctx.record();
    let never = ctx.id();
    let deleted = ctx.create(&record).await?;
    check::deleted(backend.delete(deleted, None, ctx.now()).await?)?;
    for id in [never, deleted] {
        for expected in [None, Some(record.revision)] {
            check::nothing_deleted(backend.delete(id, expected, ctx.now()).await?)?;
            ctx.expect_none(id, "load after a delete of nothing").await?;
        }
    }
    Ok(())
}

async fn recreate_after_delete_starts_fresh(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let old = ctx.record_of("alice")?;
    let id = ctx.create(&old).await?;
    check::deleted(backend.delete(id, None, ctx.now()).await?)?;
    let new = bare(&ctx);
    check::created(backend.create(id, new.clone(), ctx.now()).await?)?;
    ctx.expect(id, &new, "the record after delete and create").await
}

async fn sessions_independent(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let now = ctx.now();
    // One bit apart at either end and in the middle, and the extremes.
    let base: [u8; 16] = *ctx.id().as_bytes();
    let mut ids = vec![base, [0; 16], [0xff; 16]];
    for (byte, bit) in [(0, 0x80), (0, 0x20), (7, 0x01), (8, 0x80), (15, 0x01), (15, 0x80)] {
        let mut id = base;
        id[byte] ^= bit;
        ids.push(id);
    }
    let mut sessions = Vec::new();
    for id in ids.into_iter().map(SessionId::from_bytes) {
        let record = ctx.record_of("alice")?;
        check::created(backend.create(id, record.clone(), now).await?)?;
        sessions.push((id, record));
    }
    let later = now.saturating_add(2 * HOUR);
    let (updated, touched, deleted) = (0, 3, 4);
    let next = ctx.successor(&sessions[updated].1);
    let (id, old) = (sessions[updated].0, &sessions[updated].1);
    check::updated(backend.update(id, old.revision, next.clone(), now).await?)?;
    sessions[updated].1 = next;
    check::ensure(backend.touch(sessions[touched].0, later, now).await?, "touch of a live session")?;
    sessions[touched].1.expires_at = later;
    check::deleted(backend.delete(sessions[deleted].0, None, now).await?)?;
    let (deleted, _) = sessions.remove(deleted);

    ctx.expect_none(deleted, "the deleted session").await?;
    for (id, record) in &sessions {
        ctx.expect(*id, record, "a session beside others").await?;
    }
    Ok(())
}

async fn load_has_no_side_effects(ctx: Context) -> CaseResult {
    let backend = ctx.backend();
    let record = ctx.record_of("alice")?;
    let id = ctx.create(&record).await?;
    // A reader whose clock runs ahead must not take a session from those whose clocks are right.
    let ahead = [record.expires_at, record.deadline, Timestamp::MAX];
    for now in [ctx.now(), ctx.now().saturating_add(MINUTE)].into_iter().chain(ahead) {
        let loaded = [backend.load(id, now).await?, backend.load_latest(id, now).await?];
        check::equal(loaded.map(|record| record.is_some()), [record.is_live(now); 2], "what load sees")?;
        ctx.expect(id, &record, "load after a load at another time").await?;
    }
    Ok(())
}

async fn namespaces_isolated(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let record = ctx.record();
    let id = ctx.create(&record).await?;
    for name in ctx.harness().similar_namespaces(&ctx.namespace()) {
        let other = ctx.open_other(&name).await?;
        check::missing(other.load(id, now).await?, "load in another namespace")?;
        check::gone(other.update(id, record.revision, ctx.successor(&record), now).await?)?;
        check::ensure(!other.touch(id, record.deadline, now).await?, "touch in another namespace")?;
        check::nothing_deleted(other.delete(id, None, now).await?)?;
        let foreign = ctx.record();
        check::created(other.create(id, foreign.clone(), now).await?)?;
        check::found(other.load(id, now).await?, &foreign, "the other namespace's own session")?;
        ctx.expect(id, &record, "the session after work in another namespace").await?;
        check::deleted(other.delete(id, None, now).await?)?;
        check::found(backend.load(id, now).await?, &record, "the session after a delete elsewhere")?;
    }
    Ok(())
}

/// A record without anything that is optional.
fn bare(ctx: &Context) -> Record {
    let (expires_at, deadline) = (ctx.now().saturating_add(MINUTE), ctx.now().saturating_add(HOUR));
    Record::new(Revision::first(0), ctx.now(), expires_at, deadline)
}
