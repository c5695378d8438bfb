//! Several servers in one URL: where connections go, and where they go next.

use std::time::{Duration, Instant};

use crate::common::{LONG, create, id, now, patient, record, shown};
use crate::private_server::{PASSWORD, PrivateServer};
use crate::proxy::Proxy;
use crate::replicas::url_of;
use session_core::{ErrorKind, SessionBackend};
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use sqlx::Executor;

/// For what is silent: the other one must answer within it.
const WAIT: Duration = Duration::from_secs(5);

fn config(url: &str) -> PostgresConfig {
    PostgresConfig::from_url(url).unwrap().with_auto_migrate(true).with_connect_timeout(LONG)
}

/// The verb's answer when a server was found for it.
async fn until_answered<T>(mut verb: impl AsyncFnMut() -> session_core::Result<T>) -> T {
    let started = Instant::now();
    loop {
        match verb().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
        assert!(started.elapsed() < LONG, "no server was found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_to_the_primary_wherever_it_stands() {
    let Some(primary) = PrivateServer::start(&[]).await else { return };
    PostgresBackend::migrate(patient(primary.config())).await.unwrap();
    let replica = primary.replica("replica").await;
    for servers in [[&primary, &replica], [&replica, &primary]] {
        let backend = PostgresBackend::connect(config(&url_of(&servers, ""))).await.unwrap();
        let _ = backend.delete(id(1), None, now()).await.unwrap();
        create(&backend, 1, record("x")).await;
    }

    // The replica alone, and beside one that is not there.
    for url in [
        url_of(&[&replica], "target_session_attrs=read-write"),
        url_of(&[&replica], "").replace(&replica.place(), &format!("127.0.0.1:1,{}", replica.place())),
    ] {
        let error = PostgresBackend::connect(config(&url)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
        let shown = shown(&error);
        assert!(shown.contains(&replica.place()) && shown.contains("takes no writes"), "{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");
    }

    // Who wants any gets the first.
    let any = url_of(&[&replica, &primary], "target_session_attrs=any");
    let backend = PostgresBackend::connect(config(&any)).await.unwrap();
    let error = backend.touch(id(1), now(), now()).await.unwrap_err();
    assert!(shown(&error).contains("read-only"), "{error:?}");

    let backend = PostgresBackend::connect(config(&url_of(&[&replica], ""))).await.unwrap();
    assert_eq!(backend.load(id(2), now()).await.unwrap(), None);
    for error in [
        backend.create(id(2), record("x"), now()).await.unwrap_err(),
        backend.touch(id(1), now(), now()).await.unwrap_err(),
        backend.delete(id(1), None, now()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(shown(&error).contains("read-only"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_at_one_of_several_is_told_with_all_that_is_wrong() {
    let Some(server) = PrivateServer::start(&[]).await else { return };
    let url = server.url("").replace(PASSWORD, "hunter3").replace("@", "@127.0.0.1:1,");
    let error = PostgresBackend::connect(config(&url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    let shown = shown(&error);
    assert!(shown.contains("127.0.0.1:1 (") && shown.contains("authentication failed"), "{shown}");
    assert!(!shown.contains("hunter3"), "{shown}");
}

/// Two servers that know nothing of each other show which of them was asked.
async fn two_servers() -> Option<[PrivateServer; 2]> {
    let servers = [PrivateServer::start(&[]).await?, PrivateServer::start(&[]).await?];
    for (server, data) in servers.iter().zip(["first", "second"]) {
        create(&PostgresBackend::connect(patient(server.config())).await.unwrap(), 1, record(data)).await;
    }
    Some(servers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_any_more_is_left() {
    let Some(servers) = two_servers().await else { return };
    let backend = PostgresBackend::connect(config(&url_of(&servers.each_ref(), ""))).await.unwrap();
    // Connections that know the old server, more than the one that will notice.
    let lists = (0..20).map(|_| {
        let backend = backend.clone();
        tokio::spawn(async move { backend.list(None, None, 10, now()).await })
    });
    for list in lists.collect::<Vec<_>>() {
        list.await.unwrap().unwrap();
    }
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    servers[0].connection().await.execute(read_only).await.unwrap();
    let _: bool = servers[0].ask("SELECT pg_reload_conf()").await;
    // The first write that meets it finds out.
    let started = Instant::now();
    loop {
        match backend.touch(id(1), record("").expires_at, now()).await {
            // Reloading takes the server a moment.
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(shown(&error).contains("read-only"), "{error:?}");
                break;
            }
        }
        assert!(started.elapsed() < LONG);
    }
    // It is the last one. From then on no connection leads there, whoever has made it.
    while backend.load(id(1), now()).await.unwrap() != Some(record("second")) {
        assert!(started.elapsed() < LONG, "the other server was not found");
    }
    for _ in 0..50 {
        assert!(backend.touch(id(1), record("").expires_at, now()).await.unwrap());
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("second")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_ended_is_left_and_may_be_the_next_one_again() {
    let Some(mut servers) = two_servers().await else { return };
    let backend = PostgresBackend::connect(config(&url_of(&servers.each_ref(), ""))).await.unwrap();
    for (stopped, expected) in [(0, "second"), (1, "first"), (0, "second")] {
        servers[stopped].stop();
        let loaded = until_answered(async || backend.load(id(1), now()).await).await;
        assert_eq!(loaded, Some(record(expected)));
        servers[stopped].run(&[]).await;
    }
    // The old primary is a replica when it comes back, and nobody has met it meanwhile.
    servers[1].stop();
    servers[1].run(&["default_transaction_read_only=on"]).await;
    let loaded = until_answered(async || backend.load(id(1), now()).await).await;
    assert_eq!(loaded, Some(record("first")));
}

/// No connection is lost that could tell, and the verb that waits for one is the one that gets the other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_before_it_was_used_is_left() {
    let Some(mut servers) = two_servers().await else { return };
    let backend = PostgresBackend::connect(patient(config(&url_of(&servers.each_ref(), "")))).await.unwrap();
    servers[0].stop();
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("second")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left() {
    let Some(servers) = two_servers().await else { return };
    let proxy = Proxy::to(servers[0].port).await;
    let url =
        url_of(&servers.each_ref(), "").replace(&servers[0].place(), &format!("127.0.0.1:{}", proxy.port));
    let backend = PostgresBackend::connect(config(&url)).await.unwrap();
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("first")));
    proxy.fall_silent();
    let loaded = until_answered(async || backend.load(id(1), now()).await).await;
    assert_eq!(loaded, Some(record("second")));
    // A new backend waits for it as long as it is told to.
    let backend = PostgresBackend::connect(config(&url).with_connect_timeout(WAIT)).await.unwrap();
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("second")));
}
