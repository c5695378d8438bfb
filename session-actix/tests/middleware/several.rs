//! Several middlewares in one application.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::COOKIE;
use actix_web::middleware::{Next, from_fn};
use actix_web::test::TestRequest;
use actix_web::{App, Error, HttpMessage as _, web};
use session_core::Session;
use session_core::http::{RequestSession, SessionCookie};

use crate::support::{Answer, Site, count, read, send};

/// A shop, and below `/admin` a part with sessions of its own in another cookie and another store.
async fn visit(shop: &Site, admin: &Site, path: &str, cookie: &str) -> Answer {
    let admin_cookie = SessionCookie::new().with_name("__Host-admin");
    let destroy = async |session: Session| session.destroy().map(|()| "");
    let inner = web::scope("/admin")
        .wrap(admin.middleware().with_cookie(admin_cookie).unwrap())
        .route("/count", web::to(count))
        .route("/read", web::to(read))
        .route("/destroy", web::to(destroy));
    let app = App::new()
        .wrap(shop.middleware())
        .route("/count", web::to(count))
        .route("/read", web::to(read))
        .service(inner);
    send(app, TestRequest::with_uri(path).insert_header((COOKIE, cookie))).await
}

#[actix_web::test]
async fn nested_middlewares_with_other_cookies_do_not_mix() {
    let (shop, admin) = (Site::new(), Site::new());
    let shop_cookie = visit(&shop, &admin, "/count", "").await.cookie();
    let admin_cookie = visit(&shop, &admin, "/admin/count", &shop_cookie).await.cookie();
    assert!(shop_cookie.starts_with("__Host-session=") && admin_cookie.starts_with("__Host-admin="));
    assert_eq!((shop.store.memory.len(), admin.store.memory.len()), (1, 1));

    let both = format!("{shop_cookie}; {admin_cookie}");
    for (path, number) in [("/count", "2"), ("/admin/count", "2"), ("/read", "2"), ("/admin/read", "2")] {
        let answer = visit(&shop, &admin, path, &both).await;
        assert_eq!((answer.body.as_str(), answer.set_cookie()), (number, None), "{path}");
        assert_eq!(answer.vary(), ["Cookie"], "one of the two was opened");
    }
    shop.store.take_calls();
    let destroyed = visit(&shop, &admin, "/admin/destroy", &both).await;
    assert!(destroyed.set_cookie().unwrap().starts_with("__Host-admin=; "));
    assert_eq!(shop.store.take_calls(), [], "the other one's session was not asked for");
    assert_eq!(visit(&shop, &admin, "/read", &both).await.body, "2");
    assert_eq!(visit(&shop, &admin, "/admin/read", &both).await.body, "none");
}

/// Notes in its own session what the handler has answered.
async fn note(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    let session = response.request().extensions().get::<RequestSession>().cloned().unwrap();
    session.open().await?.insert("noted", response.status().as_u16())?;
    Ok(response)
}

#[actix_web::test]
async fn what_is_between_two_middlewares_has_the_outer_session_also_after_the_handler() {
    let (shop, admin) = (Site::new(), Site::new());
    let admin_cookie = SessionCookie::new().with_name("__Host-admin");
    let inner = web::scope("/admin")
        .wrap(admin.middleware().with_cookie(admin_cookie).unwrap())
        .route("/read", web::to(read));
    let app = App::new().wrap(from_fn(note)).wrap(shop.middleware()).service(inner);
    send(app, TestRequest::with_uri("/admin/read")).await;
    assert_eq!((shop.store.memory.len(), admin.store.memory.len()), (1, 0));
}
