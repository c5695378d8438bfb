//! Bodies that go on after the head has left, and with it the commit.

use std::future::ready;

use actix_web::web::Bytes;
use actix_web::{HttpResponse, error::Error};
use futures_util::stream;
use session_core::{ErrorKind, Session};

use crate::support::Site;

#[actix_web::test]
async fn a_streamed_body_reloads_and_commits_by_itself() {
    let site = Site::new();
    let cookie = site.visitor().await;
    let sessions = site.sessions.clone();
    let (_, token) = cookie.split_once('=').unwrap();
    let token = token.to_owned();
    let handler = move |session: Session| {
        session.insert("n", 2).unwrap();
        let (sessions, token) = (sessions.clone(), token.clone());
        let part = async move {
            let other = sessions.open(Some(&token)).await?;
            assert_eq!(other.get("n")?, Some(2), "committed before the body");
            assert_eq!(session.insert("n", 3).unwrap_err().kind(), ErrorKind::AlreadyCommitted);
            session.reload().await?;
            session.insert("n", 4)?;
            let _ = session.commit().await?;
            Ok::<_, Error>(Bytes::from_static(b"streamed"))
        };
        ready(HttpResponse::Ok().streaming(stream::once(part)))
    };
    let answer = site.visit(&cookie, handler).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "streamed"));
    assert_eq!(site.n(&cookie).await, Some(4));
}
