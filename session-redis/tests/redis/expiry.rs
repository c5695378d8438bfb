//! The server's own expiry: garbage collection, late by the slack, and never early.

use std::time::Duration;

use crate::common::{Fixture, NOW, at, create, id, now, principal, record};
use session_core::{Clock as _, Record, Revision, SessionBackend, SystemClock, Timestamp};

const SLACK: i64 = 600_000;

/// How long the server still keeps session 1: a little less than `expected`.
async fn expect_kept(fixture: &Fixture, expected: i64, what: &str) {
    let left: i64 = fixture.ask("PTTL", &[&fixture.key(1)]).await;
    assert!((expected - 60_000..=expected).contains(&left), "{what}: {left} of {expected}");
}

#[tokio::test]
async fn keys_outlive_their_sessions_by_the_slack() {
    let Some(fixture) = Fixture::shared().await else { return };
    const HOUR: i64 = 3_600_000;
    let mut old = record("{}");
    (old.expires_at, old.deadline) = (at(NOW + HOUR), at(NOW + 10 * HOUR));
    create(&fixture.backend, 1, old.clone()).await;
    expect_kept(&fixture, HOUR + SLACK, "create").await;

    // By its own clock, whatever the server's shows.
    let later = at(NOW + HOUR / 2);
    let mut new = old.clone();
    (new.revision, new.expires_at) = (old.revision.next(1), at(NOW + 3 * HOUR));
    let _ = fixture.backend.update(id(1), old.revision, new, later).await.unwrap();
    expect_kept(&fixture, 5 * HOUR / 2 + SLACK, "update").await;

    assert!(fixture.backend.touch(id(1), at(NOW + 5 * HOUR), later).await.unwrap());
    expect_kept(&fixture, 9 * HOUR / 2 + SLACK, "touch").await;
    assert!(fixture.backend.touch(id(1), now(), later).await.unwrap());
    expect_kept(&fixture, 9 * HOUR / 2 + SLACK, "touch that would shorten it").await;
    assert!(fixture.backend.touch(id(1), Timestamp::MAX, later).await.unwrap());
    expect_kept(&fixture, 19 * HOUR / 2 + SLACK, "touch beyond the deadline").await;
    fixture.discard().await;
}

#[tokio::test]
async fn what_is_born_dead_is_kept_for_the_slack() {
    let Some(fixture) = Fixture::shared().await else { return };
    let mut dead = record("{}");
    dead.expires_at = at(NOW - 500);
    create(&fixture.backend, 1, dead).await;
    expect_kept(&fixture, SLACK + 1, "create").await;
    fixture.discard().await;
}

#[tokio::test]
async fn the_end_of_time_is_no_overflow() {
    let Some(fixture) = Fixture::shared().await else { return };
    let record = Record::new(Revision::first(1), Timestamp::MIN, Timestamp::MAX, Timestamp::MAX)
        .with_principal(principal("alice"));
    let _ = fixture.backend.create(id(1), record.clone(), Timestamp::MIN).await.unwrap();
    assert!(fixture.backend.touch(id(1), Timestamp::MAX, at(1)).await.unwrap());
    expect_kept(&fixture, Timestamp::MAX.as_millis() + SLACK, "for ever").await;
    let page = fixture.backend.list(principal("alice").as_ref(), None, 10, Timestamp::MIN).await.unwrap();
    assert_eq!(page.sessions.len(), 1);
    fixture.discard().await;
}

/// In real time, without slack: the server must never remove what the caller's clock calls alive.
#[tokio::test]
async fn without_slack_nothing_goes_before_its_time() {
    let Some(fixture) = Fixture::shared().await else { return };
    let fixture = Fixture::at(fixture.url, |config| config.with_expiry_slack(Duration::ZERO)).await;
    let clock = SystemClock::default();
    let start = clock.now();
    let until = start.saturating_add(Duration::from_millis(400));
    let _ = fixture
        .backend
        .create(id(1), Record::new(Revision::first(1), start, until, until), start)
        .await
        .unwrap();
    loop {
        let there: bool = fixture.ask("EXISTS", &[&fixture.key(1)]).await;
        // Looked at afterwards: if it is gone, its time must be over by now.
        if !there {
            assert!(clock.now() >= until, "gone too soon");
            break;
        }
        assert!(clock.now() < until.saturating_add(Duration::from_secs(60)), "never gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
