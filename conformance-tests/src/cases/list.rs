//! Group P: listing every session, page by page; and the paging that the principal's cases use.

use std::collections::{BTreeMap, BTreeSet};

use session_core::{Cursor, ErrorKind, Principal, Record, SessionId};
use tokio::time::timeout;

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
    case!("list", limit_0_asks_for_nothing, "list with a limit of 0 is an empty page without `next`", List,),
    case!(
        "list",
        namespace_bound,
        "list never shows a session of another namespace, however similar its name",
        List,
    ),
    case!(
        "list",
        churn_no_panic,
        "list ends without an error, and stays within its limit, while sessions come, move and go",
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

async fn limit_0_asks_for_nothing(ctx: Context) -> CaseResult {
    let alice = Principal::new("alice")?;
    let nothing = async |principal, after: Option<Cursor>| -> CaseResult {
        let page = timeout(ctx.patience(), ctx.backend().list(principal, after, 0, ctx.now())).await;
        let page = page.map_err(|_| Failure::new("a list with a limit of 0 does not end"))??;
        check::equal(page.sessions.len(), 0, "the sessions of a page of none")?;
        check::ensure(page.next.is_none(), "a page of none has a `next`, where a loop would never end")
    };
    for principal in [None, Some(&alice)] {
        nothing(principal, None).await?;
    }
    for _ in 0..4 {
        ctx.create(&ctx.record_of("alice")?).await?;
    }
    for principal in [None, Some(&alice)] {
        nothing(principal, None).await?;
        let page = ctx.backend().list(principal, None, 1, ctx.now()).await?;
        nothing(principal, page.next).await?;
    }
    Ok(())
}

async fn namespace_bound(ctx: Context) -> CaseResult {
    let own = ctx.record_of("alice")?;
    let own = (ctx.create(&own).await?, own);
    for name in ctx.harness().similar_namespaces(&ctx.namespace()) {
        let other = ctx.open_other(&name).await?;
        let mut theirs = Vec::new();
        for _ in 0..3 {
            let (id, record) = (ctx.id(), ctx.record_of("alice")?);
            check::created(other.create(id, record, ctx.now()).await?)?;
            theirs.push(id);
        }
        let named = Principal::new("alice")?;
        for principal in [None, Some(&named)] {
            let whose = principal.map(Principal::as_str);
            let what = format!("the list beside {name:?}");
            expect_list(&ctx, whose, std::slice::from_ref(&own), &what).await?;
            let (mut seen, mut after) = (Vec::new(), None);
            for _ in 0..PAGES {
                let page = other.list(principal, after, 2, ctx.now()).await?;
                seen.extend(page.sessions.into_iter().map(|(id, _)| id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            check::ensure(after.is_none(), format!("the other list has no end after {PAGES} pages"))?;
            seen.sort();
            seen.dedup();
            let mut expected = theirs.clone();
            expected.sort();
            check::equal(seen, expected, &format!("the list of {name:?}"))?;
        }
    }
    Ok(())
}

async fn churn_no_panic(ctx: Context) -> CaseResult {
    let (purges, rounds) = (ctx.harness().promises().purge, ctx.rounds(40));
    let churn = |own: usize| {
        let ctx = ctx.clone();
        racer(async move {
            let (backend, names) = (ctx.backend(), ["alice", "bob", ""]);
            for round in 0..rounds {
                let mut record = ctx.record_of(names[(own + round) % 3])?;
                // One in three is dead to whoever lists.
                if round % 3 == 0 {
                    record.expires_at = ctx.now();
                }
                let id = ctx.create(&record).await?;
                let next = ctx.successor(&record).with_principal(ctx.record_of(names[round % 3])?.principal);
                let _ = backend.update(id, record.revision, next, ctx.now()).await?;
                backend.touch(id, record.deadline, ctx.now()).await?;
                if purges {
                    let _ = backend.purge_expired(ctx.now(), 3).await?;
                }
                let _ = backend.delete(id, None, ctx.now()).await?;
            }
            Ok(())
        })
    };
    let reader = |limit: usize| {
        let ctx = ctx.clone();
        racer(async move {
            let alice = Principal::new("alice")?;
            for round in 0..rounds {
                let principal = (round % 2 == 0).then_some(&alice);
                // A few pages: with others at work, how many there are is not for this reader to say.
                let mut after = None;
                for _ in 0..5 {
                    let page = ctx.backend().list(principal, after, limit, ctx.now()).await?;
                    let size = page.sessions.len();
                    check::ensure(size <= limit, format!("a page of {size}, the limit was {limit}"))?;
                    let live = page.sessions.iter().all(|(_, record)| record.is_live(ctx.now()));
                    check::ensure(live, "a list shows a record that is dead")?;
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
            Ok(())
        })
    };
    race((0..3).map(churn).chain([1, 2, 7].map(reader)).collect()).await?;
    for principal in [None, Some("alice"), Some("bob"), Some("")] {
        expect_list(&ctx, principal, &[], "the list after the churn").await?;
    }
    Ok(())
}

/// More pages than any list of a case has.
const PAGES: usize = 1500;
