//! Serves the application with one account, on SQLite: `cargo run -p accounts-example`.

use std::error::Error;
use std::sync::Arc;

use accounts_example::{Accounts, App, router, sessions};
use session_kit::SystemClock;
use session_kit::axum::SessionLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let accounts = Arc::new(Accounts::default());
    accounts.add("1", "alice", "wonderland").await.ok_or("no password hash")?;
    let clock = Arc::new(SystemClock::default());
    let sessions = sessions(session_kit::builder("sqlite:accounts.db").await?, clock.clone())?;
    let app = router(App { accounts, clock }, SessionLayer::new(sessions).insecure_local());
    println!("listening on http://127.0.0.1:3000");
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}
