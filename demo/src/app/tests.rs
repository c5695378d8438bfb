//! What happens between a request's look at its session and its commit: out of reach for a browser, so
//! the store does it here.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::request::Builder;
use session_kit::{
    Committed, CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Listing, Principal, Record, Result, Revision,
    SessionBackend, SessionId, SessionManager, Timestamp, UpdateOutcome, async_trait, backend,
};
use tower::ServiceExt as _;

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A store in which something happens just before the next update, or which fails to change anything.
struct Meanwhile {
    store: Arc<dyn SessionBackend>,
    event: Mutex<Option<Event>>,
    failure: Option<ErrorKind>,
}

impl Meanwhile {
    fn fail(&self) -> Result<()> {
        self.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meanwhile").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionBackend for Meanwhile {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.fail()?;
        self.store.create(id, record, now).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.store.load(id, now).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let event = self.event.lock().unwrap().take();
        if let Some(event) = event {
            event.await;
        }
        self.fail()?;
        self.store.update(id, expected, record, now).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.store.touch(id, expires_at, now).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        self.fail()?;
        self.store.delete(id, expected, now).await
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        self.store.list(principal, after, limit, now).await
    }
}

/// `GET /` of a session with five views, with whose token and manager `event` happens meanwhile.
async fn home_while<F>(event: impl FnOnce(SessionManager, String) -> F) -> (u16, bool, String)
where
    F: Future<Output = ()> + Send + 'static,
{
    let store = backend("memory:").await.unwrap();
    let others = SessionManager::builder(store.clone()).build().unwrap();
    let session = others.open(None).await.unwrap();
    session.insert("views", 5).unwrap();
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no token") };
    let event: Event = Box::pin(event(others, token.expose()));
    let meanwhile = Meanwhile { store, event: Mutex::new(Some(event)), failure: None };
    let sessions = SessionManager::builder(meanwhile).build().unwrap();

    send(sessions, Request::get("/"), &token.expose(), "").await
}

/// Status, whether a cookie is set, and the page.
async fn send(sessions: SessionManager, request: Builder, token: &str, form: &str) -> (u16, bool, String) {
    let request = request.header(COOKIE, format!("session={token}"));
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = request.body(Body::from(form.to_owned())).unwrap();
    let answer = super::router(sessions, true).oneshot(request).await.unwrap();
    let (status, has_cookie) = (answer.status().as_u16(), answer.headers().contains_key(SET_COOKIE));
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, has_cookie, String::from_utf8(body.into()).unwrap())
}

fn is_a_strangers_page(page: &str) -> bool {
    page.contains("action=\"/sign-in\"") && page.contains("id=\"views\">0<") && !page.contains("Signed in as")
}

#[tokio::test]
async fn home_is_there_when_its_session_is_ended_meanwhile() {
    let end = async |sessions: SessionManager, token: String| {
        let session = sessions.open(Some(&token)).await.unwrap();
        assert!(sessions.revoke(session.id().unwrap()).await.unwrap());
    };
    let (status, has_cookie, page) = home_while(end).await;
    assert_eq!((status, has_cookie), (200, false));
    assert!(is_a_strangers_page(&page), "{page}");
}

#[tokio::test]
async fn home_is_there_when_another_tab_signs_in_meanwhile() {
    let sign_in = async |sessions: SessionManager, token: String| {
        let session = sessions.open(Some(&token)).await.unwrap();
        session.sign_in("alice").unwrap();
        let _ = session.commit().await.unwrap();
    };
    let (status, has_cookie, page) = home_while(sign_in).await;
    assert_eq!((status, has_cookie), (200, false), "the cookie of the sign-in stays");
    assert!(is_a_strangers_page(&page), "{page}");
}

#[tokio::test]
async fn home_counts_on_top_of_what_others_counted_meanwhile() {
    let count = async |sessions: SessionManager, token: String| {
        let session = sessions.open(Some(&token)).await.unwrap();
        session.insert("views", 41).unwrap();
        let _ = session.commit().await.unwrap();
    };
    let (status, _, page) = home_while(count).await;
    assert_eq!(status, 200);
    assert!(page.contains("id=\"views\">42<"), "{page}");
}

/// What alice is answered while the store loads but fails to change anything.
async fn answer_of_failing(kind: ErrorKind, request: Builder) -> (u16, String) {
    let store = backend("memory:").await.unwrap();
    let session = SessionManager::builder(store.clone()).build().unwrap().open(None).await.unwrap();
    session.sign_in("alice").unwrap();
    let Committed::SetToken { token, .. } = session.commit().await.unwrap() else { panic!("no token") };
    let failing = Meanwhile { store, event: Mutex::default(), failure: Some(kind) };
    let sessions = SessionManager::builder(failing).build().unwrap();
    let form = "username=alice&password=wonderland";
    let (status, has_cookie, page) = send(sessions, request, &token.expose(), form).await;
    assert!(!has_cookie, "{page}");
    (status, page)
}

const SIGN_OUT_AGAIN: &str = "<form class=\"inline\" method=\"post\" action=\"/sign-out\">";

#[tokio::test]
async fn a_page_in_doubt_says_so_and_how_to_find_out() {
    for (path, parts) in [
        ("/sign-in", ["You may not be signed in yet", "<a href=\"/\">Sign-in form</a>"]),
        ("/sign-out", ["You may not be signed out yet", SIGN_OUT_AGAIN]),
        ("/sessions/sign-out-others", ["Sessions may be left", "<a href=\"/sessions\">Your sessions</a>"]),
    ] {
        for (kind, status) in
            [(ErrorKind::Timeout, 503), (ErrorKind::Unavailable, 503), (ErrorKind::Internal, 500)]
        {
            let (answered, page) = answer_of_failing(kind, Request::post(path)).await;
            assert_eq!(answered, status, "{path}: {kind:?}");
            for part in parts {
                assert!(page.contains(part), "{path}: {kind:?}: {part}: {page}");
            }
            for claim in ["still is", "Nothing was done"] {
                assert!(!page.contains(claim), "{path}: {kind:?}: {page}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_was_overtaken_says_that_nothing_was_done() {
    for (path, parts) in [
        ("/sign-in", ["Something changed meanwhile", "Nothing was done."]),
        ("/sign-out", ["You are not signed out yet", SIGN_OUT_AGAIN]),
    ] {
        let (status, page) = answer_of_failing(ErrorKind::Stale, Request::post(path)).await;
        assert!(status == 409 && page.contains("in another tab"), "{path}: {status}: {page}");
        assert!(parts.iter().all(|part| page.contains(part)), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_page_that_was_only_looked_at_leaves_everybody_signed_in() {
    let (status, page) = answer_of_failing(ErrorKind::Timeout, Request::get("/")).await;
    assert!(status == 503 && page.contains("Whoever was signed in still is."), "{status}: {page}");
    assert!(page.contains("<a href=\"/\">Try again</a>"), "{page}");
}
