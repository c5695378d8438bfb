//! Group T, `detect_overwrites`: who reads and then overwrites what another request has changed is told.

use session_core::{Committed, ErrorKind, Result, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;
use crate::site::{Site, Step, add_one, refused, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "overwrites",
        read_then_overwritten_is_conflict,
        "with `detect_overwrites`, writing at, above or below what was read and has changed since is `Conflict`",
    ),
    case!(
        "overwrites",
        every_way_of_reading_counts,
        "`get`, `contains`, `keys` and `take` are reads, also where there is nothing",
    ),
    case!(
        "overwrites",
        unread_and_unchanged_paths_are_free,
        "`detect_overwrites` minds neither what was not read, nor what is the same still",
    ),
    case!(
        "overwrites",
        own_values_are_not_reads,
        "reading back what this request has written reads nothing of the store",
    ),
    case!(
        "overwrites",
        conflict_keeps_the_others_values_until_reload,
        "after such a `Conflict` nothing was written; a reload starts over on the newer values",
    ),
    case!(
        "overwrites",
        without_it_the_last_commit_wins,
        "without `detect_overwrites` the last commit wins, whatever was read",
    ),
];

fn fill(session: &Session) -> Result<()> {
    session.insert("n", 0)?;
    session.insert("map.a", 1)?;
    session.insert("map.b", 2)?;
    session.insert("map.deep.c", 3)?;
    session.insert("list", [1, 2, 3])
}

/// A request that looks, and writes after another one has been through.
async fn overtaken(
    site: &Site,
    look: Step,
    other: Step,
    write: Step,
) -> CaseResult<(String, Result<Committed>)> {
    let current = site.create(fill).await?;
    let session = site.open(&current).await?;
    look(&session)?;
    unchanged(site.request(&current, other).await?)?;
    write(&session)?;
    Ok((current, session.commit().await))
}

fn detecting(ctx: &Context) -> CaseResult<Site> {
    Site::with(ctx, |builder| builder.detect_overwrites())
}

const LOOK_AT_N: Step = |session| session.get::<u64>("n").map(drop);
const LOOK_AT_A: Step = |session| session.get::<u64>("map.a").map(drop);

async fn read_then_overwritten_is_conflict(ctx: Context) -> CaseResult {
    let site = detecting(&ctx)?;
    let rows: [(&str, Step, Step, Step); 13] = [
        ("at", LOOK_AT_N, add_one, |s| s.insert("n", 9)),
        ("at, removed by the other", LOOK_AT_N, |s| s.remove("n").map(drop), |s| s.insert("n", 9)),
        ("at, cleared by the other", LOOK_AT_N, Session::clear, |s| s.insert("n", 9)),
        ("above", LOOK_AT_A, |s| s.insert("map.a", 5), |s| s.insert("map", 9)),
        (
            "above, where the other replaced the map",
            LOOK_AT_A,
            |s| s.insert("map", 5),
            |s| s.insert("map", 9),
        ),
        (
            "below",
            |s| s.get::<serde::de::IgnoredAny>("map").map(drop),
            |s| s.insert("map.b", 5),
            |s| s.insert("map.a", 9),
        ),
        (
            "far below",
            |s| s.get::<serde::de::IgnoredAny>("map").map(drop),
            |s| s.insert("map.b", 5),
            |s| s.insert("map.deep.c", 9),
        ),
        (
            "below, by an update of the other",
            |s| s.get::<Vec<u64>>("list").map(drop),
            |s| s.push("list", 4),
            |s| s.insert("list", vec![9]),
        ),
        ("removed", LOOK_AT_N, add_one, |s| s.remove("n").map(drop)),
        ("removed above", LOOK_AT_A, |s| s.insert("map.a", 5), |s| s.remove("map").map(drop)),
        ("taken", LOOK_AT_N, add_one, |s| s.take::<u64>("n").map(drop)),
        ("cleared", LOOK_AT_A, |s| s.insert("map.a", 5), Session::clear),
        ("written after it was an update", LOOK_AT_N, add_one, |s| {
            add_one(s)?;
            s.insert("n", 9)
        }),
    ];
    for (what, look, other, write) in rows {
        let (_, answer) = overtaken(&site, look, other, write).await?;
        refused(answer, ErrorKind::Conflict, what)?;
    }
    Ok(())
}

async fn every_way_of_reading_counts(ctx: Context) -> CaseResult {
    let site = detecting(&ctx)?;
    let change_n: [(Step, Step); 2] =
        [(add_one, |s| s.insert("n", 9)), (|s| s.remove("n").map(drop), |s| s.insert("n", 9))];
    let reads: [Step; 3] = [LOOK_AT_N, |s| s.contains("n").map(drop), |s| s.keys([""; 0]).map(drop)];
    for (number, look) in reads.into_iter().enumerate() {
        for (other, write) in change_n {
            let (_, answer) = overtaken(&site, look, other, write).await?;
            refused(answer, ErrorKind::Conflict, &format!("read {number} of a value"))?;
        }
    }
    let take: Step = |s| s.take::<u64>("n").map(drop);
    refused(overtaken(&site, take, add_one, |_| Ok(())).await?.1, ErrorKind::Conflict, "take")?;
    let keys: Step = |s| s.keys("map").map(drop);
    let other: Step = |s| s.insert("map.new", 1);
    let write: Step = |s| s.insert("map.new", 9);
    refused(overtaken(&site, keys, other, write).await?.1, ErrorKind::Conflict, "keys of a map")?;
    // What is not there is read, too.
    let absent: [Step; 4] = [
        |s| s.get::<u64>("new").map(drop),
        |s| s.contains("new").map(drop),
        |s| s.keys("new").map(drop),
        |s| s.take::<u64>("new").map(drop),
    ];
    for (number, look) in absent.into_iter().enumerate() {
        let (_, answer) = overtaken(&site, look, |s| s.insert("new", 1), |s| s.insert("new", 9)).await?;
        refused(answer, ErrorKind::Conflict, &format!("read {number} of nothing"))?;
    }
    Ok(())
}

async fn unread_and_unchanged_paths_are_free(ctx: Context) -> CaseResult {
    let site = detecting(&ctx)?;
    let nothing: Step = |_| Ok(());
    let rows: [(&str, Step, Step, Step); 12] = [
        ("nothing was read", nothing, add_one, |s| s.insert("n", 9)),
        ("another path was read and changed", LOOK_AT_A, |s| s.insert("map.a", 5), |s| s.insert("n", 9)),
        (
            "a path beside it was read and changed",
            LOOK_AT_A,
            |s| s.insert("map.a", 5),
            |s| s.insert("map.b", 9),
        ),
        ("the other changed another path", LOOK_AT_N, |s| s.insert("map.a", 5), |s| s.insert("n", 9)),
        (
            "the other changed it to the same",
            LOOK_AT_N,
            |s| {
                s.insert("n", 0)?;
                s.insert("m", 1)
            },
            |s| s.insert("n", 9),
        ),
        ("a name that begins alike", LOOK_AT_N, |s| s.insert("nn", 1), |s| s.insert("n", 9)),
        ("it is an update", LOOK_AT_N, add_one, add_one),
        (
            "it is an append",
            |s| s.get::<Vec<u64>>("list").map(drop),
            |s| s.push("list", 4),
            |s| s.push("list", 5),
        ),
        ("an update is no read", add_one, add_one, nothing),
        (
            "a message was left",
            |s| s.take_flash::<String>().map(drop),
            |s| s.flash("one"),
            |s| s.flash("two"),
        ),
        (
            "the names were read and a message was left",
            |s| s.keys([""; 0]).map(drop),
            |s| s.flash("one"),
            |s| s.insert("n", 9),
        ),
        (
            "who is signed in was read",
            |s| {
                let _ = s.principal();
                Ok(())
            },
            add_one,
            |s| s.insert("n", 9),
        ),
    ];
    for (what, look, other, write) in rows {
        let (current, answer) = overtaken(&site, look, other, write).await?;
        match answer {
            Ok(answer) => unchanged(answer)?,
            failed => refused(failed, ErrorKind::Internal, what)?,
        }
        site.open(&current).await?;
    }
    // Another request that only rotated or touched has changed nothing.
    let current = site.create(fill).await?;
    let session = site.open(&current).await?;
    LOOK_AT_N(&session)?;
    drop(site.request(&current, Session::rotate_gracefully).await?);
    session.insert("n", 9)?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 9, "the value after another request's rotation")
}

async fn own_values_are_not_reads(ctx: Context) -> CaseResult {
    let site = detecting(&ctx)?;
    let nothing: Step = |_| Ok(());
    let other: Step = |s| {
        s.insert("n", 5)?;
        s.insert("map.a", 5)
    };
    let rows: [(&str, Step); 4] = [
        ("inserted", |s| {
            s.insert("n", 9)?;
            LOOK_AT_N(s)
        }),
        ("inserted above", |s| {
            s.insert("map", std::collections::BTreeMap::from([("a", 9)]))?;
            LOOK_AT_A(s)
        }),
        ("removed", |s| {
            s.remove("n")?;
            s.contains("n").map(drop)
        }),
        ("cleared", |s| {
            s.clear()?;
            s.keys([""; 0]).map(drop)
        }),
    ];
    for (what, look) in rows {
        let (_, answer) = overtaken(&site, look, other, nothing).await?;
        match answer {
            Ok(answer) => unchanged(answer)?,
            failed => refused(failed, ErrorKind::Internal, what)?,
        }
    }
    // Part of what is read here is the store's.
    let partly: Step = |s| {
        s.insert("map.b", 9)?;
        s.get::<serde::de::IgnoredAny>("map").map(drop)
    };
    refused(overtaken(&site, partly, other, nothing).await?.1, ErrorKind::Conflict, "a map around it")?;
    let updated: Step = |s| {
        add_one(s)?;
        LOOK_AT_N(s)
    };
    let overwrite: Step = |s| s.insert("n", 9);
    refused(overtaken(&site, updated, other, overwrite).await?.1, ErrorKind::Conflict, "after an update")
}

async fn conflict_keeps_the_others_values_until_reload(ctx: Context) -> CaseResult {
    let site = detecting(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    let seen = session.get::<u64>("n")?.unwrap_or_default();
    site.count(&current).await?;
    let stored = site.record(&current).await?;
    session.insert("n", seen + 10)?;
    session.insert("beside", 1)?;
    for _ in 0..2 {
        refused(session.commit().await, ErrorKind::Conflict, "a commit over what has changed")?;
        check::same(&site.record(&current).await?, &stored, "the session after a Conflict")?;
    }
    session.reload().await?;
    let seen = session.get::<u64>("n")?.unwrap_or_default();
    session.insert("n", seen + 10)?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 11, "the value after a reload")?;
    // What was read before a commit binds nobody after it.
    session.reload().await?;
    site.count(&current).await?;
    session.insert("n", 0)?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 0, "the value of a commit that has read nothing")?;
    // Nor what was read of somebody else's session.
    let member = site.member("alice").await?;
    let session = site.open(&member).await?;
    LOOK_AT_N(&session)?;
    session.sign_in("bob")?;
    session.insert("n", 9)?;
    site.count(&member).await?;
    let fresh = crate::site::token(session.commit().await?)?;
    check::equal(site.n(&fresh).await?, 9, "the value of whoever signed in")
}

async fn without_it_the_last_commit_wins(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let write: Step = |s| s.insert("n", 9);
    let (current, answer) = overtaken(&site, LOOK_AT_N, add_one, write).await?;
    unchanged(answer?)?;
    check::equal(site.n(&current).await?, 9, "the value after the last commit")?;
    // Each node has its own setting.
    let detecting = detecting(&ctx)?;
    let session = detecting.open(&current).await?;
    LOOK_AT_N(&session)?;
    site.count(&current).await?;
    session.insert("n", 0)?;
    refused(session.commit().await, ErrorKind::Conflict, "a commit of the node that detects")?;
    check::equal(site.n(&current).await?, 10, "the value of the node that does not")
}
