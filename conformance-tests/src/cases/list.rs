//! Group P: listing every session, page by page; and the paging that the principal's cases use.

use std::collections::{BTreeMap, BTreeSet};

use session_core::{Cursor, ErrorKind, Principal, Record, SessionId};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::Context;
use crate::race::{race, racer};

pub(super) const CASES: &[Case] = &[
    case!(
        "list",
        sees_every_stable_session,
        "list of all contains every session that lives throughout, whatever else comes and goes",
        List,
    ),
    case!(
        "list",
        cursor_resume_and_invalid,
        "list goes on from a cursor though its session is gone; a foreign cursor is `Config`",
        List,
    ),
];

/// Pages through a list, and returns each session once, ascending by id; fails unless pages are within `limit`
/// and end.
pub(super) async fn list_all(
    ctx: &Context,
    principal: Option<&str>,
    limit: usize,
) -> CaseResult<BTreeMap<SessionId, Record>> {
    const PAGES: usize = 1500;
    let principal = principal.map(Principal::new).transpose()?;
    let (mut sessions, mut after) = (BTreeMap::new(), None);
    for _ in 0..PAGES {
        let page = ctx.backend().list(principal.as_ref(), after, limit, ctx.now()).await?;
        let size = page.sessions.len();
        check::ensure(size <= limit, format!("a page of {size}, the limit was {limit}"))?;
        sessions.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return Ok(sessions);
        }
    }
    Err(Failure::new(format!("the list has no end after {PAGES} pages")))
}

/// Fails unless the list of `principal` holds exactly these sessions, as they are stored.
pub(super) async fn expect_list(
    ctx: &Context,
    principal: Option<&str>,
    expected: &[(SessionId, Record)],
    what: &str,
) -> CaseResult {
    let listed = list_all(ctx, principal, 7).await?;
    for id in listed.keys() {
        check::ensure(expected.iter().any(|(other, _)| other == id), format!("{what}: {id} is not of it"))?;
    }
    for (id, record) in expected {
        check::found(listed.get(id).cloned(), record, &format!("{what}: {id} in the list"))?;
    }
    Ok(())
}

async fn sees_every_stable_session(ctx: Context) -> CaseResult {
    let mut stable = Vec::new();
    for number in 0..40 {
        let record = if number % 2 == 0 { ctx.record() } else { ctx.record_of("alice")? };
        stable.push((ctx.create(&record).await?, record));
    }
    expect_list(&ctx, None, &stable, "the list of all").await?;
    let rounds = ctx.rounds(50);
    let churn = |_| {
        let ctx = ctx.clone();
        racer(async move {
            for _ in 0..rounds {
                let record = ctx.record_of("bob")?;
                let id = ctx.create(&record).await?;
                let next = ctx.successor(&record).with_principal(None);
                check::updated(ctx.backend().update(id, record.revision, next, ctx.now()).await?)?;
                check::deleted(ctx.backend().delete(id, None, ctx.now()).await?)?;
            }
            Ok(())
        })
    };
    let reader = {
        let (ctx, stable) = (ctx.clone(), stable.clone());
        racer(async move {
            for _ in 0..rounds {
                let listed = list_all(&ctx, None, 9).await?;
                for (id, record) in &stable {
                    check::found(listed.get(id).cloned(), record, "a stable session")?;
                }
            }
            Ok(())
        })
    };
    race((0..2).map(churn).chain([reader]).collect()).await?;
    expect_list(&ctx, None, &stable, "the list of all, after the churn").await
}

async fn cursor_resume_and_invalid(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let alice = Principal::new("alice")?;
    for principal in [None, Some(&alice)] {
        let mut unseen = BTreeSet::new();
        for _ in 0..10 {
            unseen.insert(ctx.create(&ctx.record_of("alice")?).await?);
        }
        let whose = principal.map(Principal::as_str);
        check::equal(list_all(&ctx, whose, 1).await?.len(), 10, "sessions on pages of one")?;
        let mut after = None;
        for pages in 0.. {
            check::ensure(pages < 1500, "the list has no end after 1500 pages")?;
            let page = backend.list(principal, after, 1, now).await?;
            // What the cursor stands on goes away.
            for (id, _) in page.sessions {
                check::ensure(unseen.remove(&id), "a session that was deleted is listed")?;
                check::deleted(backend.delete(id, None, now).await?)?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        check::equal(unseen, BTreeSet::new(), "sessions on no page")?;
        for foreign in ["", "?", "not a cursor of this driver"] {
            let cursor = Cursor::from_bytes(foreign.as_bytes().to_vec());
            let kind = backend.list(principal, Some(cursor), 4, now).await.map_err(|error| error.kind());
            check::equal(kind.err(), Some(ErrorKind::Config), "list with a foreign cursor")?;
        }
    }
    Ok(())
}
