//! What is committed after the handler, by the status of its answer, and what a failed commit looks like.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use session_core::{Error, ErrorKind, Operation, Result, Session};

use crate::support::{Answer, NAME, Site, count, read};

/// Counts and answers with this status.
async fn count_with(site: &Site, cookie: &str, status: u16) -> Answer {
    let handler = async move |session: Session| -> Result<StatusCode> {
        count(session).await?;
        Ok(StatusCode::from_u16(status).unwrap())
    };
    site.visit(cookie, handler).await
}

#[tokio::test]
async fn below_500_everything_is_committed() {
    for status in [200, 204, 303, 304, 400, 401, 404, 409, 422, 499] {
        let site = Site::new();
        let created = count_with(&site, "", status).await;
        assert_eq!(created.status, status);
        let cookie = created.cookie();
        let updated = count_with(&site, &cookie, status).await;
        assert_eq!((updated.status, updated.set_cookie()), (status, None));
        assert_eq!(site.n(&cookie).await, Some(2), "{status}");
    }
}

#[tokio::test]
async fn from_500_on_nothing_is_committed() {
    for status in [500, 501, 503, 504, 599, 999] {
        let site = Site::new();
        let created = count_with(&site, "", status).await;
        assert_eq!((created.status, created.set_cookie()), (status, None));
        assert_eq!(site.store.len(), 0, "{status}");

        let cookie = site.visitor().await;
        let updated = count_with(&site, &cookie, status).await;
        assert_eq!((updated.status, updated.set_cookie()), (status, None));
        let signing_in = async move |session: Session| -> Result<StatusCode> {
            session.sign_in("alice")?;
            Ok(StatusCode::from_u16(status).unwrap())
        };
        assert_eq!(site.visit(&cookie, signing_in).await.set_cookie(), None);
        let session = site.session(&cookie).await;
        assert_eq!((session.get("n").unwrap(), session.principal()), (Some(1), None), "{status}");
    }
}

#[tokio::test]
async fn from_500_on_nothing_is_even_sent_to_the_store() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.clock.advance(Duration::from_secs(3600));
    site.store.take_calls();
    count_with(&site, &cookie, 500).await;
    assert_eq!(site.store.take_calls(), [Operation::Load], "not even the due touch");

    // The handler has tried, and answers with its failure: nobody tries again behind its back.
    site.store.break_down(Operation::Update, ErrorKind::Unavailable);
    let commits = async |session: Session| -> Result<()> {
        count(session.clone()).await?;
        session.commit().await.map(drop)
    };
    let answer = site.visit(&cookie, commits).await;
    assert_eq!((answer.status, answer.set_cookie(), answer.error()), (503, None, None));
    let calls = site.store.take_calls();
    assert_eq!(calls.iter().filter(|call| **call == Operation::Update).count(), 1, "{calls:?}");
}

#[tokio::test]
async fn the_end_of_a_session_is_committed_whatever_the_status() {
    for status in [200, 404, 500, 503] {
        let site = Site::new();
        let status = StatusCode::from_u16(status).unwrap();
        let cookie = site.visitor().await;
        let destroy = async move |session: Session| session.destroy().map(|()| status);
        let answer = site.visit(&cookie, destroy).await;
        assert_eq!(answer.status, status);
        assert!(answer.removes_cookie(), "{status}");
        assert_eq!(site.store.len(), 0);

        let cookie = site.visitor().await;
        let sign_out = async move |session: Session| -> Result<StatusCode> {
            session.sign_out()?;
            session.flash("signed out")?;
            Ok(status)
        };
        let answer = site.visit(&cookie, sign_out).await;
        assert_eq!(site.n(&cookie).await, None, "{status}");
        if status.is_server_error() {
            assert!(answer.removes_cookie(), "the message is not committed");
            assert_eq!(site.store.len(), 0);
        } else {
            assert!(!answer.removes_cookie());
        }
    }
}

#[tokio::test]
async fn the_cookie_of_the_handlers_own_commit_is_sent_whatever_the_status() {
    for status in [200, 404, 500, 503] {
        let site = Site::new();
        let status = StatusCode::from_u16(status).unwrap();
        let commits = async move |session: Session| -> Result<StatusCode> {
            count(session.clone()).await?;
            let _ = session.commit().await?;
            Ok(status)
        };
        let answer = site.visit("", commits).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.cache_control(), ["no-store"]);
        assert_eq!(site.n(&answer.cookie()).await, Some(1), "{status}");
    }
}

#[tokio::test]
async fn a_failure_after_the_handlers_own_commit_keeps_that_commits_cookie() {
    let site = Site::new();
    let commits_and_goes_on = async |session: Session| -> Result<()> {
        session.insert("n", 1)?;
        let _ = session.commit().await?;
        session.reload().await?;
        session.insert("large", "x".repeat(300 * 1024))
    };
    let answer = site.visit("", commits_and_goes_on).await;
    assert_eq!((answer.status, answer.error()), (413, Some(ErrorKind::TooLarge)));
    assert_eq!(site.n(&answer.cookie()).await, Some(1));
}

#[tokio::test]
async fn what_follows_the_handlers_own_commit_and_reload_is_committed_too() {
    let site = Site::new();
    let commits_and_goes_on = async |session: Session| -> Result<()> {
        session.insert("n", 1)?;
        let _ = session.commit().await?;
        assert_eq!(session.insert("n", 2).unwrap_err().kind(), ErrorKind::AlreadyCommitted);
        session.reload().await?;
        session.insert("n", 2)
    };
    let answer = site.visit("", commits_and_goes_on).await;
    assert_eq!(answer.status, 200);
    assert_eq!(site.n(&answer.cookie()).await, Some(2));
}

/// An answer that must not get out if its commit fails.
fn promise() -> impl IntoResponse {
    (
        StatusCode::CREATED,
        [(CONTENT_TYPE, "text/promise"), ("x-promise".parse().unwrap(), "yes")],
        "all is well",
    )
}

fn assert_replaced(answer: &Answer, kind: ErrorKind, status: u16) {
    assert_eq!((answer.status, answer.error()), (status, Some(kind)), "{answer:?}");
    assert_eq!(answer.body, "");
    assert_eq!(answer.set_cookie(), None);
    assert_eq!(answer.vary(), ["Cookie"]);
    assert!(answer.headers.get("x-promise").is_none() && answer.headers.get(CONTENT_TYPE).is_none());
}

#[tokio::test]
async fn a_store_that_fails_takes_the_answers_place() {
    for (kind, status) in [
        (ErrorKind::Unavailable, 503),
        (ErrorKind::Timeout, 503),
        (ErrorKind::Overloaded, 503),
        (ErrorKind::SchemaMissing, 500),
        (ErrorKind::Corrupt, 500),
        (ErrorKind::Internal, 500),
    ] {
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let site = Site::new();
            let cookie = if operation == Operation::Create { String::new() } else { site.visitor().await };
            site.store.break_down(operation, kind);
            let changes = async move |session: Session| -> Result<_> {
                if operation == Operation::Delete {
                    session.destroy()?;
                } else {
                    count(session).await?;
                }
                Ok(promise())
            };
            let answer = site.visit(&cookie, changes).await;
            assert_replaced(&answer, kind, status);
            let error = answer.extensions.get::<Arc<Error>>().unwrap();
            assert_eq!(error.operation(), Some(operation));
            if !cookie.is_empty() {
                assert_eq!(site.n(&cookie).await, Some(1), "nothing lost");
            }
            site.store.recover();
            assert_eq!(site.visit(&cookie, count).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_is_409() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let sessions = site.sessions.clone();
    let slow = async move |session: Session| -> Result<_> {
        count(session.clone()).await?;
        assert!(sessions.revoke(session.id().unwrap()).await?);
        Ok(promise())
    };
    assert_replaced(&site.visit(&cookie, slow).await, ErrorKind::Gone, 409);
    assert_eq!(site.store.len(), 0, "nothing brings it back");
}

#[tokio::test]
async fn a_token_that_was_replaced_meanwhile_is_409() {
    let site = Site::new();
    for end in [false, true] {
        let cookie = site.visitor().await;
        let (sessions, token) = (site.sessions.clone(), cookie[NAME.len() + 1..].to_owned());
        let slow = async move |session: Session| -> Result<_> {
            if end {
                session.destroy()?
            } else {
                session.insert("n", 9)?
            }
            let other = sessions.open(Some(&token)).await?;
            other.sign_in("alice")?;
            let _ = other.commit().await?;
            Ok(promise())
        };
        assert_replaced(&site.visit(&cookie, slow).await, ErrorKind::Stale, 409);
    }
    assert_eq!(site.store.len(), 2, "a stale request ends nobody's session");
}

#[tokio::test]
async fn a_handler_that_ignores_its_failed_commit_is_overruled_unless_it_reloads() {
    for reloads in [false, true] {
        let site = Site::new();
        let cookie = site.visitor().await;
        let sessions = site.sessions.clone();
        let careless = async move |session: Session| -> Result<_> {
            count(session.clone()).await?;
            assert!(sessions.revoke(session.id().unwrap()).await?);
            assert_eq!(session.commit().await.unwrap_err().kind(), ErrorKind::Gone);
            if reloads {
                session.reload().await?;
            }
            Ok(promise())
        };
        let answer = site.visit(&cookie, careless).await;
        if reloads {
            assert_eq!((answer.status, answer.error()), (201, None));
        } else {
            assert_replaced(&answer, ErrorKind::Gone, 409);
        }
        assert_eq!(site.store.len(), 0, "nothing brings it back");
    }
}

#[tokio::test]
async fn a_session_over_its_limit_is_413_and_stays_as_it_was() {
    let site = Site::with(|builder| builder.max_record_size(2000));
    let cookie = site.visitor().await;
    let grow = async |session: Session| session.insert("text", "x".repeat(2000)).map(|()| promise());
    assert_replaced(&site.visit(&cookie, grow).await, ErrorKind::TooLarge, 413);
    assert_replaced(&site.visit("", grow).await, ErrorKind::TooLarge, 413);
    assert_eq!(site.visit(&cookie, read).await.body, "1");
    assert_eq!(site.store.len(), 1);
}

#[tokio::test]
async fn a_touch_that_fails_fails_nobody() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.clock.advance(Duration::from_secs(3600));
    site.store.break_down(Operation::Touch, ErrorKind::Unavailable);
    site.store.take_calls();
    let answer = site.visit(&cookie, read).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
    assert_eq!(site.store.take_calls(), [Operation::Load, Operation::Touch]);
}

#[tokio::test]
async fn parallel_requests_that_each_change_something_lose_nothing() {
    let site = Arc::new(Site::new());
    let cookie = site.visitor().await;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..20_u64 {
        let (site, cookie) = (site.clone(), cookie.clone());
        requests.spawn(async move {
            let change = async move |session: Session| -> Result<String> {
                session.insert(["of", &number.to_string()], number)?;
                count(session).await
            };
            site.visit(&cookie, change).await.status
        });
    }
    assert!(requests.join_all().await.iter().all(|status| *status == 200));
    let session = site.session(&cookie).await;
    assert_eq!((session.get("n").unwrap(), session.keys("of").unwrap().len()), (Some(21_u64), 20));
}

#[tokio::test]
async fn a_slow_request_commits_on_top_of_many_quick_ones() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let (sessions, token) = (site.sessions.clone(), cookie[NAME.len() + 1..].to_owned());
    let slow = async move |session: Session| -> Result<String> {
        let answer = count(session).await;
        for _ in 0..30 {
            let other = sessions.open(Some(&token)).await?;
            count(other.clone()).await?;
            let _ = other.commit().await?;
        }
        answer
    };
    assert_eq!(site.visit(&cookie, slow).await.status, 200);
    assert_eq!(site.n(&cookie).await, Some(32));
}
