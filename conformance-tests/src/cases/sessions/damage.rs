//! Group T, sessions that cannot be read: a typed error, and nothing written over them.

use std::collections::BTreeMap;

use bytes::Bytes;
use session_core::{ErrorKind, Operation, Record, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;
use crate::harness::Damage;
use crate::site::{Site, add_one, cleared, id, refused, token, unchanged};
use crate::spy::Calls;

pub(super) const CASES: &[Case] = &[
    case!(
        "damage",
        duplicate_keys_corrupt,
        "a stored document with a key twice is `Corrupt`, and stays as it is",
    ),
    case!(
        "damage",
        damaged_values_are_corrupt_and_stay,
        "stored values that are no JSON map are `Corrupt` where they are read, and stay as they are",
    ),
    case!(
        "damage",
        damaged_bookkeeping_is_corrupt_and_stays,
        "stored bookkeeping that cannot be read is `Corrupt` or `UnknownFormat`, and stays as it is",
    ),
    case!(
        "damage",
        damage_behind_the_driver_is_a_typed_error,
        "a record damaged in the store is `Corrupt`, never another session and never none",
        Damage,
    ),
    case!(
        "damage",
        failed_read_no_session,
        "a store that fails is an error of open, so that nothing can be written after a failed read",
    ),
];

async fn duplicate_keys_corrupt(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for data in [r#"{"n":1,"n":2}"#, r#"{"n":1,"m":0,"\u006e":2}"#] {
        let current = site.visit().await?;
        let planted = plant(&site, &current, None, Some(data.as_bytes())).await?;
        let session = site.open(&current).await?;
        refused(session.get::<u64>("n"), ErrorKind::Corrupt, "get")?;
        refused(session.contains("n"), ErrorKind::Corrupt, "contains")?;
        refused(session.keys([""; 0]), ErrorKind::Corrupt, "keys")?;
        refused(session.insert("m", 1), ErrorKind::Corrupt, "insert beside it")?;
        refused(add_one(&session), ErrorKind::Corrupt, "update")?;
        refused(session.remove("n"), ErrorKind::Corrupt, "remove")?;
        refused(session.push("list", 1), ErrorKind::Corrupt, "push")?;
        unchanged(session.commit().await?)?;
        check::same(&site.record(&current).await?, &planted, "the damaged session")?;
    }
    // Deeper down: whoever passes by does not mind, whoever reads it does.
    let current = site.visit().await?;
    plant(&site, &current, None, Some(br#"{"n":1,"deep":{"a":1,"a":2}}"#)).await?;
    let session = site.open(&current).await?;
    refused(session.get::<u64>("deep.a"), ErrorKind::Corrupt, "get in the damaged map")?;
    refused(session.get::<BTreeMap<String, u64>>("deep"), ErrorKind::Corrupt, "get of the damaged map")?;
    check::equal(session.get("n")?, Some(1), "get beside the damaged map")
}

async fn damaged_values_are_corrupt_and_stay(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let damages: [&[u8]; 9] =
        [b"[]", b"null", b"1", b"\"text\"", b"nonsense", b"{\"n\":1", b"{\"n\":1}}", b"\xff\xfe", b" "];
    for data in damages {
        let current = site.member("alice").await?;
        // A request that changes something, overtaken by the damage.
        let overtaken = site.open(&current).await?;
        add_one(&overtaken)?;
        let planted = plant(&site, &current, None, Some(data)).await?;
        let what = format!("values {}", data.escape_ascii());
        let session = site.open(&current).await?;
        refused(session.get::<u64>("n"), ErrorKind::Corrupt, &what)?;
        refused(session.insert("n", 1), ErrorKind::Corrupt, &what)?;
        refused(session.keys([""; 0]), ErrorKind::Corrupt, &what)?;
        // Who is signed in does not stand there.
        check::ensure(session.principal().is_some(), format!("{what}: nobody is signed in"))?;
        site.spy.calls();
        unchanged(session.commit().await?)?;
        check::equal(site.spy.calls(), Calls::default(), &format!("{what}: calls for a commit"))?;
        refused(overtaken.commit().await, ErrorKind::Corrupt, &what)?;
        check::same(&site.record(&current).await?, &planted, &what)?;
        // What does not look at the values goes on: signing out most of all.
        let fresh = token(site.request(&current, Session::rotate).await?)?;
        check::equal(&site.record(&fresh).await?.data[..], data, &format!("{what}: after a rotation"))?;
        cleared(site.request(&fresh, Session::destroy).await?)?;
    }
    Ok(())
}

async fn damaged_bookkeeping_is_corrupt_and_stays(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let good = site.visit().await?;
    let meta = site.record(&good).await?.meta;
    let newer = [&[2][..], &meta[1..]].concat();
    let mut damages = vec![
        (ErrorKind::UnknownFormat, newer),
        (ErrorKind::UnknownFormat, vec![255]),
        (ErrorKind::Corrupt, vec![]),
        (ErrorKind::Corrupt, vec![0]),
        (ErrorKind::Corrupt, b"nonsense".map(|byte| byte & 1).to_vec()),
    ];
    damages.extend((1..meta.len()).step_by(7).map(|cut| (ErrorKind::Corrupt, meta[..cut].to_vec())));
    for (kind, meta) in damages {
        let current = site.member("alice").await?;
        let (changing, ending) = (site.open(&current).await?, site.open(&current).await?);
        add_one(&changing)?;
        ending.destroy()?;
        let planted = plant(&site, &current, Some(&meta), None).await?;
        let what = format!("bookkeeping {}", meta[..meta.len().min(8)].escape_ascii());
        refused(site.manager.open(Some(&current)).await, kind, &what)?;
        refused(changing.commit().await, kind, &what)?;
        refused(ending.commit().await, kind, &what)?;
        check::same(&site.record(&current).await?, &planted, &what)?;
        // An operator gets rid of it.
        check::equal(site.manager.revoke(id(&current)?).await?, true, "revoke")?;
        site.expect_stranger(&current, &what).await?;
    }
    Ok(())
}

async fn damage_behind_the_driver_is_a_typed_error(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let garbage = Bytes::from_static(b"\xc1 not what it was \x00\xff");
    for meta in [true, false] {
        let (current, other) = (site.visit().await?, site.visit().await?);
        let (garbage, namespace) = (garbage.clone(), ctx.namespace());
        let damage = if meta { Damage::Meta(garbage) } else { Damage::Data(garbage) };
        let damaged = ctx.harness().damage(&namespace, id(&current)?, damage).await?;
        check::equal(damaged, Some(true), "whether the harness damaged the record")?;
        let read = match site.manager.open(Some(&current)).await {
            Ok(session) => session.get::<u64>("n"),
            Err(error) => Err(error),
        };
        let kinds = [ErrorKind::Corrupt, ErrorKind::UnknownFormat];
        let typed = matches!(&read, Err(error) if kinds.contains(&error.kind()));
        check::ensure(typed, format!("a damaged record: expected Corrupt, got {read:?}"))?;
        check::equal(site.n(&other).await?, 0, "the session beside it")?;
    }
    Ok(())
}

async fn failed_read_no_session(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.member("alice").await?;
    let stored = site.record(&current).await?;
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Overloaded, ErrorKind::Corrupt];
    for kind in kinds {
        site.spy.calls();
        site.spy.refuse(Operation::Load, kind);
        let opened = site.manager.open(Some(&current)).await;
        let operation = opened.as_ref().err().and_then(|error| error.operation());
        check::equal(operation, Some(Operation::Load), "the operation of the error")?;
        refused(opened, kind, "open on a store that fails")?;
        let expected = Calls { load: 1, ..Calls::default() };
        check::equal(site.spy.calls(), expected, "calls after a failed read")?;
        // The second look at a token that seems wrong may fail too.
        let fresh = token(site.request(&current, Session::rotate).await?)?;
        site.spy.before(Operation::Load, async {});
        site.spy.refuse(Operation::Load, kind);
        refused(site.manager.open(Some(&current)).await, kind, "open where the second read fails")?;
        plant_back(&site, &fresh, &stored).await?;
        let session = site.open(&current).await?;
        site.spy.refuse(Operation::Load, kind);
        refused(session.revoke(id(&current)?).await, kind, "revoke on a store that fails")?;
    }
    check::equal(site.spy.acts_left(), 0, "failures that never came")?;
    let record = site.record(&current).await?;
    check::equal((record.data, record.meta), (stored.data, stored.meta), "the session after failed reads")
}

/// Replaces what is stored, through the driver.
pub(super) async fn plant(
    site: &Site,
    token: &str,
    meta: Option<&[u8]>,
    data: Option<&[u8]>,
) -> CaseResult<Record> {
    let old = site.record(token).await?;
    let mut record = old.clone();
    record.revision = old.revision.next(77);
    record.meta = meta.map_or(record.meta, Bytes::copy_from_slice);
    record.data = data.map_or(record.data, Bytes::copy_from_slice);
    let (backend, now) = (site.ctx.backend(), site.ctx.now());
    check::updated(backend.update(id(token)?, old.revision, record.clone(), now).await?)?;
    Ok(record)
}

/// Puts the bookkeeping of `stored` back, so that its token is current again.
async fn plant_back(site: &Site, token: &str, stored: &Record) -> CaseResult {
    plant(site, token, Some(&stored.meta), Some(&stored.data)).await.map(drop)
}
