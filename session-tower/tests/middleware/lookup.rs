//! Which of a request's cookies opens the session, and what that costs.

use session_core::http::{Head, HttpSessions};
use session_core::{ErrorKind, Operation, Session};

use crate::support::{NAME, Site, count, read};

/// A well-formed cookie of a session that never was.
fn unknown(number: u8) -> String {
    let id = session_core::SessionId::from_bytes([number; 16]);
    format!("{NAME}={id}.{}", "A".repeat(43))
}

#[tokio::test]
async fn a_request_that_never_asks_costs_no_io() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.store.take_calls();
    for cookie in [&cookie, ""] {
        let answer = site.visit(cookie, async || "hello").await;
        assert_eq!((answer.status, answer.body.as_str(), answer.set_cookie()), (200, "hello", None));
    }
    assert_eq!(site.store.take_calls(), []);
}

#[tokio::test]
async fn asking_costs_one_load_and_a_change_one_update() {
    let site = Site::new();
    site.visit("", read).await;
    assert_eq!(site.store.take_calls(), []);
    let cookie = site.visit("", count).await.cookie();
    assert_eq!(site.store.take_calls(), [Operation::Create]);
    let read_twice = async |one: Session, two: Session| {
        assert_eq!(one.get::<u64>("n").unwrap(), two.get::<u64>("n").unwrap());
    };
    site.visit(&cookie, read_twice).await;
    assert_eq!(site.store.take_calls(), [Operation::Load]);
    site.visit(&cookie, count).await;
    assert_eq!(site.store.take_calls(), [Operation::Load, Operation::Update]);
    site.visit(&cookie, async |session: Session| session.insert("n", 2)).await;
    assert_eq!(site.store.take_calls(), [Operation::Load], "what is there already is not written");
}

#[tokio::test]
async fn malformed_cookies_cost_no_io_and_are_no_session() {
    let site = Site::new();
    let cookie = site.visitor().await;
    site.store.take_calls();
    let long = format!("{NAME}={}", "A".repeat(8192));
    let prefixed = format!("x{cookie}");
    let one_more = format!("{cookie}A");
    let lower_case = cookie.replace(NAME, "__host-session");
    for cookie in [
        NAME,
        "__Host-session=",
        "__Host-session=a.b",
        "__Host-session=\"",
        "__Host-session=%2e%2e%2f",
        "session=x",
        ";;;",
        &long,
        &prefixed,
        &one_more,
        &lower_case,
        &cookie[..cookie.len() - 1],
    ] {
        let answer = site.visit(cookie, read).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "none"), "{cookie}");
    }
    assert_eq!(site.store.take_calls(), []);
}

#[tokio::test]
async fn cookies_beyond_64_kib_are_not_searched() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let junk = format!("a={}", "b".repeat(60 * 1024));
    assert_eq!(site.visit(&format!("{junk}; {cookie}"), read).await.body, "1");
    assert_eq!(site.visit_with(&[&cookie, &junk, &junk], read).await.body, "1");
    assert_eq!(site.visit_with(&[&junk, &junk, &cookie], read).await.body, "none");
    assert_eq!(site.visit(&format!("{cookie}; {junk}{junk}"), read).await.body, "none");
}

#[tokio::test]
async fn a_cookie_that_is_no_text_is_no_session() {
    let site = Site::new();
    let mut request = crate::support::request("/", &[]);
    let value = axum::http::HeaderValue::from_bytes(b"__Host-session=\xff\xfe; a=\x80").unwrap();
    request.headers_mut().insert("cookie", value);
    assert_eq!(crate::support::send(site.app(read), request).await.body, "none");
}

#[tokio::test]
async fn the_cookie_is_found_in_any_of_several_headers() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let quoted = cookie.replacen('=', "=\"", 1) + "\"";
    for headers in [
        &["a=b", &cookie][..],
        &[&cookie, "a=b"],
        &["a=b", "c=d", &format!("e=f; {cookie}; g=h")],
        &[&format!("{NAME}=junk"), &cookie],
        &[&cookie, &cookie],
        &[&format!("{cookie}; {cookie}")],
        &[&unknown(1), &cookie],
        &[&quoted],
    ] {
        assert_eq!(site.visit_with(headers, read).await.body, "1", "{headers:?}");
    }
}

#[tokio::test]
async fn four_cookies_of_the_name_are_tried_and_no_more() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let junk = format!("{NAME}=junk; ");
    assert_eq!(site.visit(&(junk.repeat(3) + &cookie), read).await.body, "1");
    assert_eq!(site.visit(&(junk.repeat(4) + &cookie), read).await.body, "none");
    site.store.take_calls();
    let many: Vec<String> = (1..=50).map(unknown).collect();
    assert_eq!(site.visit(&many.join("; "), read).await.body, "none");
    assert_eq!(site.store.take_calls(), [Operation::Load; 4]);
    assert_eq!(site.visit(&many[..3].join("; "), count).await.body, "1");
}

#[tokio::test]
async fn two_live_sessions_open_neither_and_harm_neither() {
    let site = Site::new();
    let (one, two) = (site.visitor().await, site.visitor().await);
    for headers in [&[&format!("{one}; {two}")[..]][..], &[&one, &two], &[&unknown(1), &two, &one]] {
        let answer = site.visit_with(headers, read).await;
        assert_eq!((answer.body.as_str(), answer.set_cookie()), ("none", None));
        let fresh = site.visit_with(headers, count).await;
        assert_eq!(fresh.body, "1");
        assert!(fresh.cookie() != one && fresh.cookie() != two);
        let answer = site.visit_with(headers, async |session: Session| session.destroy()).await;
        assert_eq!(
            (answer.status, answer.set_cookie()),
            (200, None),
            "a planted cookie ends nobody's session"
        );
    }
    assert_eq!(site.sessions.stats().ambiguous_total, 9);
    assert_eq!((site.n(&one).await, site.n(&two).await), (Some(1), Some(1)));
}

#[tokio::test]
async fn the_live_one_counts_among_old_cookies_of_the_same_session() {
    let site = Site::new();
    let old = site.visitor().await;
    let new = site.visit(&old, async |session: Session| session.rotate()).await.cookie();
    for headers in [[&old[..], &new[..]], [&new, &old]] {
        let answer = site.visit_with(&headers, read).await;
        assert_eq!((answer.body.as_str(), answer.set_cookie()), ("1", None));
    }
}

#[tokio::test]
async fn the_current_one_counts_among_valid_cookies_of_the_same_session() {
    for old_first in [true, false] {
        let site = Site::new();
        let old = site.visitor().await;
        let new = site.visit(&old, async |session: Session| session.rotate_gracefully()).await.cookie();
        assert_ne!(old, new);
        let headers = if old_first { [&old[..], &new[..]] } else { [&new[..], &old[..]] };
        assert_eq!(site.visit_with(&headers, read).await.body, "1");
        // Only the current secret may start a rotation.
        let again = site.visit_with(&headers, async |session: Session| session.rotate_gracefully()).await;
        assert_ne!(again.cookie(), new);
        assert_eq!(site.sessions.stats().ambiguous_total, 0);
    }
}

#[tokio::test]
async fn a_superseded_cookie_reads_nothing_and_changes_nothing() {
    let site = Site::new();
    let old = site.visitor().await;
    let new = site.visit(&old, async |session: Session| session.sign_in("alice")).await.cookie();
    let look = async |session: Session| {
        assert!(session.is_superseded() && session.id().is_none() && session.principal().is_none());
        session.get::<u64>("n").map(|n| n.is_none().to_string())
    };
    let answer = site.visit(&old, look).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.set_cookie()), (200, "true", None));
    assert_eq!(answer.vary(), ["Cookie"]);

    let counted = site.visit(&old, count).await;
    let destroyed = site.visit(&old, async |session: Session| session.destroy()).await;
    let signed_out = site.visit(&old, async |session: Session| session.sign_out()).await;
    for refused in [counted, destroyed, signed_out] {
        assert_eq!((refused.status, refused.set_cookie()), (409, None));
    }
    assert_eq!(site.n(&new).await, Some(1));
    let again = site.visit(&old, async |session: Session| session.sign_in("alice")).await.cookie();
    assert_ne!(again, new);
    assert_eq!(site.session(&again).await.principal().unwrap().as_str(), "alice");
    assert_eq!(site.n(&new).await, Some(1), "the other sign-in stays");
}

#[tokio::test]
async fn first_opened_after_the_answer_takes_no_change_before_a_reload() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let sessions = HttpSessions::new(site.sessions.clone());
    for status in [200, 500] {
        for cookie in ["", &cookie] {
            let exchange = sessions.begin(&Head::new().with_cookie(cookie.as_bytes()));
            let request = exchange.request().clone();
            exchange.finish(status).await;
            let session = request.open().await.unwrap();
            let refused = session.insert("n", 9).unwrap_err().kind();
            assert_eq!(refused, ErrorKind::AlreadyCommitted, "{status} {cookie}");
            session.reload().await.unwrap();
            session.insert("late", status).unwrap();
            // The same session, which is open again.
            request.open().await.unwrap().insert("later", status).unwrap();
            let _ = session.commit().await.unwrap();
        }
    }
    let session = site.session(&cookie).await;
    let late: [Option<u16>; 2] = ["late", "later"].map(|key| session.get(key).unwrap());
    assert_eq!((late, site.n(&cookie).await), ([Some(500); 2], Some(1)));
}

#[tokio::test]
async fn opened_before_an_answer_of_500_takes_no_change_after_it() {
    let site = Site::new();
    let sessions = HttpSessions::new(site.sessions.clone());
    let exchange = sessions.begin(&Head::new());
    let session = exchange.request().open().await.unwrap();
    session.insert("n", 1).unwrap();
    exchange.finish(500).await;
    assert_eq!(session.insert("n", 2).unwrap_err().kind(), ErrorKind::AlreadyCommitted);
    assert_eq!(site.store.take_calls(), []);
}
