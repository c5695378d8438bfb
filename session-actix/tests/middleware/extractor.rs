//! The session as an argument, and what happens where it cannot be had.

use actix_web::test::TestRequest;
use actix_web::web::ReqData;
use actix_web::{App, web};
use session_core::http::RequestSession;
use session_core::{Error, ErrorKind, Operation, Result, Session};

use crate::support::{Site, count, read, send};

#[actix_web::test]
async fn a_store_that_is_down_is_503_and_the_cookie_stays() {
    let site = Site::new();
    let cookie = site.visitor().await;
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Overloaded] {
        site.store.break_down(Operation::Load, kind);
        let destroy = async |session: Session| session.destroy().map(|()| "");
        let answers = [
            site.visit(&cookie, read).await,
            site.visit(&cookie, count).await,
            site.visit(&cookie, destroy).await,
        ];
        for answer in answers {
            assert_eq!((answer.status, answer.set_cookie()), (503, None));
            assert_eq!(answer.body, kind.to_string(), "a plain line without detail");
            assert_eq!(answer.vary(), ["Cookie"]);
        }
        site.store.recover();
    }
    assert_eq!(site.visit(&cookie, read).await.body, "1");
}

#[actix_web::test]
async fn a_handler_that_takes_the_result_decides_itself() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let decides = async |session: Result<Session, Error>| match session {
        Ok(session) => read(session).await.unwrap(),
        Err(error) => format!("without a session: {}", error.kind()),
    };
    assert_eq!(site.visit(&cookie, decides).await.body, "1");
    site.store.break_down(Operation::Load, ErrorKind::Timeout);
    let answer = site.visit(&cookie, decides).await;
    assert_eq!((answer.status, answer.set_cookie()), (200, None));
    assert_eq!(answer.body, "without a session: the session store did not answer in time");
}

#[actix_web::test]
async fn all_extractors_of_a_request_get_the_same_session() {
    let site = Site::new();
    let all = async |one: Session, two: Session, request: ReqData<RequestSession>| -> Result<String> {
        one.insert("n", 6)?;
        count(request.open().await?).await?;
        read(two).await
    };
    let answer = site.visit("", all).await;
    assert_eq!(answer.body, "7");
    assert_eq!(site.n(&answer.cookie()).await, Some(7));
}

#[actix_web::test]
async fn a_route_without_the_middleware_says_so() {
    let answer = send(App::new().route("/", web::to(read)), TestRequest::default()).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, "the session configuration cannot work");
    let shows = async |session: Result<Session, Error>| session.unwrap_err().to_string();
    let answer = send(App::new().route("/", web::to(shows)), TestRequest::default()).await;
    assert!(answer.body.contains("no session middleware"), "{}", answer.body);
}
