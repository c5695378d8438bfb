//! Group P: listing every session, page by page; and the paging that the principal's cases use.

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

/// Pages through a list; fails unless pages are within `limit`, ascend by id without repeating, and end.
pub(super) async fn list_all(
    ctx: &Context,
    principal: Option<&str>,
    limit: usize,
) -> CaseResult<Vec<(SessionId, Record)>> {
    const PAGES: usize = 1500;
    let principal = principal.map(Principal::new).transpose()?;
    let (mut sessions, mut after) = (Vec::<(SessionId, Record)>::new(), None);
    for _ in 0..PAGES {
        let page = ctx.backend().list(principal.as_ref(), after, limit, ctx.now()).await?;
        let size = page.sessions.len();
        check::ensure(size <= limit, format!("a page of {size}, the limit was {limit}"))?;
        for (id, record) in page.sessions {
            let ascends = sessions.last().is_none_or(|(last, _)| *last < id);
            check::ensure(ascends, "the list does not ascend by id")?;
            sessions.push((id, record));
        }
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
    let mut expected = expected.to_vec();
    expected.sort_by_key(|(id, _)| *id);
    for (id, _) in &listed {
        check::ensure(expected.iter().any(|(other, _)| other == id), format!("{what}: {id} is not of it"))?;
    }
    for (id, record) in &expected {
        let found = listed.iter().find(|(other, _)| other == id).map(|(_, record)| record.clone());
        check::found(found, record, &format!("{what}: {id} in the list"))?;
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
                    let found = listed.iter().find(|(other, _)| other == id);
                    check::found(found.map(|(_, record)| record.clone()), record, "a stable session")?;
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
        let mut sessions = Vec::new();
        for _ in 0..10 {
            let record = ctx.record_of("alice")?;
            sessions.push((ctx.create(&record).await?, record));
        }
        sessions.sort_by_key(|(id, _)| *id);
        let page = backend.list(principal, None, 4, now).await?;
        let seen = page.sessions.len();
        check::ensure((1..=4).contains(&seen), format!("a first page of {seen}, the limit was 4"))?;
        // What the cursor stands on goes away; what lies before it is not seen again.
        for (id, _) in &sessions[..seen] {
            check::deleted(backend.delete(*id, None, now).await?)?;
        }
        let mut after = page.next;
        let mut rest = Vec::new();
        for _ in 0..100 {
            let Some(cursor) = after.take() else { break };
            let page = backend.list(principal, Some(cursor), 4, now).await?;
            rest.extend(page.sessions.into_iter().map(|(id, _)| id));
            after = page.next;
        }
        check::ensure(after.is_none(), "the list has no end after 100 pages")?;
        let expected: Vec<_> = sessions[seen..].iter().map(|(id, _)| *id).collect();
        check::equal(rest, expected, "the pages behind the first")?;
        for (id, _) in &sessions[seen..] {
            check::deleted(backend.delete(*id, None, now).await?)?;
        }
        for foreign in ["", "?", "not a cursor of this driver"] {
            let cursor = Cursor::from_bytes(foreign.as_bytes().to_vec());
            let kind = backend.list(principal, Some(cursor), 4, now).await.map_err(|error| error.kind());
            check::equal(kind.err(), Some(ErrorKind::Config), "list with a foreign cursor")?;
        }
    }
    Ok(())
}
