//! Groups T and L, answers that get lost: what was written is written once, and a commit that cannot know
//! says so.

use std::sync::Arc;

use session_core::{ErrorKind, Operation, Session};
use tokio::sync::Notify;

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;
use crate::site::{Site, Step, add_one, cleared, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "lost_replies",
        lost_reply_recognised_by_revision,
        "a commit whose answer is lost finds its revision in the store: it has landed, once",
    ),
    case!(
        "lost_replies",
        lost_reply_then_other_writer_recognised,
        "a commit whose answer is lost finds its revision below up to eight later ones",
    ),
    case!(
        "lost_replies",
        lost_reply_then_nine_writers_is_indeterminate,
        "after nine later writes it is `Indeterminate`, never a replay",
    ),
    case!(
        "lost_replies",
        lost_reply_of_a_rotation_hands_out_its_token,
        "a rotation whose answer is lost is found, and its token handed out",
    ),
    case!("lost_replies", late_update_lands_once, "an update that was given up and lands later counts once",),
    case!(
        "lost_replies",
        late_update_of_a_second_attempt_lands_once,
        "an update that was given up in a later attempt is recognised by a commit that starts over",
    ),
    case!(
        "lost_replies",
        late_update_lands_while_its_commit_waits,
        "an update that was given up and lands while its commit waits for a turn is recognised",
    ),
    case!(
        "lost_replies",
        takes_changes_again_once_decided,
        "a session whose attempts are known not to have landed takes changes again",
    ),
    case!(
        "lost_replies",
        takes_changes_at_once_where_nothing_was_begun,
        "an update that fails before it began leaves no doubt: the session is not read again and takes changes",
    ),
    case!(
        "lost_replies",
        repeated_update_is_recognised,
        "an update that a client below the driver sends twice counts once",
    ),
    case!(
        "lost_replies",
        lost_create_reply_leaves_at_most_an_orphan,
        "a create whose outcome is unknown is done again under a fresh id, never under the same",
    ),
    case!(
        "lost_replies",
        repeated_create_is_recognised,
        "`Occupied` with its own revision means that the create has landed",
    ),
    case!("lost_replies", lost_delete_reply_is_a_success, "a delete that finds nothing is a success"),
];

/// Loses the answer of the next update, and the look after it.
fn lose_update(site: &Site) {
    site.spy.lose_reply(Operation::Update, ErrorKind::Timeout);
    site.spy.refuse(Operation::Load, ErrorKind::Unavailable);
}

async fn lost_reply_recognised_by_revision(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let current = site.visit().await?;
    for kind in [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::Internal, ErrorKind::Corrupt] {
        // One look is enough if the store answers it.
        let n = other.n(&current).await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        site.spy.lose_reply(Operation::Update, kind);
        unchanged(session.commit().await?)?;
        check::equal(session.get("n")?, Some(n + 1), "the value after a lost answer")?;
        check::equal(other.n(&current).await?, n + 1, "the stored value after a lost answer")?;
        // Else the next commit finds out.
        let session = site.open(&current).await?;
        add_one(&session)?;
        site.spy.lose_reply(Operation::Update, kind);
        site.spy.refuse(Operation::Load, ErrorKind::Unavailable);
        refused(session.commit().await, kind, "a commit whose answer is lost")?;
        let undecided = ErrorKind::AlreadyCommitted;
        refused(session.insert("n", 9), undecided, "a change while it is open what was written")?;
        unchanged(session.commit().await?)?;
        unchanged(session.commit().await?)?;
        check::equal(other.n(&current).await?, n + 2, "the stored value after a second commit")?;
    }
    check::equal(site.spy.acts_left(), 0, "failures that never came")
}

async fn lost_reply_then_other_writer_recognised(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    for others in 1..=8 {
        let current = site.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        lose_update(&site);
        refused(session.commit().await, ErrorKind::Timeout, "a commit whose answer is lost")?;
        for _ in 0..others {
            other.count(&current).await?;
        }
        unchanged(session.commit().await?)?;
        let what = format!("the value after {others} others");
        check::equal(session.get("n")?, Some(others + 1), &what)?;
        check::equal(other.n(&current).await?, others + 1, &what)?;
        // The same where the look comes in time.
        let session = site.open(&current).await?;
        add_one(&session)?;
        site.spy.lose_reply(Operation::Update, ErrorKind::Timeout);
        let (writer, token) = (other.clone(), current.clone());
        site.spy.before(Operation::Load, async move {
            for _ in 0..others {
                let _ = writer.count(&token).await;
            }
        });
        unchanged(session.commit().await?)?;
        check::equal(other.n(&current).await?, 2 * others + 2, &what)?;
    }
    Ok(())
}

async fn lost_reply_then_nine_writers_is_indeterminate(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    for landed in [true, false] {
        let current = site.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        if landed {
            site.spy.lose_reply(Operation::Update, ErrorKind::Timeout);
        } else {
            site.spy.refuse(Operation::Update, ErrorKind::Timeout);
        }
        site.spy.refuse(Operation::Load, ErrorKind::Unavailable);
        refused(session.commit().await, ErrorKind::Timeout, "a commit whose answer is lost")?;
        for _ in 0..9 + u64::from(!landed) {
            other.count(&current).await?;
        }
        let stored = other.record(&current).await?;
        let unknown = ErrorKind::Indeterminate;
        refused(session.commit().await, unknown, "a commit after nine other writers")?;
        refused(session.commit().await, unknown, "the same, called again")?;
        check::same(&other.record(&current).await?, &stored, "the session after that")?;
        // Whoever opens it again knows where it stands.
        session.reload().await?;
        check::equal(session.get("n")?, Some(10), "the value after reload")?;
        add_one(&session)?;
        unchanged(session.commit().await?)?;
        check::equal(other.n(&current).await?, 11, "the value after a commit that followed")?;
    }
    Ok(())
}

async fn lost_reply_of_a_rotation_hands_out_its_token(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let steps: [Step; 2] = [Session::rotate, |session| session.sign_in("alice")];
    for step in steps {
        for others in [0, 1] {
            let old = site.visit().await?;
            let session = site.open(&old).await?;
            add_one(&session)?;
            step(&session)?;
            lose_update(&site);
            refused(session.commit().await, ErrorKind::Timeout, "a rotation whose answer is lost")?;
            let fresh = if others == 0 {
                token(session.commit().await?)?
            } else {
                // The one who looks on is the client itself, after its answer came in the end.
                let clone = session.clone();
                let fresh = token(clone.commit().await?)?;
                other.count(&fresh).await?;
                fresh
            };
            check::equal(id(&fresh)?, id(&old)?, "the id after a rotation")?;
            check::equal(other.n(&fresh).await?, 1 + others, "the value after a rotation")?;
            other.expect_superseded(&old, "the secret before").await?;
        }
        // It never left: the next commit sends it again, with the same secret.
        let old = site.visit().await?;
        let session = site.open(&old).await?;
        add_one(&session)?;
        step(&session)?;
        site.spy.postpone(Operation::Update, ErrorKind::Timeout);
        refused(session.commit().await, ErrorKind::Timeout, "a rotation that is under way")?;
        let fresh = token(session.commit().await?)?;
        site.spy.land().await;
        check::equal(other.n(&fresh).await?, 1, "the value after a late copy of the rotation")?;
    }
    check::equal(site.spy.acts_left(), 0, "failures that never came")
}

async fn late_update_lands_once(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    for lands_first in [true, false] {
        for others in 0..3 {
            let current = site.visit().await?;
            let session = site.open(&current).await?;
            add_one(&session)?;
            site.spy.postpone(Operation::Update, ErrorKind::Timeout);
            refused(session.commit().await, ErrorKind::Timeout, "a commit that is given up")?;
            if lands_first {
                site.spy.land().await;
            }
            for _ in 0..others {
                other.count(&current).await?;
            }
            unchanged(session.commit().await?)?;
            site.spy.land().await;
            check::equal(other.n(&current).await?, 1 + others, "the value after a late landing")?;
        }
    }
    Ok(())
}

async fn late_update_of_a_second_attempt_lands_once(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let current = site.visit().await?;
    let session = site.open(&current).await?;
    add_one(&session)?;
    other.count(&current).await?;
    // The first attempt loses, the second is given up and is under way.
    site.spy.before(Operation::Update, async {});
    site.spy.postpone(Operation::Update, ErrorKind::Timeout);
    refused(session.commit().await, ErrorKind::Timeout, "a commit that is given up")?;
    // The next commit starts over: its first attempt loses again, and before its second the late one lands.
    let late = site.spy.clone();
    site.spy.before(Operation::Update, async {});
    site.spy.before(Operation::Update, async move { late.land().await });
    unchanged(session.commit().await?)?;
    check::equal(site.spy.acts_left(), 0, "acts that never came")?;
    check::equal(other.n(&current).await?, 2, "the value after a late landing")
}

async fn late_update_lands_while_its_commit_waits(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let current = site.visit().await?;
    let (session, holder) = (site.open(&current).await?, site.open(&current).await?);
    add_one(&session)?;
    add_one(&holder)?;
    other.count(&current).await?;
    site.spy.before(Operation::Update, async {});
    site.spy.postpone(Operation::Update, ErrorKind::Timeout);
    refused(session.commit().await, ErrorKind::Timeout, "a commit that is given up")?;
    // Another commit has the turn, and stops in the middle of its second attempt.
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gate = (entered.clone(), go.clone());
    site.spy.before(Operation::Update, async {});
    site.spy.before(Operation::Update, async move {
        gate.0.notify_one();
        gate.1.notified().await;
    });
    let holding = tokio::spawn(async move { holder.commit().await });
    entered.notified().await;
    // The late one lands once this one has lost again, and goes to wait behind the other.
    let late = site.spy.clone();
    site.spy.after(Operation::Update, async move {
        late.land().await;
        go.notify_one();
    });
    unchanged(session.commit().await?)?;
    unchanged(holding.await??)?;
    check::equal(site.spy.acts_left(), 0, "acts that never came")?;
    check::equal(other.n(&current).await?, 3, "the value after three requests")
}

async fn takes_changes_again_once_decided(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let current = site.create(|session| session.insert("list", [1])).await?;
    let session = site.open(&current).await?;
    add_one(&session)?;
    session.insert("list.0", 2)?;
    site.spy.refuse(Operation::Update, ErrorKind::Timeout);
    refused(session.commit().await, ErrorKind::Timeout, "a commit without an answer")?;
    refused(session.remove("m"), ErrorKind::AlreadyCommitted, "a change while it is open what was written")?;
    unchanged(other.request(&current, |session| session.push("list", 3)).await?)?;
    refused(
        session.commit().await,
        ErrorKind::Conflict,
        "a commit that found out, and cannot be done again",
    )?;
    session.insert("list", [4])?;
    refused(session.commit().await, ErrorKind::Conflict, "the same, with one more change")?;
    session.sign_out()?;
    cleared(session.commit().await?)?;
    site.expect_stranger(&current, "a session that was signed out of").await
}

async fn takes_changes_at_once_where_nothing_was_begun(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for kind in [ErrorKind::Overloaded, ErrorKind::TooLarge, ErrorKind::SchemaMissing] {
        let current = site.visit().await?;
        let session = site.open(&current).await?;
        add_one(&session)?;
        site.spy.refuse(Operation::Update, kind);
        site.spy.calls();
        refused(session.commit().await, kind, "a commit whose update never began")?;
        check::equal(site.spy.calls().load, 0, "reads to find out what is known")?;
        add_one(&session)?;
        unchanged(session.commit().await?)?;
        check::equal(site.n(&current).await?, 2, "both changes")?;
    }
    Ok(())
}

async fn repeated_update_is_recognised(ctx: Context) -> CaseResult {
    let (site, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    for others in 0..=8 {
        let current = site.visit().await?;
        let (writer, token) = (other.clone(), current.clone());
        site.spy.resend(Operation::Update, async move {
            for _ in 0..others {
                let _ = writer.count(&token).await;
            }
        });
        site.spy.calls();
        site.count(&current).await?;
        check::equal(site.spy.calls().update, 1, "updates that the core sent")?;
        check::equal(other.n(&current).await?, 1 + others, "the value after an update that was sent twice")?;
    }
    Ok(())
}

async fn lost_create_reply_leaves_at_most_an_orphan(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    for lands_late in [false, true] {
        let session = site.manager.open(None).await?;
        session.insert("n", 1)?;
        session.sign_in("alice")?;
        if lands_late {
            site.spy.postpone(Operation::Create, ErrorKind::Timeout);
        } else {
            site.spy.lose_reply(Operation::Create, ErrorKind::Timeout);
        }
        refused(session.commit().await, ErrorKind::Timeout, "a create whose answer is lost")?;
        check::ensure(session.is_new() && session.id().is_none(), "the session has an id")?;
        let current = token(session.commit().await?)?;
        check::equal(site.n(&current).await?, 1, "the value")?;
        // It ends before the late copy lands, and stays ended.
        cleared(site.request(&current, Session::destroy).await?)?;
        site.spy.land().await;
        site.expect_stranger(&current, "an ended session after a late create").await?;
        ctx.expect_none(id(&current)?, "an ended session after a late create").await?;
    }
    Ok(())
}

async fn repeated_create_is_recognised(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    site.spy.resend(Operation::Create, async {});
    let current = site.visit().await?;
    check::equal(site.spy.calls().create, 1, "creates that the core sent")?;
    check::equal(site.n(&current).await?, 0, "the value")
}

async fn lost_delete_reply_is_a_success(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let ends: [Step; 2] = [Session::destroy, Session::sign_out];
    for end in ends {
        let current = site.member("alice").await?;
        let session = site.open(&current).await?;
        end(&session)?;
        site.spy.lose_reply(Operation::Delete, ErrorKind::Timeout);
        refused(session.commit().await, ErrorKind::Timeout, "a destroy whose answer is lost")?;
        session.commit().await.map(drop)?;
        site.expect_stranger(&current, "a session that was ended").await?;
        let current = site.member("alice").await?;
        let session = site.open(&current).await?;
        end(&session)?;
        site.spy.resend(Operation::Delete, async {});
        session.commit().await.map(drop)?;
        site.expect_stranger(&current, "a session that was ended twice").await?;
    }
    Ok(())
}
