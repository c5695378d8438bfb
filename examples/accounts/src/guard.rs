//! Who may come in: extractors that let a handler run only for somebody who is signed in, and what keeps
//! forms of others out.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use session_kit::{Clock as _, Error, Key, Session};
use subtle::ConstantTimeEq as _;

use crate::{Account, App};

/// The account's `password_epoch` at the sign-in.
pub(crate) const PASSWORD_EPOCH: Key<u64> = Key::new("sign_in.password_epoch");
/// What forms of this sign-in carry.
pub(crate) const FORM_TOKEN: Key<String> = Key::new("sign_in.form_token");

/// Somebody who is signed in, by the password that the account has now.
#[derive(Debug)]
pub struct User {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub account: Account,
}

impl FromRequestParts<App> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, app).await.map_err(Error::into_response)?;
        let account = session.principal().and_then(|principal| app.accounts.find(principal.as_str()));
        let epoch = session.get(PASSWORD_EPOCH).map_err(Error::into_response)?;
        match account {
            Some(account) if epoch == Some(account.password_epoch) => Ok(Self { session, account }),
            _ => Err(Redirect::to("/sign-in").into_response()),
        }
    }
}

impl User {
    /// Whether a form is one of this sign-in's own pages.
    pub(crate) fn sent(&self, form_token: &str) -> Result<bool, Error> {
        let expected = self.session.get(FORM_TOKEN)?.unwrap_or_default();
        let matches = bool::from(expected.as_bytes().ct_eq(form_token.as_bytes()));
        Ok(matches && !expected.is_empty())
    }
}

/// Somebody whose password was checked a moment ago.
#[derive(Debug)]
pub struct FreshUser(pub User);

/// How long a check of the password is good for what matters most.
pub const FRESH: Duration = Duration::from_secs(5 * 60);

impl FromRequestParts<App> for FreshUser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let user = User::from_request_parts(parts, app).await?;
        let age = user.session.authenticated_at().map(|at| app.clock.now().saturating_duration_since(at));
        match age {
            Some(age) if age < FRESH => Ok(Self(user)),
            _ => Err((StatusCode::FORBIDDEN, "enter your password again\n").into_response()),
        }
    }
}

/// Refuses what pages of other hosts send: browsers say so in a header that no page can set.
pub(crate) async fn refuse_foreign_forms(request: Request, next: Next) -> Response {
    let sender = request.headers().get("sec-fetch-site");
    let is_foreign = sender.is_some_and(|site| site != "same-origin" && site != "none");
    if is_foreign && !request.method().is_safe() {
        return (StatusCode::FORBIDDEN, "this form is not from here\n").into_response();
    }
    next.run(request).await
}
