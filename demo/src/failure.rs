//! What people see when something fails: a page with a status, no more than is known, and a way on.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;
use session_kit::{Error, Session};

use crate::pages::{self, WayOn};

/// A request that cannot be answered as asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The session could not be opened, so nothing was begun.
    NotOpened(Error),
    /// Something was begun.
    Session(Error),
    NotFound,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NotOpened(error) => {
                let mut answer = hand_on(error);
                answer.extensions_mut().insert(NothingBegun);
                answer
            }
            Self::Session(error) => hand_on(error),
            Self::NotFound => missing("There is no such session of yours: it may have ended already."),
        }
    }
}

#[derive(Clone)]
struct NothingBegun;

/// As the session layer hands on a commit that failed: [`draw`] fills in the page.
fn hand_on(error: Error) -> Response {
    log(&error);
    let mut answer = status_of(&error).into_response();
    answer.extensions_mut().insert(Arc::new(error));
    answer
}

fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The session of a request for a page.
pub(crate) struct Opened(pub(crate) Session);

impl<S: Send + Sync> FromRequestParts<S> for Opened {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Session::from_request_parts(parts, state).await.map(Self).map_err(Failure::NotOpened)
    }
}

/// Draws the page of a handler that failed, and of a commit that failed after the handler.
pub(crate) async fn draw(request: Request, next: Next) -> Response {
    let asked = Asked::of(request.method(), request.uri().path());
    let mut answer = next.run(request).await;
    let Some(error) = answer.extensions().get::<Arc<Error>>() else { return answer };
    let status = status_of(error);
    let page = asked.page(status, asked.known(&answer)).into_string();
    *answer.body_mut() = Body::from(page);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

/// What the visitor wanted.
#[derive(Clone, Copy)]
enum Asked {
    /// To see the page at this path, which signs nobody in or out.
    Page(&'static str),
    SignIn,
    SignOut,
    /// To end one session, or all the others.
    EndSessions,
}

/// What is known of it.
enum Known {
    NothingWasDone,
    InDoubt,
    /// The answer takes the cookie away: the session has ended.
    SignedOut,
}

impl Asked {
    fn of(method: &Method, path: &str) -> Self {
        match path {
            "/sign-in" => Self::SignIn,
            "/sign-out" => Self::SignOut,
            "/sessions" => Self::Page("/sessions"),
            _ if !method.is_safe() && path.starts_with("/sessions/") => Self::EndSessions,
            _ => Self::Page("/"),
        }
    }

    fn known(self, answer: &Response) -> Known {
        let ends_cookie =
            |header: &HeaderValue| header.to_str().is_ok_and(|text| text.contains("Max-Age=0;"));
        if answer.headers().get_all(SET_COOKIE).iter().any(ends_cookie) {
            return Known::SignedOut;
        }
        let nothing_begun = answer.extensions().get::<NothingBegun>().is_some();
        match self {
            Self::Page(_) => Known::NothingWasDone,
            _ if nothing_begun => Known::NothingWasDone,
            // Overtaken by another request, and then nothing is written.
            Self::SignIn | Self::SignOut if answer.status() == StatusCode::CONFLICT => Known::NothingWasDone,
            Self::SignIn | Self::SignOut | Self::EndSessions => Known::InDoubt,
        }
    }

    fn page(self, status: StatusCode, known: Known) -> Markup {
        let is_outage = status == StatusCode::SERVICE_UNAVAILABLE;
        let (title, reason) = match status {
            _ if is_outage => ("Back in a moment", "The store of sessions does not answer right now."),
            StatusCode::CONFLICT => (
                "Something changed meanwhile",
                "Your session changed in another tab while this request was under way.",
            ),
            _ => ("Something went wrong", "The session could not be read or written. It is logged."),
        };
        let retry = WayOn::Link { to: self.form(), text: "Try again" };
        let (title, outcome, way_on) = match (known, self) {
            (Known::SignedOut, _) => {
                ("You are signed out", "Your session has ended all the same.", WayOn::HOME)
            }
            (Known::NothingWasDone, Self::Page(_)) if is_outage => {
                (title, "Whoever was signed in still is. Please try again in a few seconds.", retry)
            }
            (Known::NothingWasDone, Self::Page(_)) => (title, "", retry),
            (Known::NothingWasDone, Self::SignOut) => {
                ("You are not signed out yet", "Please try again in a few seconds.", WayOn::SignOut)
            }
            (Known::NothingWasDone, _) if is_outage => (
                title,
                "Nothing was done, and whoever was signed in still is. Please try again in a few seconds.",
                retry,
            ),
            (Known::NothingWasDone, _) => (title, "Nothing was done. Please try again.", retry),
            (Known::InDoubt, Self::SignOut) => (
                "You may not be signed out yet",
                "The home page shows whether you are. Signing out again does no harm.",
                WayOn::SignOut,
            ),
            (Known::InDoubt, Self::SignIn) => (
                "You may not be signed in yet",
                "The home page shows whether you are, and has the form if not.",
                WayOn::Link { to: self.form(), text: "Sign-in form" },
            ),
            (Known::InDoubt, _) => (
                "Sessions may be left",
                "What you meant to end may have ended or not: the list shows what is left. You may have to sign \
                 in again to see it.",
                WayOn::Link { to: self.form(), text: "Your sessions" },
            ),
        };
        pages::message(title, &format!("{reason} {outcome}"), way_on)
    }

    /// Where what was asked for can be asked for again.
    fn form(self) -> &'static str {
        match self {
            Self::Page(path) => path,
            Self::SignIn | Self::SignOut => "/",
            Self::EndSessions => "/sessions",
        }
    }
}

pub(crate) fn log(error: &Error) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, source, "a request failed");
}

/// A path that is not there.
pub(crate) async fn not_found() -> Response {
    missing("This page does not exist.")
}

/// Where a form was sent to, asked for without the form: from the address bar, or by "back".
pub(crate) async fn not_a_page() -> Response {
    let page = pages::message("Not a page", "This address only takes what a form sends.", WayOn::HOME);
    (StatusCode::METHOD_NOT_ALLOWED, Html(page.into_string())).into_response()
}

fn missing(text: &str) -> Response {
    (StatusCode::NOT_FOUND, Html(pages::message("Not found", text, WayOn::HOME).into_string()))
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_takes_the_cookie_away_says_that_the_session_has_ended() {
        let page = |set_cookie: &str| {
            let answer = Response::builder().status(503).header(SET_COOKIE, set_cookie);
            let answer = answer.body(Body::empty()).unwrap();
            let asked = Asked::of(&Method::POST, "/sign-out");
            asked.page(answer.status(), asked.known(&answer)).into_string()
        };
        let page_of_removal = page("session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        assert!(page_of_removal.contains("You are signed out"), "{page_of_removal}");
        let page_of_token = page("session=x.y; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
        assert!(page_of_token.contains("You may not be signed out yet"), "{page_of_token}");
    }
}
