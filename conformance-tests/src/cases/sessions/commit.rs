//! Group T, commit as the handler sees it: before, after, again, and dropped half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use session_core::{Committed, ErrorKind, Operation, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;
use crate::site::{Site, Step, add_one, cleared, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "commit",
        use_after_commit_is_an_error_until_reload,
        "after a commit reads show what was committed, and changes are refused until reload",
    ),
    case!(
        "commit",
        reload_sees_what_others_stored,
        "reload opens the session again and drops what was not committed"
    ),
    case!(
        "commit",
        failed_commit_keeps_its_changes,
        "a commit that failed retryably keeps its changes and may be called again",
    ),
    case!(
        "commit",
        half_a_sign_out_removes_the_token,
        "where a session has ended and the next one cannot be made, the client is told to forget its token",
    ),
    case!(
        "commit",
        goes_on_when_its_future_is_dropped,
        "commit goes on to its end when its future is dropped",
    ),
    case!(
        "commit",
        time_bound_is_contended,
        "a commit that loses for two seconds is `Contended`, has written nothing, and may be called again",
    ),
];

async fn use_after_commit_is_an_error_until_reload(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let session = site.manager.open(None).await?;
    session.insert("n", 1)?;
    let clone = session.clone();
    let current = token(session.commit().await?)?;
    let used = ErrorKind::AlreadyCommitted;
    for session in [&session, &clone] {
        check::equal(session.get("n")?, Some(1), "a read after the commit")?;
        check::equal(session.id(), Some(id(&current)?), "the id after the commit")?;
        check::ensure(!session.is_new(), "a stored session is new")?;
        refused(session.insert("n", 2), used, "insert")?;
        refused(add_one(session), used, "update")?;
        refused(session.push("list", 2), used, "push")?;
        refused(session.remove("n"), used, "remove")?;
        refused(session.take::<u64>("n"), used, "take")?;
        refused(session.clear(), used, "clear")?;
        refused(session.flash("hello"), used, "flash")?;
        refused(session.sign_in("alice"), used, "sign_in")?;
        refused(session.sign_out(), used, "sign_out")?;
        refused(session.rotate(), used, "rotate")?;
        refused(session.destroy(), used, "destroy")?;
        unchanged(session.commit().await?)?;
    }
    session.reload().await?;
    add_one(&clone)?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, 2, "the value after a second commit")?;
    session.reload().await?;
    session.sign_in("alice")?;
    let fresh = token(session.commit().await?)?;
    // By the token that the session has by now.
    session.reload().await?;
    add_one(&session)?;
    unchanged(session.commit().await?)?;
    check::equal(site.n(&fresh).await?, 3, "the value after a rotation and a third commit")?;
    session.reload().await?;
    session.destroy()?;
    refused(session.insert("n", 9), ErrorKind::Gone, "insert after destroy")?;
    cleared(session.commit().await?)?;
    refused(session.insert("n", 9), used, "insert after the commit of a destroy")?;
    site.expect_stranger(&fresh, "a destroyed session").await
}

async fn reload_sees_what_others_stored(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    session.insert("mine", 1)?;
    site.count(&current).await?;
    check::equal(session.get("n")?, Some(0), "a read before reload")?;
    session.reload().await?;
    check::equal(session.get("n")?, Some(1), "a read after reload")?;
    check::equal(session.contains("mine")?, false, "contains of what was not committed")?;
    // A store that fails changes nothing.
    session.insert("mine", 1)?;
    site.spy.refuse(Operation::Load, ErrorKind::Unavailable);
    refused(session.reload().await, ErrorKind::Unavailable, "reload on a store that fails")?;
    unchanged(session.commit().await?)?;
    check::equal(site.open(&current).await?.get("mine")?, Some(1), "what was there before reload failed")?;
    // An end that was not committed is dropped too.
    let ends: [Step; 3] = [Session::destroy, Session::sign_out, |session| session.sign_in("bob")];
    let current = site.member("alice").await?;
    for end in ends {
        let session = site.open(&current).await?;
        end(&session)?;
        session.reload().await?;
        check::equal(session.id(), Some(id(&current)?), "the id after an end that was not committed")?;
        add_one(&session)?;
        unchanged(session.commit().await?)?;
    }
    check::equal(site.n(&current).await?, 3, "the value after ends that were not committed")?;
    // Nor does it bring anything back.
    let session = site.open(&current).await?;
    site.manager.revoke(id(&current)?).await?;
    session.reload().await?;
    check::ensure(session.is_new() && session.id().is_none(), "a revoked session after reload")?;
    check::equal(session.contains("n")?, false, "a value of a revoked session after reload")
}

async fn failed_commit_keeps_its_changes(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Overloaded] {
        let current = site.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        session.sign_in("alice")?;
        for _ in 0..2 {
            site.spy.refuse(Operation::Update, kind);
            let failed = session.commit().await;
            check::ensure(failed.as_ref().is_err_and(|error| error.is_retryable()), "it is retryable")?;
            refused(failed, kind, "a commit on a store that fails")?;
        }
        check::equal(site.n(&current).await?, 0, "the value after failed commits")?;
        // In the meantime another request is faster.
        site.count(&current).await?;
        let fresh = token(session.commit().await?)?;
        check::equal(site.n(&fresh).await?, 2, "the value after the commit")?;
        // The same for an end, and for a create.
        let session = site.open(&fresh).await?;
        session.sign_out()?;
        session.flash("bye")?;
        site.spy.refuse(Operation::Delete, kind);
        refused(session.commit().await, kind, "a sign_out on a store that fails")?;
        site.open(&fresh).await?;
        site.spy.refuse(Operation::Create, kind);
        refused(session.commit().await, kind, "the create after it, on a store that fails")?;
        site.expect_stranger(&fresh, "the session that was ended").await?;
        let newest = token(session.commit().await?)?;
        let messages = site.open(&newest).await?.take_flash::<String>()?;
        check::equal(messages, vec!["bye".to_owned()], "the message after a sign_out")?;
    }
    check::equal(site.spy.acts_left(), 0, "failures that never came")
}

async fn half_a_sign_out_removes_the_token(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.member("alice").await?;
    let session = site.open(&current).await?;
    session.sign_out()?;
    session.flash("You are signed out.")?;
    site.spy.refuse(Operation::Create, ErrorKind::Unavailable);
    refused(session.commit().await, ErrorKind::Unavailable, "a commit without the next session")?;
    site.expect_stranger(&current, "a session that was signed out").await?;
    let told = session.answer();
    check::ensure(matches!(told, Some(Committed::ClearToken)), format!("the client is told {told:?}"))?;
    // Again, and it is the token of the next one.
    let next = token(session.commit().await?)?;
    let told = session.answer();
    check::ensure(matches!(told, Some(Committed::SetToken { .. })), format!("the client is told {told:?}"))?;
    let message = site.open(&next).await?.take_flash::<String>()?;
    check::equal(message, vec!["You are signed out.".to_owned()], "the message")
}

async fn goes_on_when_its_future_is_dropped(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.visit().await?;
    for attempts in 0..2 {
        let session = site.open(&current).await?;
        add_one(&session)?;
        for _ in 0..attempts {
            let other = (site.clone(), current.clone());
            let count = async move { drop(other.0.count(&other.1).await) };
            site.spy.before(Operation::Update, count);
        }
        let (entered, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let gate = (entered.clone(), go.clone());
        site.spy.before(Operation::Update, async move {
            gate.0.notify_one();
            gate.1.notified().await;
        });
        let clone = session.clone();
        let committing = tokio::spawn(async move { clone.commit().await });
        entered.notified().await;
        committing.abort();
        check::ensure(committing.await.is_err_and(|error| error.is_cancelled()), "the request was dropped")?;
        refused(session.insert("n", 9), ErrorKind::AlreadyCommitted, "insert during a commit")?;
        go.notify_one();
        // Waits for the one that is under way.
        unchanged(session.commit().await?)?;
        check::equal(
            session.get::<u64>("n")?,
            Some(site.n(&current).await?),
            "the value of a dropped commit",
        )?;
    }
    check::equal(site.n(&current).await?, 3, "the value after two dropped commits and one other")
}

async fn time_bound_is_contended(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    add_one(&session)?;
    let others = Arc::new(AtomicUsize::new(0));
    let (counted, token) = (others.clone(), current.clone());
    site.spy.before_each(Operation::Update, move || {
        let (other, token, counted) = (other.clone(), token.clone(), counted.clone());
        async move {
            if other.count(&token).await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let started = std::time::Instant::now();
    refused(session.commit().await, ErrorKind::Contended, "a commit that always loses")?;
    let took = started.elapsed();
    let bound = Duration::from_secs(2);
    // Not much later, either; a busy machine has its pauses.
    check::ensure(took >= bound && took < 15 * bound, format!("Contended after {took:?}"))?;
    let lost = others.load(Ordering::SeqCst);
    check::ensure(lost > 3, format!("{lost} attempts in {took:?}"))?;
    check::equal(site.n(&current).await?, lost as u64, "the others' updates")?;
    site.spy.before_each(Operation::Update, || async {});
    unchanged(session.commit().await?)?;
    check::equal(site.n(&current).await?, lost as u64 + 1, "the value after calling it again")
}
