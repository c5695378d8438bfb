//! Idle and absolute limits as a browser sees them.

use std::time::Duration;

use session_core::{Operation, Session};

use crate::support::{Site, count, read};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_session_lives_while_it_is_asked_for() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    for _ in 0..48 {
        site.clock.advance(50 * MINUTE);
        assert_eq!(site.visit(&cookie, read).await.body, "1");
    }
    site.clock.advance(HOUR);
    let answer = site.visit(&cookie, read).await;
    assert_eq!(
        (answer.body.as_str(), answer.set_cookie()),
        ("none", None),
        "expired cookies are not cleared"
    );
    assert_ne!(site.visit(&cookie, count).await.cookie(), cookie);
}

#[tokio::test]
async fn a_session_ends_at_the_millisecond() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    site.clock.advance(HOUR - Duration::from_millis(1));
    let peek = async |session: Session| session.is_new().to_string();
    assert_eq!(
        site.sessions.open(Some(cookie.split_once('=').unwrap().1)).await.unwrap().get("n").unwrap(),
        Some(1)
    );
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.visit(&cookie, peek).await.body, "true");
}

#[tokio::test]
async fn requests_that_do_not_ask_for_the_session_do_not_keep_it_alive() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    for _ in 0..3 {
        site.clock.advance(30 * MINUTE);
        site.visit(&cookie, async || "a picture").await;
    }
    assert_eq!(site.visit(&cookie, read).await.body, "none");
}

#[tokio::test]
async fn the_touch_waits_for_a_tenth_of_the_idle_time_at_most_a_minute() {
    for (idle, step) in [(5 * MINUTE, MINUTE / 2), (DAY, MINUTE)] {
        let site = Site::with(|builder| builder.idle_timeout(idle));
        let cookie = site.visitor().await;
        site.store.take_calls();
        site.clock.advance(step - Duration::from_millis(1));
        site.visit(&cookie, read).await;
        assert_eq!(site.store.take_calls(), [Operation::Load]);
        site.clock.advance(Duration::from_millis(1));
        site.visit(&cookie, read).await;
        assert_eq!(site.store.take_calls(), [Operation::Load, Operation::Touch]);
        site.visit(&cookie, read).await;
        assert_eq!(site.store.take_calls(), [Operation::Load]);
    }
}

#[tokio::test]
async fn no_use_carries_a_session_past_its_absolute_limit() {
    let site = Site::with(|builder| builder.idle_timeout(2 * DAY).absolute_timeout(7 * DAY));
    let cookie = site.visitor().await;
    for day in 1..7 {
        site.clock.advance(DAY);
        assert_eq!(site.visit(&cookie, count).await.body, (day + 1).to_string());
    }
    site.clock.advance(DAY);
    assert_eq!(site.visit(&cookie, read).await.body, "none");
}

#[tokio::test]
async fn the_cookies_age_is_what_is_left_until_the_absolute_limit() {
    let site = Site::with(|builder| builder.idle_timeout(2 * DAY).absolute_timeout(7 * DAY));
    let max_age = |answer: &crate::support::Answer| -> u64 {
        let (_, rest) = answer.set_cookie().unwrap().split_once("Max-Age=").unwrap();
        rest.split(';').next().unwrap().parse().unwrap()
    };
    let created = site.visit("", count).await;
    assert_eq!(max_age(&created), (7 * DAY).as_secs());
    site.clock.advance(DAY);
    let rotated = site.visit(&created.cookie(), async |session: Session| session.rotate()).await;
    assert_eq!(max_age(&rotated), (6 * DAY).as_secs());
    site.clock.advance(DAY);
    let signed_in = site.visit(&rotated.cookie(), async |session: Session| session.sign_in("alice")).await;
    assert_eq!(max_age(&signed_in), (7 * DAY).as_secs(), "signing in starts a new period");
}

#[tokio::test]
async fn a_request_that_outlives_its_session_is_409() {
    let site = Site::with(|builder| builder.idle_timeout(HOUR));
    let cookie = site.visitor().await;
    let clock = site.clock.clone();
    let slow = async move |session: Session| {
        clock.advance(2 * HOUR);
        count(session).await
    };
    let answer = site.visit(&cookie, slow).await;
    assert_eq!((answer.status, answer.set_cookie()), (409, None));
    assert_eq!(site.visit(&cookie, read).await.body, "none");
}
