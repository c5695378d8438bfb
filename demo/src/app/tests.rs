//! What happens between a request's look at its session and its commit: out of reach for a browser, so
//! the store does it here.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::{COOKIE, SET_COOKIE};
use session_kit::{
    Committed, CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionBackend, SessionId,
    SessionManager, Timestamp, UpdateOutcome, async_trait, backend,
};
use tower::ServiceExt as _;

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A store in which something happens just before the next update.
struct Meanwhile {
    store: Arc<dyn SessionBackend>,
    event: Mutex<Option<Event>>,
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meanwhile").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionBackend for Meanwhile {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
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
        self.store.delete(id, expected, now).await
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
    let meanwhile = Meanwhile { store, event: Mutex::new(Some(event)) };
    let sessions = SessionManager::builder(meanwhile).build().unwrap();

    let request = Request::builder().uri("/").header(COOKIE, format!("session={}", token.expose()));
    let request = request.body(Body::empty()).unwrap();
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
