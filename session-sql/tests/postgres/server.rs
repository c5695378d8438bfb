//! What takes a server of the test's own: restarts, passwords.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::common::{LONG, create, id, now, patient, record, shown};
use crate::private_server::{PASSWORD, PrivateServer};
use session_core::{ErrorKind, SessionBackend};
use session_sql::postgres::{PostgresBackend, PostgresConfig};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    // The pool tries again and again to connect, for so long.
    let config = patient(server.config()).with_acquire_timeout(Duration::from_millis(500));
    let backend = PostgresBackend::connect(config).await.unwrap();
    create(&backend, 1, record("x")).await;
    server.stop();
    for _ in 0..3 {
        let started = Instant::now();
        let error = backend.load(id(1), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
        assert!(!shown(&error).contains(PASSWORD), "{error:?}");
    }
    // Many at once take all of the pool's places for their attempts.
    let loads: Vec<_> = (0..50)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.load(id(1), now()).await })
        })
        .collect();
    for load in loads {
        assert_eq!(load.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    server.run(&[]).await;
    let started = Instant::now();
    // A busy machine may take longer to connect than the pool tries to.
    let loaded = loop {
        match backend.load(id(1), now()).await {
            Ok(loaded) => break loaded,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
        assert!(started.elapsed() < LONG, "the server is back, and not used");
    };
    assert_eq!(loaded, Some(record("x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_so_without_the_password() {
    let Some(server) = PrivateServer::start(&["max_connections=5", "superuser_reserved_connections=0"]).await
    else {
        return;
    };
    for (url, kind) in [
        (server.url("").replace(PASSWORD, "hunter3"), ErrorKind::Config),
        (server.url("").replace(&format!(":{PASSWORD}"), ""), ErrorKind::Config),
        (server.url("user=nobody"), ErrorKind::Config),
        (server.url("dbname=nothing"), ErrorKind::Config),
        (server.url("sslmode=require"), ErrorKind::Config),
        (server.url("options=-c%20no_such_setting%3Dhunter2"), ErrorKind::Config),
    ] {
        let error =
            PostgresBackend::connect(patient(PostgresConfig::from_url(&url).unwrap())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        let shown = shown(&error);
        assert!(!shown.contains(PASSWORD) && !shown.contains("hunter3"), "{shown}");
    }

    // As many connections as the server takes, all in use.
    let hog = patient(server.config()).with_max_connections(NonZeroU32::MIN.saturating_add(9));
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(5).connect_with(hog.connection.clone());
    let pool = pool.await.unwrap();
    PostgresBackend::migrate(hog.clone()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(pool.acquire().await.unwrap());
    }
    let error = PostgresBackend::connect(hog).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
}
