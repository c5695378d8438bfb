//! What is committed after the handler, by the status of its answer, and what a failed commit looks like.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError, error};
use session_core::{Error, ErrorKind, Operation, Session};

use crate::support::{Answer, Site, count, read};

/// Counts and answers with this status, by a response or by an error.
async fn count_with(site: &Site, cookie: &str, status: u16, by_error: bool) -> Answer {
    let handler = move |session: Session| async move {
        count(session).await?;
        let status = StatusCode::from_u16(status).unwrap();
        let response = HttpResponse::new(status);
        if by_error {
            Err(actix_web::Error::from(error::InternalError::new("no", status)))
        } else {
            Ok(response)
        }
    };
    site.visit(cookie, handler).await
}

#[actix_web::test]
async fn below_500_everything_is_committed() {
    for status in [200, 303, 400, 401, 404, 422, 499] {
        for by_error in [false, true] {
            let site = Site::new();
            let created = count_with(&site, "", status, by_error).await;
            assert_eq!(created.status, status);
            let cookie = created.cookie();
            let updated = count_with(&site, &cookie, status, by_error).await;
            assert_eq!((updated.status, updated.set_cookie()), (status, None));
            assert_eq!(site.n(&cookie).await, Some(2), "{status}");
        }
    }
}

#[actix_web::test]
async fn from_500_on_nothing_is_committed() {
    for status in [500, 501, 503, 599] {
        for by_error in [false, true] {
            let site = Site::new();
            let created = count_with(&site, "", status, by_error).await;
            assert_eq!((created.status, created.set_cookie()), (status, None));
            assert_eq!(created.vary(), ["Cookie"]);
            assert_eq!(site.store.memory.len(), 0, "{status}");

            let cookie = site.visitor().await;
            site.store.take_calls();
            assert_eq!(count_with(&site, &cookie, status, by_error).await.set_cookie(), None);
            assert_eq!(site.store.take_calls(), [Operation::Load]);
            assert_eq!(site.n(&cookie).await, Some(1));
        }
    }
}

#[actix_web::test]
async fn the_end_of_a_session_is_committed_whatever_the_status() {
    for status in [200, 404, 500, 503] {
        let site = Site::new();
        let cookie = site.visitor().await;
        let sign_out = move |session: Session| async move {
            session.sign_out()?;
            Ok::<_, Error>(HttpResponse::new(StatusCode::from_u16(status).unwrap()))
        };
        let answer = site.visit(&cookie, sign_out).await;
        assert_eq!(answer.status, status);
        assert!(answer.removes_cookie(), "{status}");
        assert_eq!(site.store.memory.len(), 0);
    }
}

#[actix_web::test]
async fn the_cookie_of_the_handlers_own_commit_is_sent_whatever_the_status() {
    for status in [200, 500] {
        let site = Site::new();
        let commits = move |session: Session| async move {
            session.insert("n", 1)?;
            let _ = session.commit().await?;
            Ok::<_, Error>(HttpResponse::new(StatusCode::from_u16(status).unwrap()))
        };
        let answer = site.visit("", commits).await;
        assert_eq!(site.n(&answer.cookie()).await, Some(1), "{status}");
    }
}

#[actix_web::test]
async fn a_commit_that_fails_takes_the_answers_place() {
    for (kind, status) in
        [(ErrorKind::Unavailable, 503), (ErrorKind::Timeout, 503), (ErrorKind::Corrupt, 500)]
    {
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let site = Site::new();
            let cookie = if operation == Operation::Create { String::new() } else { site.visitor().await };
            site.store.break_down(operation, kind);
            let promise = move |session: Session| async move {
                if operation == Operation::Delete {
                    session.destroy()?;
                } else {
                    count(session).await?;
                }
                Ok::<_, Error>(
                    HttpResponse::Created().insert_header(("x-promise", "yes")).body("all is well"),
                )
            };
            let answer = site.visit(&cookie, promise).await;
            assert_eq!((answer.status, answer.error()), (status, Some(kind)), "{answer:?}");
            assert_eq!((answer.body.as_str(), answer.set_cookie()), ("", None));
            assert_eq!(answer.vary(), ["Cookie"]);
            assert!(answer.all("x-promise").is_empty());
            site.store.recover();
            if !cookie.is_empty() {
                assert_eq!(site.visit(&cookie, read).await.body, "1", "nothing lost");
            }
        }
    }
}

#[actix_web::test]
async fn a_session_that_ended_meanwhile_is_409_and_stays_gone() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let sessions = site.sessions.clone();
    let slow = move |session: Session| {
        let sessions = sessions.clone();
        async move {
            count(session.clone()).await?;
            assert!(sessions.revoke(session.id().unwrap()).await?);
            Ok::<_, Error>("all is well")
        }
    };
    let answer = site.visit(&cookie, slow).await;
    assert_eq!((answer.status, answer.error(), answer.set_cookie()), (409, Some(ErrorKind::Gone), None));
    assert_eq!(site.store.memory.len(), 0);
}

#[actix_web::test]
async fn a_handler_that_ignores_its_failed_commit_is_overruled_unless_it_reloads() {
    for reloads in [false, true] {
        let site = Site::new();
        let cookie = site.visitor().await;
        let sessions = site.sessions.clone();
        let careless = move |session: Session| {
            let sessions = sessions.clone();
            async move {
                count(session.clone()).await?;
                assert!(sessions.revoke(session.id().unwrap()).await?);
                assert_eq!(session.commit().await.unwrap_err().kind(), ErrorKind::Gone);
                if reloads {
                    session.reload().await?;
                }
                Ok::<_, Error>("all is well")
            }
        };
        let answer = site.visit(&cookie, careless).await;
        if reloads {
            assert_eq!((answer.status, answer.error(), answer.body.as_str()), (200, None, "all is well"));
        } else {
            assert_eq!(
                (answer.status, answer.error(), answer.body.as_str()),
                (409, Some(ErrorKind::Gone), "")
            );
        }
        assert_eq!(site.store.memory.len(), 0, "nothing brings it back");
    }
}

#[actix_web::test]
async fn an_error_of_the_core_has_the_status_of_its_kind() {
    for kind in [ErrorKind::Gone, ErrorKind::TooLarge, ErrorKind::LimitReached, ErrorKind::Overloaded] {
        let error = Error::describe(kind, "a detail for the log");
        assert_eq!(error.status_code().as_u16(), kind.http_status());
        let response = error.error_response();
        assert_eq!(response.headers().get("content-type").unwrap(), "text/plain; charset=utf-8");
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, kind.to_string(), "one line, without detail");
    }
}
