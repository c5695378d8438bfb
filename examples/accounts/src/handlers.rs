//! What the routes do. The session comes in as an argument; the layer commits it afterwards.

use std::time::Duration;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_kit::{CookieLifetime, Key, Lifetime, Result, Session, SessionId};

use crate::guard::{FORM_TOKEN, FreshUser, PASSWORD_EPOCH, User};
use crate::{Account, App};

/// What the browser called itself at the sign-in: for the list of devices.
const DEVICE: Key<String> = Key::new("sign_in.device");

#[derive(Deserialize)]
pub(crate) struct SignIn {
    name: String,
    password: String,
    #[serde(default)]
    remember: bool,
}

pub(crate) async fn sign_in_page() -> &'static str {
    "name, password\n"
}

pub(crate) async fn sign_in(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response> {
    let Some(account) = app.accounts.check(&form.name, form.password).await else {
        return Ok((StatusCode::UNAUTHORIZED, "wrong name or password\n").into_response());
    };
    enter(&session, &account)?;
    let device = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("unknown");
    session.insert(DEVICE, device.to_owned())?;
    if form.remember {
        session.set_lifetime(remembered())?;
    }
    Ok(Redirect::to("/account").into_response())
}

/// Signs in to the account that a password was checked for.
fn enter(session: &Session, account: &Account) -> Result<()> {
    session.sign_in(&account.id)?;
    session.insert(PASSWORD_EPOCH, account.password_epoch)?;
    // Still there when the same user signs in once more: forms in other tabs hold it.
    if !session.contains(FORM_TOKEN)? {
        session.insert(FORM_TOKEN, format!("{:032x}", rand::random::<u128>()))?;
    }
    Ok(())
}

/// "Remember me": a month without a visit, three in all.
fn remembered() -> Lifetime {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    Lifetime::new()
        .with_idle_timeout(30 * DAY)
        .with_absolute_timeout(90 * DAY)
        .with_cookie(CookieLifetime::Persistent)
}

pub(crate) async fn sign_out(session: Session) -> Result<Redirect> {
    if session.principal().is_none() && !session.is_superseded() {
        return Ok(Redirect::to("/sign-in"));
    }
    session.sign_out()?;
    session.flash("You are signed out.")?;
    Ok(Redirect::to("/sign-in"))
}

/// The page of the account, with the token that its forms send back.
pub(crate) async fn account(user: User) -> Result<String> {
    let form_token = user.session.get(FORM_TOKEN)?.unwrap_or_default();
    Ok(format!("{} {form_token}\n", user.account.name))
}

pub(crate) async fn devices(user: User) -> Result<String> {
    let mut lines = String::new();
    for info in user.session.siblings().await? {
        // One that is damaged hides neither the others nor itself: it can be ended like any.
        let device = info.get(DEVICE).ok().flatten().unwrap_or_else(|| "unknown".to_owned());
        let mark = if info.is_current() { " (this one)" } else { "" };
        lines.push_str(&format!("{} {device}{mark}\n", info.id()));
    }
    Ok(lines)
}

#[derive(Deserialize)]
pub(crate) struct Confirmed {
    form_token: String,
}

pub(crate) async fn sign_out_device(
    user: User,
    Path(id): Path<String>,
    Form(form): Form<Confirmed>,
) -> Result<Response> {
    if !user.sent(&form.form_token)? {
        return Ok(StatusCode::FORBIDDEN.into_response());
    }
    let Ok(id) = id.parse::<SessionId>() else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    // `false` for a session of anybody else.
    if !user.session.revoke(id).await? {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    Ok(Redirect::to("/devices").into_response())
}

pub(crate) async fn sign_out_others(user: User, Form(form): Form<Confirmed>) -> Result<Response> {
    if !user.sent(&form.form_token)? {
        return Ok(StatusCode::FORBIDDEN.into_response());
    }
    let ended = user.session.revoke_others().await?;
    // It has committed: open again before the next change.
    user.session.reload().await?;
    user.session.flash(format!("Signed out elsewhere: {ended}"))?;
    Ok(Redirect::to("/devices").into_response())
}

#[derive(Deserialize)]
pub(crate) struct NewPassword {
    form_token: String,
    current: String,
    new: String,
}

pub(crate) async fn change_password(
    State(app): State<App>,
    user: User,
    Form(form): Form<NewPassword>,
) -> Result<Response> {
    if !user.sent(&form.form_token)? {
        return Ok(StatusCode::FORBIDDEN.into_response());
    }
    let Some(account) = app.accounts.check(&user.account.name, form.current).await else {
        return Ok((StatusCode::UNAUTHORIZED, "wrong password\n").into_response());
    };
    let Some(account) = app.accounts.set_password(&account.id, form.new).await else {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    enter(&user.session, &account)?;
    user.session.revoke_others().await?;
    Ok(Redirect::to("/account").into_response())
}

#[derive(Deserialize)]
pub(crate) struct Password {
    password: String,
}

/// The password once more, for what wants a fresh check.
pub(crate) async fn confirm(
    State(app): State<App>,
    user: User,
    Form(form): Form<Password>,
) -> Result<Response> {
    let Some(account) = app.accounts.check(&user.account.name, form.password).await else {
        return Ok((StatusCode::UNAUTHORIZED, "wrong password\n").into_response());
    };
    enter(&user.session, &account)?;
    Ok(Redirect::to("/account").into_response())
}

pub(crate) async fn recovery_codes(FreshUser(user): FreshUser) -> String {
    format!("the recovery codes of {}\n", user.account.name)
}
