//! Signing in and all that belongs to it. `docs/signing-in.md` explains this code piece by piece, and
//! `docs/testing.md` its tests.

mod accounts;
mod guard;
mod handlers;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use session_kit::axum::SessionLayer;
use session_kit::{Clock, CookieLifetime, OnLimit, Result, SessionManager, SessionManagerBuilder};

pub use accounts::{Account, Accounts};
pub use guard::{FRESH, FreshUser, User};

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct App {
    /// Who may sign in.
    pub accounts: Arc<Accounts>,
    /// The same as the sessions'.
    pub clock: Arc<dyn Clock>,
}

/// How long sessions live, here a working day, and how many a user may have.
pub fn sessions(builder: SessionManagerBuilder, clock: Arc<dyn Clock>) -> Result<SessionManager> {
    builder
        .clock(clock)
        .idle_timeout(Duration::from_secs(30 * 60))
        .absolute_timeout(Duration::from_secs(12 * 3600))
        .cookie_lifetime(CookieLifetime::BrowserSession)
        .rotate_every(Duration::from_secs(15 * 60))
        .max_sessions_per_principal(NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN), OnLimit::EvictOldest)
        .build()
}

/// The application.
pub fn router(app: App, sessions: SessionLayer) -> Router {
    Router::new()
        .route("/sign-in", get(handlers::sign_in_page).post(handlers::sign_in))
        .route("/sign-out", post(handlers::sign_out))
        .route("/account", get(handlers::account))
        .route("/devices", get(handlers::devices))
        .route("/devices/{id}/sign-out", post(handlers::sign_out_device))
        .route("/devices/sign-out-others", post(handlers::sign_out_others))
        .route("/password", post(handlers::change_password))
        .route("/confirm", post(handlers::confirm))
        .route("/recovery-codes", get(handlers::recovery_codes))
        .layer(sessions)
        .layer(from_fn(guard::refuse_foreign_forms))
        .with_state(app)
}
