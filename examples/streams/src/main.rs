//! `cargo run -p streams-example`, then http://127.0.0.1:3000 in two tabs.

use std::time::Duration;

use session_kit::axum::SessionLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = session_kit::connect("memory:").await?;
    let layer = SessionLayer::new(sessions).insecure_local();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, streams_example::router(layer, Duration::from_secs(1))).await?)
}
