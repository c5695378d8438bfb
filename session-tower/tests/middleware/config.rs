//! Cookies that browsers would refuse are refused when the layer is made.

use session_core::ErrorKind;
use session_core::http::{SameSite, SessionCookie};

use crate::support::Site;

#[tokio::test]
async fn what_browsers_refuse_is_a_config_error() {
    let domain = || Some("example.org".to_owned());
    let plain = || SessionCookie::new().with_name("sid");
    for (cookie, named) in [
        (SessionCookie::new().with_domain(domain()), "__Host-"),
        (SessionCookie::new().with_path("/app"), "__Host-"),
        (SessionCookie::new().with_secure(false), "__Host-"),
        (SessionCookie::new().with_name("__HOST-x").with_path("/app"), "__Host-"),
        (SessionCookie::new().with_name("__Secure-x").with_secure(false), "__Secure-"),
        (SessionCookie::insecure_local().with_same_site(SameSite::None), "SameSite=None"),
        (plain().with_name(""), "name"),
        (plain().with_name("a b"), "name"),
        (plain().with_name("a;b"), "name"),
        (plain().with_name("é"), "name"),
        (plain().with_name("a".repeat(257)), "name"),
        (plain().with_path(""), "path"),
        (plain().with_path("app"), "path"),
        (plain().with_path("/; Domain=evil.example"), "path"),
        (plain().with_path("/\r\nSet-Cookie: a=b"), "path"),
        (plain().with_path(format!("/{}", "a".repeat(1024))), "path"),
        (plain().with_domain(Some(String::new())), "domain"),
        (plain().with_domain(Some("a; Secure".to_owned())), "domain"),
    ] {
        let error = Site::new().layer().with_cookie(cookie.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{cookie:?}");
        assert!(error.to_string().contains(named), "{cookie:?}: {error}");
    }
}

#[tokio::test]
async fn what_browsers_take_is_taken() {
    for cookie in [
        SessionCookie::new(),
        SessionCookie::insecure_local(),
        SessionCookie::new().with_name("__Secure-x").with_domain(Some("example.org".to_owned())),
        SessionCookie::new().with_name("sid").with_path("/app").with_same_site(SameSite::None),
    ] {
        assert!(Site::new().layer().with_cookie(cookie.clone()).is_ok(), "{cookie:?}");
    }
}

#[tokio::test]
async fn the_local_cookie_works_over_plain_http() {
    let site = Site::new();
    let app = axum::Router::new()
        .route("/", axum::routing::get(crate::support::count))
        .layer(site.layer().insecure_local());
    let answer = crate::support::send(app.clone(), crate::support::request("/", &[])).await;
    assert!(answer.set_cookie().unwrap().starts_with("session="));
    assert!(!answer.set_cookie().unwrap().contains("Secure"));
    let again = crate::support::send(app, crate::support::request("/", &[&answer.cookie()])).await;
    assert_eq!(again.body, "2");
}
