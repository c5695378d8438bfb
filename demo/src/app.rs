//! The routes, and what every answer has in common.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use session_kit::SessionManager;
use session_kit::axum::SessionLayer;

use crate::failure::{self, not_a_page, not_found};
use crate::handlers;

/// The application. On loopback the cookie works over plain http.
pub(crate) fn router(sessions: SessionManager, loopback: bool) -> Router {
    let mut layer = SessionLayer::new(sessions.clone());
    if loopback {
        layer = layer.insecure_local();
    }
    Router::new()
        .route("/", get(handlers::home))
        .route("/sign-in", post(handlers::sign_in))
        .route("/sign-out", post(handlers::sign_out))
        .route("/sessions", get(handlers::sessions))
        .route("/sessions/sign-out-others", post(handlers::sign_out_others))
        .route("/sessions/{id}/sign-out", post(handlers::sign_out_one))
        .route("/api/views", get(handlers::read_views).post(handlers::count_view))
        .layer(layer)
        .layer(from_fn(failure::draw))
        .route("/healthz", get(handlers::health).with_state(sessions))
        .method_not_allowed_fallback(not_a_page)
        .fallback(not_found)
        .layer(map_response(add_headers))
}

/// Pages that show a session are not kept by caches, the browser's "back" included.
async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
        ),
    );
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
