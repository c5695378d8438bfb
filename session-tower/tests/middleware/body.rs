//! Bodies that go on after the head has left, and with it the commit.

use axum::body::{Body, to_bytes};
use futures_util::stream;
use session_core::{ErrorKind, Result, Session};
use tower::ServiceExt as _;

use crate::support::{Site, request};

/// A body whose one part runs `work` when it is asked for.
fn streamed(work: impl Future<Output = Result<String>> + Send + 'static) -> Body {
    Body::from_stream(stream::once(work))
}

#[tokio::test]
async fn a_streamed_body_reloads_and_commits_by_itself() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let handler = async |session: Session| -> Result<Body> {
        session.insert("n", 2)?;
        Ok(streamed(async move {
            assert_eq!(session.get("n")?, Some(2), "reads show what was committed");
            assert_eq!(session.insert("n", 3).unwrap_err().kind(), ErrorKind::AlreadyCommitted);
            session.reload().await?;
            session.insert("n", 4)?;
            let _ = session.commit().await?;
            Ok("streamed".to_owned())
        }))
    };
    let response = site.app(handler).oneshot(request("/", &[&cookie])).await.unwrap();
    assert_eq!(site.n(&cookie).await, Some(2), "committed before the body");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(body, "streamed");
    assert_eq!(site.n(&cookie).await, Some(4));
}

#[tokio::test]
async fn a_session_that_began_with_the_answer_goes_on_in_its_body() {
    let site = Site::new();
    let handler = async |session: Session| -> Result<Body> {
        session.insert("n", 1)?;
        Ok(streamed(async move {
            session.reload().await?;
            session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1)?;
            let _ = session.commit().await?;
            Ok(String::new())
        }))
    };
    let answer = site.visit("", handler).await;
    assert_eq!(site.n(&answer.cookie()).await, Some(2));
}

#[tokio::test]
async fn changes_of_a_body_that_does_not_commit_are_lost() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let handler = async |session: Session| -> Result<Body> {
        Ok(streamed(async move {
            session.reload().await?;
            session.insert("n", 9)?;
            Ok(String::new())
        }))
    };
    assert_eq!(site.visit(&cookie, handler).await.status, 200);
    assert_eq!(site.n(&cookie).await, Some(1));
}

#[tokio::test]
async fn a_session_first_opened_in_the_body_can_be_read_and_after_a_reload_changed() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let handler = async |request: axum::Extension<session_core::http::RequestSession>| {
        streamed(async move {
            let session = request.open().await?;
            assert_eq!(session.get("n")?, Some(1));
            assert_eq!(session.insert("n", 9).unwrap_err().kind(), ErrorKind::AlreadyCommitted);
            session.reload().await?;
            session.insert("n", 2)?;
            let _ = session.commit().await?;
            Ok(String::new())
        })
    };
    let answer = site.visit(&cookie, handler).await;
    assert_eq!((answer.status, answer.set_cookie()), (200, None));
    assert_eq!(site.n(&cookie).await, Some(2));
}
