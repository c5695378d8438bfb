//! The layer of tower-sessions over its memory store.

use axum::Router;
use axum::routing::get;
use bench_harness::{Values, payload};
use http::StatusCode;
use tower_sessions::session::Error;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

pub(super) fn router(bare: Router, values: Values) -> Router {
    let create = move |session: Session| async move {
        for (key, value) in payload::values(values, 0) {
            session.insert_value(&key, value).await.map_err(status)?;
        }
        session.insert("count", 0).await.map_err(status)
    };
    bare.route("/create", get(create))
        .route("/read", get(read))
        .route("/count", get(count))
        .layer(SessionManagerLayer::new(MemoryStore::default()))
}

/// Fails without the session: a router that answers without one would measure nothing.
async fn read(session: Session) -> Result<String, StatusCode> {
    session.get("name").await.map_err(status)?.ok_or(StatusCode::UNAUTHORIZED)
}

async fn count(session: Session) -> Result<String, StatusCode> {
    let count: u64 = session.get("count").await.map_err(status)?.ok_or(StatusCode::UNAUTHORIZED)?;
    session.insert("count", count + 1).await.map_err(status)?;
    Ok((count + 1).to_string())
}

fn status(_: Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
