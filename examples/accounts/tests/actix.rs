//! A test of an application on actix-web, by its own test service.

use actix_web::cookie::Cookie;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use session_kit::actix::SessionMiddleware;
use session_kit::{Committed, Result, Session};

async fn count(session: Session) -> Result<String> {
    Ok(session.update("views", |views| views.unwrap_or(0) + 1)?.to_string())
}

#[actix_web::test]
async fn views_are_counted() {
    let sessions = session_kit::connect("memory:").await.unwrap();
    let app = App::new().wrap(SessionMiddleware::new(sessions.clone())).route("/", web::get().to(count));
    let app = init_service(app).await;

    let answer = call_service(&app, TestRequest::get().uri("/").to_request()).await;
    let cookie = answer.response().cookies().next().unwrap().into_owned();
    assert_eq!(read_body(answer).await, "1");

    let again = TestRequest::get().uri("/").cookie(cookie);
    assert_eq!(read_body(call_service(&app, again.to_request()).await).await, "2");

    // Or with a session that the test has made.
    let session = sessions.open(None).await.unwrap();
    session.insert("views", 41).unwrap();
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no token") };
    let prepared = TestRequest::get().uri("/").cookie(Cookie::new("__Host-session", token.expose()));
    assert_eq!(read_body(call_service(&app, prepared.to_request()).await).await, "42");
}
