//! Group T, many requests of one session at once, in one process and in several.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use session_core::{Committed, ErrorKind, Operation, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::Context;
use crate::race::{Racer, race, race_two, racer};
use crate::site::{Site, Step, add_one, cleared, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!("concurrency", update_50_parallel_is_50, "update is exact under any number of parallel requests"),
    case!(
        "concurrency",
        writers_of_one_process_queue,
        "after its first conflict a commit waits for its turn, so that hardly any loses twice",
    ),
    case!(
        "concurrency",
        update_by_several_processes_is_exact,
        "update is exact where the writers share nothing but the store",
    ),
    case!(
        "concurrency",
        update_64_on_one_session_all_finish,
        "update is exact on one session that many tasks share",
    ),
    case!(
        "concurrency",
        parallel_requests_different_paths_both_survive,
        "parallel changes to different paths never lose each other",
    ),
    case!("concurrency", parallel_pushes_all_survive, "appends of parallel requests all survive"),
    case!(
        "concurrency",
        parallel_commits_of_one_session_commit_once,
        "of several commits of one session one does the work, and the others say Unchanged",
    ),
    case!(
        "concurrency",
        update_is_exact_over_a_reload_of_a_clone,
        "an update whose session was committed and reloaded meanwhile runs again",
    ),
    case!("concurrency", destroy_beats_late_commit, "deletion wins over every late write: it is `Gone`"),
    case!(
        "concurrency",
        destroy_races_commit_never_revives,
        "once a destroy has returned, no parallel request's commit brings the session back",
    ),
    case!(
        "concurrency",
        destroy_meets_a_change_and_ends_it,
        "a destroy whose session another request changes meanwhile ends it all the same",
    ),
];

async fn update_50_parallel_is_50(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for _ in 0..ctx.rounds(5) {
        let current = site.visit().await?;
        let racers = (0..50).map(|_| counting(&site, &current)).collect();
        race(racers).await?;
        check::equal(site.n(&current).await?, 50, "the value after 50 parallel requests")?;
    }
    Ok(())
}

fn counting(site: &Site, current: &str) -> Racer<()> {
    let (site, current) = (site.clone(), current.to_owned());
    racer(async move { site.count_among_others(&current).await })
}

async fn writers_of_one_process_queue(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    // On a store that takes its time those who do not wait meet again and again.
    site.spy.before_each(Operation::Update, || tokio::time::sleep(Duration::from_millis(2)));
    let mut racers = Vec::new();
    // So few that all have their turn within a commit's time, on a busy machine too.
    for _ in 0..20 {
        let session = site.open(&current).await?;
        add_one(&session)?;
        racers.push(racer(async move { unchanged(session.commit().await?) }));
    }
    site.spy.calls();
    race(racers).await?;
    let attempts = site.spy.calls().update;
    check::ensure(attempts <= 44, format!("{attempts} attempts of 20 writers"))?;
    check::equal(site.n(&current).await?, 20, "the value after 20 parallel commits")
}

async fn update_by_several_processes_is_exact(ctx: Context) -> CaseResult {
    let sites: Vec<Site> = (0..3).map(|_| Site::new(&ctx)).collect::<CaseResult<_>>()?;
    let current = sites[0].visit().await?;
    let worker = |number: usize| -> Racer<()> {
        let (site, current) = (sites[number % sites.len()].clone(), current.clone());
        racer(async move {
            for _ in 0..10 {
                site.count_among_others(&current).await?;
            }
            Ok(())
        })
    };
    race((0..6).map(worker).collect()).await?;
    check::equal(sites[0].n(&current).await?, 60, "the value after 60 requests of 3 processes")
}

async fn update_64_on_one_session_all_finish(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    let racers = (0..64).map(|number: u64| {
        let session = session.clone();
        racer(async move {
            add_one(&session)?;
            session.insert([number.to_string()], number)?;
            session.push("list", number)?;
            Ok(())
        })
    });
    race(racers.collect()).await?;
    check::equal(session.get("n")?, Some(64), "the value before the commit")?;
    // Another request in between, so that all of it runs again.
    site.count(&current).await?;
    unchanged(session.commit().await?)?;
    let session = site.open(&current).await?;
    check::equal(session.get("n")?, Some(65), "the value after the commit")?;
    for number in 0..64 {
        check::equal(session.get([number.to_string()])?, Some(number), "an insert")?;
    }
    let mut list = session.get::<Vec<u64>>("list")?.unwrap_or_default();
    list.sort_unstable();
    check::equal(list, (0..64).collect(), "the list")
}

async fn parallel_requests_different_paths_both_survive(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for _ in 0..ctx.rounds(50) {
        let current = site.visit().await?;
        let (one, other) = (site.open(&current).await?, site.open(&current).await?);
        one.insert("map.one", 1)?;
        other.insert("map.other", 2)?;
        let commit = |session: Session| async move { unchanged(session.commit().await?) };
        race_two(commit(one), commit(other)).await?;
        let session = site.open(&current).await?;
        let both = (session.get("map.one")?, session.get("map.other")?);
        check::equal(both, (Some(1), Some(2)), "the values of two parallel requests")?;
    }
    Ok(())
}

async fn parallel_pushes_all_survive(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let racers = (0..20).map(|number: u64| {
        let (site, current) = (site.clone(), current.clone());
        racer(async move {
            let change = |session: &Session| {
                session.push("list", number)?;
                session.flash(number)
            };
            unchanged(site.request(&current, change).await?)
        })
    });
    race(racers.collect()).await?;
    let session = site.open(&current).await?;
    for mut list in [session.get::<Vec<u64>>("list")?.unwrap_or_default(), session.take_flash()?] {
        list.sort_unstable();
        check::equal(list, (0..20).collect(), "what 20 parallel requests appended")?;
    }
    Ok(())
}

async fn parallel_commits_of_one_session_commit_once(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for _ in 0..ctx.rounds(20) {
        let session = site.manager.open(None).await?;
        session.insert("n", 1)?;
        site.spy.calls();
        let racers = (0..8).map(|_| {
            let session = session.clone();
            racer(async move { Ok(session.commit().await?) })
        });
        let answers = race(racers.collect()).await?;
        let said = answers.iter().filter(|answer| !matches!(answer, Committed::Unchanged)).count();
        check::equal(said, 1, "commits that hand out a token")?;
        check::equal(site.spy.calls().create, 1, "sessions that were created")?;
    }
    Ok(())
}

async fn update_is_exact_over_a_reload_of_a_clone(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    let (entered, was_entered) = tokio::sync::oneshot::channel();
    let (go, gate) = mpsc::channel::<()>();
    let clone = session.clone();
    let first_run = AtomicBool::new(true);
    let (mut entered, gate) = (Some(entered), std::sync::Mutex::new(gate));
    let updating = tokio::task::spawn_blocking(move || {
        clone.update("n", move |n: Option<u64>| {
            if first_run.swap(false, Ordering::SeqCst) {
                // In the middle of it the session becomes another one.
                let _ = entered.take().map(|entered| entered.send(()));
                let _ = gate.lock().map(|gate| gate.recv());
            }
            n.unwrap_or(0) + 1
        })
    });
    was_entered.await.map_err(|_| Failure::new("the closure never ran"))?;
    site.count(&current).await?;
    unchanged(session.commit().await?)?;
    session.reload().await?;
    let _ = go.send(());
    check::equal(updating.await??, 2, "what update returns")?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 2, "the value")
}

async fn destroy_beats_late_commit(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let ends: [Step; 2] = [Session::destroy, Session::sign_out];
    for end in ends {
        let current = site.member("alice").await?;
        let mut late = Vec::new();
        let changes: [Step; 4] =
            [add_one, |session| session.insert("n", 9), Session::rotate, |session| session.sign_in("alice")];
        for change in changes {
            let session = site.open(&current).await?;
            change(&session)?;
            late.push(session);
        }
        let reader = site.open(&current).await?;
        drop(site.request(&current, end).await?);
        for session in late {
            refused(session.commit().await, ErrorKind::Gone, "a late commit")?;
            refused(session.commit().await, ErrorKind::Gone, "a late commit, again")?;
        }
        unchanged(reader.commit().await?)?;
        ctx.expect_none(id(&current)?, "a destroyed session after late commits").await?;
        // Between a conflict and the next attempt.
        let current = site.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        site.count(&current).await?;
        let (manager, gone) = (site.manager.clone(), id(&current)?);
        site.spy.before(Operation::Update, async {});
        site.spy.before(Operation::Update, async move { drop(manager.revoke(gone).await) });
        refused(session.commit().await, ErrorKind::Gone, "a commit that meets an end half-way")?;
        ctx.expect_none(gone, "a session that ended half-way").await?;
    }
    Ok(())
}

async fn destroy_races_commit_never_revives(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for round in 0..ctx.rounds(200) {
        let current = site.member("alice").await?;
        let (ending, changing) = (site.open(&current).await?, site.open(&current).await?);
        ending.destroy()?;
        add_one(&changing)?;
        if round % 2 == 0 {
            changing.flash("hello")?;
        }
        let (ended, changed) =
            race_two(async move { Ok(ending.commit().await?) }, async move { Ok(changing.commit().await) })
                .await?;
        cleared(ended)?;
        match changed {
            Ok(answer) => unchanged(answer)?,
            gone => refused(gone, ErrorKind::Gone, "a commit that raced a destroy")?,
        }
        ctx.expect_none(id(&current)?, "a destroyed session after a race").await?;
    }
    Ok(())
}

async fn destroy_meets_a_change_and_ends_it(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.member("alice").await?;
    let session = site.open(&current).await?;
    session.destroy()?;
    site.count(&current).await?;
    let other = (site.clone(), current.clone());
    site.spy.before(Operation::Delete, async {});
    site.spy.before(Operation::Delete, async move { drop(other.0.count(&other.1).await) });
    cleared(session.commit().await?)?;
    check::equal(site.spy.acts_left(), 0, "changes that never came")?;
    ctx.expect_none(id(&current)?, "a session that was changed while it ended").await?;
    // But not if somebody has signed in meanwhile.
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    session.destroy()?;
    site.count(&current).await?;
    let (other, theirs) = (site.clone(), current.clone());
    let (sender, cookie) = tokio::sync::oneshot::channel();
    site.spy.before(Operation::Delete, async {});
    site.spy.before(Operation::Delete, async move {
        let signed_in = other.request(&theirs, |session| session.sign_in("alice")).await;
        let _ = sender.send(signed_in.and_then(token));
    });
    refused(session.commit().await, ErrorKind::Stale, "a destroy that meets a sign-in half-way")?;
    let cookie = cookie.await.map_err(|_| Failure::new("nobody signed in"))??;
    site.open(&cookie).await.map(drop)
}
