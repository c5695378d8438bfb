//! What the routes do. The session comes in as an argument; the layer commits it afterwards.

use axum::Form;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use session_kit::{Error, ErrorKind, Key, Session, SessionId, SessionManager};

use crate::accounts::{self, Account};
use crate::failure::{self, Failure, Opened};
use crate::pages;

const VIEWS: Key<u64> = Key::new("views");
const BROWSER: Key<String> = Key::new("browser");
const USER_ID: Key<u64> = Key::new("account.current_user_id");

type Answer = Result<Response, Failure>;

/// Counts a view for whoever may write, and shows the page to everybody.
pub(crate) async fn home(Opened(session): Opened) -> Answer {
    let mut messages = Vec::new();
    if !session.is_superseded() {
        session.update(VIEWS, |views| views.unwrap_or(0) + 1)?;
        messages = session.take_flash()?;
        // Before the page is drawn: the number is exact, and a message is shown once.
        match session.commit().await {
            Ok(_) => {}
            // Ended or replaced by another request a moment ago: this one sees what that one left.
            Err(error) if matches!(error.kind(), ErrorKind::Gone | ErrorKind::Stale) => {
                session.reload().await?;
                messages.clear();
            }
            Err(error) => return Err(error.into()),
        }
    }
    let page = pages::Home {
        user: session.principal().map(|principal| principal.as_str().to_owned()),
        views: session.get(VIEWS)?.unwrap_or(0),
        messages,
    };
    Ok(Html(page.draw().into_string()).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    username: String,
    password: String,
}

pub(crate) async fn sign_in(
    Opened(session): Opened,
    headers: HeaderMap,
    Form(form): Form<Credentials>,
) -> Answer {
    let Some(account) = accounts::check(&form.username, form.password).await else {
        let page = pages::sign_in_refused(&form.username);
        return Ok((StatusCode::UNAUTHORIZED, Html(page.into_string())).into_response());
    };
    let browser = pages::browser_name(headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()));
    enter(&session, account, browser)?;
    match session.commit().await {
        Ok(_) => {}
        // Another tab signed in first: this one gets a session of its own.
        Err(error) if matches!(error.kind(), ErrorKind::Gone | ErrorKind::Stale) => {
            session.reload().await?;
            enter(&session, account, browser)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Redirect::to("/").into_response())
}

fn enter(session: &Session, account: &Account, browser: &str) -> Result<(), Error> {
    session.sign_in(account.name)?;
    session.insert(USER_ID, account.id)?;
    session.insert(BROWSER, browser.to_owned())?;
    session.flash(format!("Welcome, {}.", account.name))
}

pub(crate) async fn sign_out(Opened(session): Opened) -> Answer {
    if session.principal().is_some() || session.is_superseded() {
        leave(&session)?;
    }
    Ok(Redirect::to("/").into_response())
}

fn leave(session: &Session) -> Result<(), Error> {
    session.sign_out()?;
    session.flash("You are signed out.")
}

pub(crate) async fn sessions(Opened(session): Opened) -> Answer {
    let Some(principal) = session.principal() else { return Ok(Redirect::to("/").into_response()) };
    let mut rows = Vec::new();
    for info in session.siblings().await? {
        rows.push(pages::SessionRow {
            id: info.id(),
            created: info.created_at(),
            last_seen: info.last_seen(),
            // One that is damaged must not hide the others, nor itself: it can be ended like any.
            browser: info.get(BROWSER).ok().flatten().unwrap_or_else(|| "unknown".to_owned()),
            is_current: info.is_current(),
        });
    }
    let page = pages::Sessions { user: principal.as_str(), rows, messages: session.take_flash()? };
    Ok(Html(page.draw().into_string()).into_response())
}

pub(crate) async fn sign_out_one(Opened(session): Opened, id: Result<Path<String>, PathRejection>) -> Answer {
    let id: Option<SessionId> = id.ok().and_then(|Path(text)| text.parse().ok());
    let id = id.ok_or(Failure::NotFound)?;
    if session.id() == Some(id) && session.principal().is_some() {
        leave(&session)?;
        return Ok(Redirect::to("/").into_response());
    }
    if !session.revoke(id).await? {
        return Err(Failure::NotFound);
    }
    session.flash("That session is signed out.")?;
    Ok(Redirect::to("/sessions").into_response())
}

pub(crate) async fn sign_out_others(Opened(session): Opened) -> Answer {
    if session.principal().is_none() && !session.is_superseded() {
        return Ok(Redirect::to("/").into_response());
    }
    let ended = session.revoke_others().await?;
    session.reload().await?;
    session.flash(match ended {
        0 => "There were no other sessions.".to_owned(),
        1 => "One other session is signed out.".to_owned(),
        many => format!("{many} other sessions are signed out."),
    })?;
    Ok(Redirect::to("/sessions").into_response())
}

#[derive(Serialize)]
pub(crate) struct Views {
    views: u64,
}

/// Reads: whoever has no session gets none.
pub(crate) async fn read_views(session: Session) -> Result<Json<Views>, Error> {
    Ok(Json(Views { views: session.get(VIEWS)?.unwrap_or(0) }))
}

/// One more view; the number is the one that was committed.
pub(crate) async fn count_view(session: Session) -> Result<Json<Views>, Error> {
    session.update(VIEWS, |views| views.unwrap_or(0) + 1)?;
    // The layer sends the cookie.
    let _ = session.commit().await?;
    Ok(Json(Views { views: session.get(VIEWS)?.unwrap_or(0) }))
}

/// Whatever the store's trouble is, a balancer should send visitors elsewhere.
pub(crate) async fn health(State(sessions): State<SessionManager>) -> (StatusCode, &'static str) {
    match sessions.check().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(error) => {
            failure::log(&error);
            (StatusCode::SERVICE_UNAVAILABLE, "the store of sessions does not work\n")
        }
    }
}
