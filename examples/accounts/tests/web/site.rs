//! The application on a store of its own, with alice in it.

use std::sync::Arc;

use accounts_example::{Accounts, App, router, sessions};
use axum::Router;
use session_kit::axum::SessionLayer;
use session_kit::{ManualClock, SessionBackend, SessionManager, Timestamp};

use crate::browser::Browser;

pub(crate) struct Site {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) clock: ManualClock,
    pub(crate) sessions: SessionManager,
    pub(crate) app: Router,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::on(session_kit::backend("memory:").await.unwrap()).await
    }

    pub(crate) async fn on(store: Arc<dyn SessionBackend>) -> Self {
        let accounts = Arc::new(Accounts::default());
        accounts.add("1", "alice", "wonderland").await.unwrap();
        let clock = ManualClock::new(Timestamp::MIN);
        let sessions = sessions(SessionManager::builder(store), Arc::new(clock.clone())).unwrap();
        let app = App { accounts: accounts.clone(), clock: Arc::new(clock.clone()) };
        let app = router(app, SessionLayer::new(sessions.clone()));
        Self { accounts, clock, sessions, app }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.app)
    }

    /// A browser in which alice has signed in through the form.
    pub(crate) async fn alice(&self) -> Browser {
        let mut browser = self.browser();
        let (status, _) = browser.post("/sign-in", "name=alice&password=wonderland").await;
        assert_eq!(status, 303);
        browser
    }
}
