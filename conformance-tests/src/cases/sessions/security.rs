//! Group T, what standards and advisories ask for and no other group looks at: time limits, listeners that
//! fail, sessions that must not meet.

use std::fmt::Debug;
use std::future::pending;
use std::time::{Duration, Instant};

use session_core::{ErrorKind, Operation, Result, Session, SessionEvent, SessionEvents};

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::{Context, MINUTE};
use crate::race::{Racer, race, racer};
use crate::site::{Site, Step, add_one, cleared, id, refused, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "security",
        every_call_of_the_store_has_a_time_limit,
        "a store that never answers is `Timeout` after `store_timeout` (OWASP ASVS 13.1.3)"
    ),
    case!(
        "security",
        ended_though_the_listener_panics,
        "a session ends whatever becomes of who is told (CVE-2021-34428)"
    ),
    case!(
        "security",
        parallel_sessions_never_cross,
        "requests of many sessions at once each see their own (CVE-2011-4136)"
    ),
];

async fn every_call_of_the_store_has_a_time_limit(ctx: Context) -> CaseResult {
    // Long enough for the calls that are answered, on a busy machine too; all wait at the same time.
    let limit = Duration::from_secs(4);
    let plain = Site::new(&ctx)?;
    let current = plain.member("alice").await?;
    let started = Instant::now();
    let hanging = |operation| -> CaseResult<Site> {
        let site = Site::with(&ctx, |builder| builder.store_timeout(limit))?;
        site.spy.before(operation, pending());
        Ok(site)
    };
    let mut racers: Vec<Racer<()>> = Vec::new();
    let changes: [(Operation, Step); 4] = [
        (Operation::Update, add_one),
        (Operation::Update, Session::rotate),
        (Operation::Delete, Session::destroy),
        (Operation::Delete, Session::sign_out),
    ];
    for (operation, change) in changes {
        let (site, current) = (hanging(operation)?, current.clone());
        racers.push(racer(async move {
            let session = site.open(&current).await?;
            change(&session)?;
            timed_out(session.commit().await, operation)
        }));
    }
    let site = hanging(Operation::Create)?;
    racers.push(racer(async move {
        let session = site.manager.open(None).await?;
        session.insert("n", 1)?;
        timed_out(session.commit().await, Operation::Create)
    }));
    let (site, theirs) = (hanging(Operation::Load)?, current.clone());
    racers.push(racer(async move { timed_out(site.manager.open(Some(&theirs)).await, Operation::Load) }));
    let site = hanging(Operation::Load)?;
    racers.push(racer(async move { timed_out(site.manager.check().await, Operation::Load) }));
    let site = hanging(Operation::List)?;
    racers.push(racer(async move { timed_out(site.manager.list("alice").await, Operation::List) }));
    let site = hanging(Operation::List)?;
    racers.push(racer(async move { timed_out(site.manager.revoke_all("alice").await, Operation::List) }));
    let (site, gone) = (hanging(Operation::Delete)?, id(&current)?);
    racers.push(racer(async move { timed_out(site.manager.revoke(gone).await, Operation::Delete) }));
    let site = hanging(Operation::PurgeExpired)?;
    racers
        .push(racer(async move { timed_out(site.manager.purge_expired(10).await, Operation::PurgeExpired) }));
    // A touch has its limit, too, and fails nobody.
    ctx.clock().advance(2 * MINUTE);
    let (site, theirs) = (hanging(Operation::Touch)?, current.clone());
    racers.push(racer(async move {
        unchanged(site.request(&theirs, |_| Ok(())).await?)?;
        check::equal(site.spy.acts_left(), 0, "touches that never came")
    }));
    race(racers).await?;
    let took = started.elapsed();
    check::ensure(took >= limit && took < 10 * limit, format!("all of them took {took:?}"))?;
    check::equal(plain.n(&current).await?, 0, "the value after all of them")
}

fn timed_out<T: Debug>(result: Result<T>, operation: Operation) -> CaseResult {
    let of = result.as_ref().err().and_then(|error| error.operation());
    refused(result, ErrorKind::Timeout, "a store that never answers")?;
    check::equal(of, Some(operation), "the operation of the error")
}

#[derive(Debug)]
struct Panicking;

impl SessionEvents for Panicking {
    fn on_event(&self, event: &SessionEvent) {
        panic!("a listener that cannot bear {event:?}");
    }
}

async fn ended_though_the_listener_panics(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.events(Panicking))?;
    for end in [Session::destroy as Step, Session::sign_out] {
        let current = site.member("alice").await?;
        cleared(site.request(&current, end).await?)?;
        ctx.expect_none(id(&current)?, "a session that was ended").await?;
        site.expect_stranger(&current, "its token").await?;
    }
    let current = site.member("alice").await?;
    check::equal(site.manager.revoke(id(&current)?).await?, true, "revoke")?;
    ctx.expect_none(id(&current)?, "a session that was revoked").await
}

async fn parallel_sessions_never_cross(ctx: Context) -> CaseResult {
    let (one, other) = (Site::new(&ctx)?, Site::new(&ctx)?);
    let mut racers: Vec<Racer<()>> = Vec::new();
    for number in 0..32_u64 {
        let site = if number % 2 == 0 { one.clone() } else { other.clone() };
        let name = format!("user-{number}");
        let current = site.create(|session| {
            session.insert("name", &name)?;
            session.insert("n", 0)?;
            session.sign_in(&name)
        });
        let current = current.await?;
        let rounds = ctx.rounds(20) as u64;
        racers.push(racer(async move {
            for round in 0..rounds {
                let session = site.open(&current).await?;
                let principal = session.principal();
                let signed_in = principal.as_ref().map(|principal| principal.as_str());
                check::equal(signed_in, Some(name.as_str()), "who is signed in")?;
                check::equal(session.get("name")?, Some(name.clone()), "the name")?;
                check::equal(session.get("n")?, Some(round), "the value")?;
                add_one(&session)?;
                unchanged(session.commit().await?)?;
            }
            Ok(())
        }));
    }
    race(racers).await.map(drop)
}
