//! Errors that a middleware inside ours returns: they become a response further out, and have a status.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::COOKIE;
use actix_web::middleware::{Next, from_fn};
use actix_web::test::TestRequest;
use actix_web::{App, HttpResponse, error, web};
use session_core::{ErrorKind, Operation, Session};

use crate::support::{Answer, Site, count, read, send};

/// Counts in the session, and lets nobody in.
async fn guard(
    status: web::Data<StatusCode>,
    session: Session,
    _request: ServiceRequest,
    _next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<actix_web::body::BoxBody>> {
    count(session).await?;
    let response = HttpResponse::build(**status).insert_header(("x-guard", "yes")).body("keep out");
    Err(error::InternalError::from_response("refused", response).into())
}

async fn refused(site: &Site, cookie: &str, status: u16) -> Answer {
    let app = App::new()
        .app_data(web::Data::new(StatusCode::from_u16(status).unwrap()))
        .wrap(from_fn(guard))
        .wrap(site.middleware())
        .route("/", web::to(async || "never reached"));
    send(app, TestRequest::default().insert_header((COOKIE, cookie))).await
}

#[actix_web::test]
async fn below_500_the_session_is_committed_and_the_cookie_sent() {
    let site = Site::new();
    let answer = refused(&site, "", 401).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.all("x-guard")), (401, "keep out", vec!["yes"]));
    assert_eq!((answer.vary(), answer.cache_control()), (vec!["Cookie"], vec!["no-store"]));
    let cookie = answer.cookie();
    assert_eq!(refused(&site, &cookie, 403).await.set_cookie(), None);
    assert_eq!(site.visit(&cookie, read).await.body, "2");
}

#[actix_web::test]
async fn from_500_on_nothing_is_committed() {
    let site = Site::new();
    let answer = refused(&site, "", 503).await;
    assert_eq!((answer.status, answer.set_cookie(), answer.vary()), (503, None, vec!["Cookie"]));
    assert_eq!(site.store.memory.len(), 0);
}

#[actix_web::test]
async fn a_commit_that_fails_takes_the_errors_place() {
    let site = Site::new();
    site.store.break_down(Operation::Create, ErrorKind::Timeout);
    let answer = refused(&site, "", 401).await;
    assert_eq!((answer.status, answer.error()), (503, Some(ErrorKind::Timeout)));
    assert_eq!((answer.body.as_str(), answer.set_cookie()), ("", None));
    assert!(answer.all("x-guard").is_empty());
}
