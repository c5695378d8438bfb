//! Sessions in connections that outlive their request: server-sent events, and a WebSocket.
//!
//! `docs/streaming.md` says what is committed when, and why these handlers are as they are.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, Response};
use axum::routing::{any, get};
use futures_util::stream::{self, Stream};
use session_kit::axum::SessionLayer;
use session_kit::{Committed, Error, Key, Result, Session};

const VIEWS: Key<u64> = Key::new("views");
const NOTES: Key<Vec<String>> = Key::new("notes");

/// The application. A stream looks each `pace` whether its session still lives: what is revoked goes on
/// for that long.
pub fn router(sessions: SessionLayer, pace: Duration) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/notes", any(notes))
        .layer(sessions)
        .with_state(pace)
}

/// Counts its views: what the stream shows.
async fn page(session: Session) -> Result<Html<&'static str>> {
    session.update(VIEWS, |views| views.unwrap_or(0) + 1)?;
    Ok(Html(include_str!("page.html")))
}

/// Streams the number of views for as long as the session lives.
async fn events(
    State(pace): State<Duration>,
    session: Session,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    // Committed before the head leaves, so that even a stranger's first request gets its cookie.
    session.insert("watched", true)?;
    let views = stream::unfold(Some(session), move |session| async move {
        let session = session?;
        tokio::time::sleep(pace).await;
        match views(&session).await {
            Ok(Some(views)) => Some((Ok(Event::default().data(views.to_string())), Some(session))),
            // The page must not connect again by itself, as it would after a stream that just ends.
            Ok(None) => Some((Ok(Event::default().event("over").data("")), None)),
            // The store is down. That ends nobody's session: look again at the next turn.
            Err(_) => Some((Ok(Event::default().comment("waiting")), Some(session))),
        }
    });
    Ok(Sse::new(views).keep_alive(KeepAlive::default()))
}

/// The views as they are stored now; `None` once the stream must end.
async fn views(session: &Session) -> Result<Option<u64>> {
    session.reload().await?;
    if has_ended(session) {
        return Ok(None);
    }
    let views = session.get(VIEWS)?.unwrap_or(0);
    // Without changes this writes nothing but a due touch: an open stream counts as activity.
    Ok(commit(session).await?.then_some(views))
}

/// Commits; `false` if that made a token, of which the client cannot hear any more.
async fn commit(session: &Session) -> Result<bool> {
    Ok(matches!(session.commit().await?, Committed::Unchanged))
}

/// Revoked or expired, or its token was replaced by a sign-in elsewhere.
fn has_ended(session: &Session) -> bool {
    session.is_new() || session.is_superseded()
}

/// Keeps what it is told in the session, and answers with how much there is.
async fn notes(upgrade: WebSocketUpgrade, session: Session) -> Result<Response, Error> {
    // Committed before the answer 101, which carries the cookie.
    session.insert("took_notes", true)?;
    Ok(upgrade.on_upgrade(move |socket| take_notes(socket, session)))
}

async fn take_notes(mut socket: WebSocket, session: Session) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(note) = message else { continue };
        let answer = match keep(&session, note.as_str()).await {
            Ok(Some(number)) => Message::Text(number.to_string().into()),
            Ok(None) => Message::Close(Some(CloseFrame {
                code: close_code::POLICY,
                reason: "the session is over".into(),
            })),
            // Nothing is lost but this note, and the other side is told.
            Err(error) => Message::Text(format!("not kept: {}", error.kind()).into()),
        };
        let over = matches!(answer, Message::Close(_));
        if socket.send(answer).await.is_err() || over {
            return;
        }
    }
}

/// One message is what one request is elsewhere: reload, change, commit.
async fn keep(session: &Session, note: &str) -> Result<Option<usize>> {
    session.reload().await?;
    if has_ended(session) {
        return Ok(None);
    }
    session.push(NOTES, note)?;
    // There is no head any more that could carry a cookie: nothing here may sign in or rotate.
    if !commit(session).await? {
        return Ok(None);
    }
    Ok(Some(session.get(NOTES)?.unwrap_or_default().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_that_the_client_cannot_hear_of_ends_the_stream() -> Result<()> {
        let sessions = session_kit::connect("memory:").await?;
        let session = sessions.open(None).await?;
        session.sign_in("alice")?;
        assert!(!commit(&session).await?, "created");
        session.reload().await?;
        session.update(VIEWS, |views| views.unwrap_or(0) + 1)?;
        assert!(commit(&session).await?, "no new token");
        session.reload().await?;
        session.rotate()?;
        assert!(!commit(&session).await?, "rotated");
        Ok(())
    }
}

/// The guide's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/streaming.md")]
struct Guide;
