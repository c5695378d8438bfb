//! Group T, what the manager tells of sessions: counters and events, and what a listener cannot do.

use std::time::Duration;

use session_core::{Session, SessionEvent, SessionEvents, SessionToken, Stats};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, HOUR};
use crate::race::{race, racer};
use crate::site::{Site, add_one, cleared, id, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!("events", created_total_exact, "created_total counts every session that was created, and no other"),
    case!("events", each_kind_is_told_and_counted, "what happens to a session is told once and counted once"),
    case!("events", panicking_listener_changes_nothing, "a listener that panics changes nothing"),
];

/// Passes on what it hears.
#[derive(Debug)]
struct Listener(UnboundedSender<SessionEvent>);

impl SessionEvents for Listener {
    fn on_event(&self, event: &SessionEvent) {
        // Nobody listens once the case is over.
        let _ = self.0.send(*event);
    }
}

async fn heard(events: &mut UnboundedReceiver<SessionEvent>) -> CaseResult<SessionEvent> {
    let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await;
    event.ok().flatten().ok_or_else(|| Failure::new("an event was not told"))
}

async fn created_total_exact(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let create = || {
        let site = site.clone();
        racer(async move { site.visit().await })
    };
    let count = ctx.sessions(1000);
    let tokens = race((0..count).map(|_| create()).collect()).await?;
    check::equal(site.manager.stats().created_total, count as u64, "created_total")?;
    for current in tokens.iter().take(20) {
        site.count(current).await?;
        drop(token(site.request(current, |session| session.sign_in("alice")).await?)?);
    }
    unchanged(site.manager.open(None).await?.commit().await?)?;
    let stats = site.manager.stats();
    check::equal(stats.created_total, count as u64, "created_total after other commits")?;
    check::equal(stats.rotated_total, 20, "rotated_total")
}

async fn each_kind_is_told_and_counted(ctx: Context) -> CaseResult {
    let (sender, mut events) = unbounded_channel();
    let site = Site::with(&ctx, |builder| builder.events(Listener(sender)))?;
    let mut expect = async |event| check::equal(heard(&mut events).await?, event, "the event");
    let copy = site.member("alice").await?;
    let own = id(&copy)?;
    expect(SessionEvent::Created(own)).await?;
    let first = token(site.request(&copy, Session::rotate_gracefully).await?)?;
    expect(SessionEvent::Rotated(own)).await?;
    // The first request with it ends the life of the one before.
    site.count(&first).await?;
    ctx.clock().advance(HOUR);
    site.expect_stranger(&copy, "a copy").await?;
    expect(SessionEvent::Replayed(own)).await?;
    let second = token(site.request(&first, Session::rotate).await?)?;
    expect(SessionEvent::Rotated(own)).await?;
    site.expect_superseded(&first, "the secret before").await?;
    expect(SessionEvent::Superseded(own)).await?;
    let forged = SessionToken::from_parts(own, [7; 32]).expose();
    site.expect_stranger(&forged, "a forged secret").await?;
    expect(SessionEvent::Forged(own)).await?;
    let slow = site.open(&second).await?;
    add_one(&slow)?;
    site.count(&second).await?;
    unchanged(slow.commit().await?)?;
    expect(SessionEvent::Conflict(own)).await?;
    cleared(site.request(&second, Session::destroy).await?)?;
    expect(SessionEvent::Destroyed(own)).await?;
    let other = site.visit().await?;
    expect(SessionEvent::Created(id(&other)?)).await?;
    check::equal(site.manager.revoke(id(&other)?).await?, true, "revoke")?;
    expect(SessionEvent::Revoked(id(&other)?)).await?;
    let mut counted = Stats::default();
    counted.created_total = 2;
    counted.rotated_total = 2;
    counted.superseded_total = 1;
    counted.forged_total = 1;
    counted.replayed_total = 1;
    counted.destroyed_total = 1;
    counted.revoked_total = 1;
    counted.conflict_total = 1;
    check::equal(site.manager.stats(), counted, "the counters")?;
    check::ensure(events.try_recv().is_err(), "something was told twice")
}

/// Panics at every event, without a word.
#[derive(Debug)]
struct Panicking(UnboundedSender<SessionEvent>);

impl SessionEvents for Panicking {
    fn on_event(&self, event: &SessionEvent) {
        let _ = self.0.send(*event);
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

async fn panicking_listener_changes_nothing(ctx: Context) -> CaseResult {
    let (sender, mut events) = unbounded_channel();
    let site = Site::with(&ctx, |builder| builder.events(Panicking(sender)))?;
    let mut current = site.member("alice").await?;
    heard(&mut events).await?;
    for round in 1..=3 {
        current = token(site.request(&current, Session::rotate).await?)?;
        check::equal(
            heard(&mut events).await?,
            SessionEvent::Rotated(id(&current)?),
            "the event after a panic",
        )?;
        site.count(&current).await?;
        check::equal(site.n(&current).await?, round, "the value")?;
    }
    ctx.clock().advance(DAY);
    check::equal(site.manager.stats().rotated_total, 3, "rotated_total")?;
    check::equal(site.manager.stats().events_dropped, 0, "events that were dropped")
}
