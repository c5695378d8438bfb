//! Group T, what becomes of changes when another request was first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use session_core::{ErrorKind, Operation};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;
use crate::site::{Site, Step, add_one, refused, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "replay",
        update_runs_again_on_the_newer_value,
        "after a conflict update closures run again on what another request has stored",
    ),
    case!(
        "replay",
        changes_of_different_paths_both_survive,
        "changes to different paths of one session never lose each other",
    ),
    case!(
        "replay",
        update_on_another_type_is_decode,
        "an update that meets a value of another type is `Decode`, and nothing is written",
    ),
    case!("replay", insert_last_commit_wins, "of two plain inserts to one path the last commit wins"),
    case!(
        "replay",
        clear_takes_what_came_between,
        "clear removes also what other requests have stored before its commit",
    ),
    case!(
        "replay",
        list_index_change_conflicts,
        "a change by position is a `Conflict` if another request has changed that list",
    ),
    case!(
        "replay",
        a_value_in_the_way_conflicts,
        "a change whose path another request has blocked is a `Conflict`, and nothing is written",
    ),
    case!(
        "replay",
        panicking_update_changes_nothing,
        "an update closure that panics leaves the session as it was, at the call and at the commit",
    ),
];

async fn update_runs_again_on_the_newer_value(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let current = site.visit().await?;
    let runs = Arc::new(AtomicUsize::new(0));
    let session = site.open(&current).await?;
    let counted = runs.clone();
    let provisional = session.update("n", move |n: Option<u64>| {
        counted.fetch_add(1, Ordering::SeqCst);
        n.unwrap_or(0) + 1
    })?;
    check::equal(provisional, 1, "what update returns")?;
    // Two others, one before the commit and one in the middle of it.
    other.count(&current).await?;
    let between = (other.clone(), current.clone());
    site.spy.before(Operation::Update, async {});
    site.spy.before(Operation::Update, async move { drop(between.0.count(&between.1).await) });
    site.spy.calls();
    unchanged(session.commit().await?)?;
    check::equal(site.spy.calls().update, 3, "attempts of a commit that lost twice")?;
    check::equal(runs.load(Ordering::SeqCst), 3, "runs of the closure")?;
    check::equal(session.get("n")?, Some(3), "the value after the commit")?;
    check::equal(site.n(&current).await?, 3, "the stored value")
}

async fn changes_of_different_paths_both_survive(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site
        .create(|session| {
            session.insert("map.old", 1)?;
            session.insert("gone", 1)?;
            session.insert("list", [1])
        })
        .await?;
    let changes: [Step; 7] = [
        |session| session.insert("map.a", 1),
        |session| session.insert("map.b", 2),
        |session| session.insert("map.deep.c", 3),
        |session| session.remove("gone").map(drop),
        |session| session.push("list", 2),
        |session| session.push("list", 3),
        add_one,
    ];
    // All are opened before any is committed.
    let mut sessions = Vec::new();
    for change in changes {
        let session = site.open(&current).await?;
        change(&session)?;
        sessions.push(session);
    }
    for session in &sessions {
        unchanged(session.commit().await?)?;
    }
    let session = site.open(&current).await?;
    let map = (session.get("map.a")?, session.get("map.b")?, session.get("map.deep.c")?);
    check::equal(map, (Some(1), Some(2), Some(3)), "members of one map")?;
    check::equal(session.get("map.old")?, Some(1), "a member that nobody changed")?;
    check::equal(session.contains("gone")?, false, "contains of what was removed")?;
    check::equal(session.get("list")?, Some(vec![1, 2, 3]), "a list that two pushed to")?;
    check::equal(session.get("n")?, Some(1), "a counter")
}

async fn update_on_another_type_is_decode(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    add_one(&session)?;
    session.insert("beside", 1)?;
    unchanged(site.request(&current, |session| session.insert("n", "text")).await?)?;
    let stored = site.record(&current).await?;
    for _ in 0..2 {
        refused(session.commit().await, ErrorKind::Decode, "an update of what is no number any more")?;
        check::same(&site.record(&current).await?, &stored, "the session after it")?;
    }
    unchanged(site.request(&current, |session| session.insert("n", 5)).await?)?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 6, "the value once it is a number again")
}

async fn insert_last_commit_wins(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let (early, late) = (site.open(&current).await?, site.open(&current).await?);
    late.insert("n", 2)?;
    early.insert("n", 1)?;
    early.insert("map.a", 1)?;
    late.insert("map", 5)?;
    unchanged(early.commit().await?)?;
    unchanged(late.commit().await?)?;
    check::equal(site.n(&current).await?, 2, "the value")?;
    check::equal(site.open(&current).await?.get("map")?, Some(5), "a value over a map")?;
    // Removing is a change as well.
    let (early, late) = (site.open(&current).await?, site.open(&current).await?);
    late.remove("n")?;
    early.insert("n", 3)?;
    unchanged(early.commit().await?)?;
    unchanged(late.commit().await?)?;
    check::equal(site.open(&current).await?.contains("n")?, false, "contains after a late remove")
}

async fn clear_takes_what_came_between(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    session.clear()?;
    session.insert("mine", 1)?;
    unchanged(site.request(&current, |session| session.insert("other", 1)).await?)?;
    unchanged(session.commit().await?)?;
    let keys = site.open(&current).await?.keys([""; 0])?;
    check::equal(keys, vec!["mine".to_owned()], "the values after clear and insert")
}

async fn list_index_change_conflicts(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let by_position: [Step; 4] = [
        |session| session.insert("list.1", 20),
        |session| session.remove("list.0").map(drop),
        |session| session.update("list.1", |n: Option<u64>| n.unwrap_or(0) + 1).map(drop),
        |session| session.take::<u64>("list.0").map(drop),
    ];
    for change in by_position {
        let current = site.create(|session| session.insert("list", [1, 2, 3])).await?;
        let session = site.open(&current).await?;
        change(&session)?;
        unchanged(site.request(&current, |session| session.push("list", 4)).await?)?;
        refused(session.commit().await, ErrorKind::Conflict, "a change by position in a changed list")?;
        let list = site.open(&current).await?.get::<Vec<u64>>("list")?;
        check::equal(list, Some(vec![1, 2, 3, 4]), "the list after a conflict")?;
        // Beside an unchanged list it is no conflict.
        let session = site.open(&current).await?;
        change(&session)?;
        site.count(&current).await?;
        unchanged(session.commit().await?)?;
        check::equal(site.n(&current).await?, 1, "the other request's change")?;
        let list = site.open(&current).await?.get::<Vec<u64>>("list")?;
        check::ensure(list != Some(vec![1, 2, 3, 4]), "the change by position is lost")?;
    }
    Ok(())
}

async fn a_value_in_the_way_conflicts(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let into: [Step; 3] = [
        |session| session.insert("place.member", 1),
        |session| session.push("place", 1),
        |session| session.update("place.member", |n: Option<u64>| n.unwrap_or(0)).map(drop),
    ];
    for change in into {
        let current = site.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        change(&session)?;
        unchanged(site.request(&current, |session| session.insert("place", "taken")).await?)?;
        let stored = site.record(&current).await?;
        refused(session.commit().await, ErrorKind::Conflict, "a change behind another's value")?;
        check::same(&site.record(&current).await?, &stored, "the session after a conflict")?;
    }
    Ok(())
}

async fn panicking_update_changes_nothing(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    session.insert("before", 1)?;
    let clone = session.clone();
    let panicked = tokio::task::spawn_blocking(move || {
        clone.update("n", |_: Option<u64>| -> u64 { std::panic::resume_unwind(Box::new("on purpose")) })
    });
    check::ensure(panicked.await.is_err_and(|error| error.is_panic()), "the panic is the caller's")?;
    check::equal(session.get("n")?, Some(0), "the value after a panic")?;
    add_one(&session)?;
    // One that panics when it is run again.
    let mut runs = 0;
    session.update("m", move |n: Option<u64>| {
        runs += 1;
        if runs > 1 {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        n.unwrap_or(0) + 1
    })?;
    site.count(&current).await?;
    let stored = site.record(&current).await?;
    refused(session.commit().await, ErrorKind::Internal, "a commit whose closure panics")?;
    check::same(&site.record(&current).await?, &stored, "the session after a panic at the commit")?;
    // Neither the session nor the queue of its writers is stuck.
    session.reload().await?;
    add_one(&session)?;
    site.count(&current).await?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 3, "the value in the end")
}
