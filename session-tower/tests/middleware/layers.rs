//! Several layers in one application.

use axum::Router;
use axum::routing::get;
use session_core::http::SessionCookie;
use session_core::{Operation, Session};

use crate::support::{Site, count, read, request, send};

/// A shop, and below `/admin` a part with sessions of its own in another cookie and another store.
fn application(shop: &Site, admin: &Site) -> Router {
    let cookie = SessionCookie::new().with_name("__Host-admin");
    let inner = Router::new()
        .route("/count", get(count))
        .route("/read", get(read))
        .route("/destroy", get(async |session: Session| session.destroy()))
        .layer(admin.layer().with_cookie(cookie).unwrap());
    Router::new()
        .route("/count", get(count))
        .route("/read", get(read))
        .nest("/admin", inner)
        .layer(shop.layer())
}

#[tokio::test]
async fn nested_layers_with_other_cookies_do_not_mix() {
    let (shop, admin) = (Site::new(), Site::new());
    let visit =
        async |path: &str, cookies: &[&str]| send(application(&shop, &admin), request(path, cookies)).await;

    let shop_cookie = visit("/count", &[]).await.cookie();
    let admin_cookie = visit("/admin/count", &[&shop_cookie]).await.cookie();
    assert!(shop_cookie.starts_with("__Host-session=") && admin_cookie.starts_with("__Host-admin="));
    assert_eq!((shop.store.len(), admin.store.len()), (1, 1));

    let both = [&format!("{shop_cookie}; {admin_cookie}")[..]];
    for (path, number) in
        [("/count", "2"), ("/count", "3"), ("/admin/count", "2"), ("/read", "3"), ("/admin/read", "2")]
    {
        let answer = visit(path, &both).await;
        assert_eq!((answer.body.as_str(), answer.set_cookie()), (number, None), "{path}");
        assert_eq!(answer.vary(), ["Cookie"], "one of the two was opened");
    }
    shop.store.take_calls();
    let destroyed = visit("/admin/destroy", &both).await;
    assert!(destroyed.set_cookie().unwrap().starts_with("__Host-admin=; "));
    assert_eq!(shop.store.take_calls(), [], "the other layer's session was not asked for");
    assert_eq!(visit("/read", &both).await.body, "3");
    assert_eq!(visit("/admin/read", &both).await.body, "none");
}

#[tokio::test]
async fn one_layer_on_several_routes_is_one_session() {
    let site = Site::new();
    let layer = site.layer();
    let app = || {
        Router::new()
            .route("/a", get(count).layer(layer.clone()))
            .route("/b", get(count).layer(layer.clone()))
            .route("/c", get(async || "no sessions here"))
    };
    let cookie = send(app(), request("/a", &[])).await.cookie();
    assert_eq!(send(app(), request("/b", &[&cookie])).await.body, "2");
    let plain = send(app(), request("/c", &[&cookie])).await;
    assert!(plain.vary().is_empty() && plain.set_cookie().is_none());
    assert_eq!(site.store.take_calls(), [Operation::Create, Operation::Load, Operation::Update]);
}
