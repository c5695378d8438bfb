//! The layer of axum_session, which keeps sessions in the process unless it is given a database.

use axum::Router;
use axum::routing::get;
use axum_session::{Session, SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use bench_harness::{Failure, Values, payload};
use http::StatusCode;

type InMemory = Session<SessionNullPool>;

pub(super) async fn router(bare: Router, values: Values) -> Result<Router, Failure> {
    let store = SessionStore::<SessionNullPool>::new(None, SessionConfig::default()).await?;
    let create = move |session: InMemory| async move {
        for (key, value) in payload::values(values, 0) {
            session.set(&key, value);
        }
        session.set("count", 0);
    };
    Ok(bare
        .route("/create", get(create))
        .route("/read", get(read))
        .route("/count", get(count))
        .layer(SessionLayer::new(store)))
}

/// Fails without the session: a router that answers without one would measure nothing.
async fn read(session: InMemory) -> Result<String, StatusCode> {
    session.get("name").ok_or(StatusCode::UNAUTHORIZED)
}

async fn count(session: InMemory) -> Result<String, StatusCode> {
    let count: u64 = session.get("count").ok_or(StatusCode::UNAUTHORIZED)?;
    session.set("count", count + 1);
    Ok((count + 1).to_string())
}
