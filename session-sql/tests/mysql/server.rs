//! What takes a server of the test's own: crashes, passwords, packets, settings of the whole server.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::common::{NOW, at, create, id, now, principal, record, shown};
use crate::private_server::{PASSWORD, PrivateServer};
use session_core::{CreateOutcome, ErrorKind, SessionBackend, UpdateOutcome};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::{Connection, Executor, MySqlConnection};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_comes_back_with_what_it_acknowledged() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let config = server.config().with_acquire_timeout(Duration::from_millis(500));
    let backend = MysqlBackend::connect(config).await.unwrap();
    create(&backend, 1, record("x")).await;
    server.crash();
    for _ in 0..3 {
        let started = Instant::now();
        let error = backend.load(id(1), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
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
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_so_without_the_password() {
    let Some(server) = PrivateServer::start(&["--max-connections=10", "--extra-max-connections=1"]).await
    else {
        return;
    };
    let url = server.url("");
    let (before, rest) = url.split_once("kit:").unwrap();
    let (_, after) = rest.split_once('@').unwrap();
    for (url, kind) in [
        (format!("{before}kit:hunter3@{after}"), ErrorKind::Config),
        (format!("{before}kit@{after}"), ErrorKind::Config),
        (format!("{before}nobody:hunter3@{after}"), ErrorKind::Config),
        (url.replace("/shop", "/nothing"), ErrorKind::Config),
        (server.url("ssl-mode=REQUIRED"), ErrorKind::Config),
    ] {
        let error = MysqlBackend::connect(MysqlConfig::from_url(&url).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        let shown = shown(&error);
        assert!(!shown.contains("hunter"), "{shown}");
    }

    // As many connections as the server takes, all in use.
    MysqlBackend::migrate(server.config()).await.unwrap();
    let mut held = Vec::new();
    while let Ok(connection) = MySqlConnection::connect_with(&server.config().connection).await {
        held.push(connection);
    }
    assert!(held.len() > 5);
    let error = MysqlBackend::connect(server.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_the_servers_packet_is_too_large_and_the_old_one_stays() {
    let Some(server) = PrivateServer::start(&["--max-allowed-packet=1M"]).await else { return };
    let config = server.config().with_max_connections(NonZeroU32::MIN);
    let backend = MysqlBackend::connect(config).await.unwrap();
    let old = record("old");
    create(&backend, 1, old.clone()).await;
    let mut next = old.clone();
    next.revision = old.revision.next(1);
    for size in [(1 << 20) - 100, 1 << 20, 20 << 20] {
        let large = next.clone().with_data(vec![b'x'; size]);
        let error = backend.update(id(1), old.revision, large.clone(), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{size}: {error:?}");
        assert!(error.to_string().contains("max_allowed_packet"), "{error}");
        let error = backend.create(id(2), large, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{size}: {error:?}");
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(old.clone()));
        assert_eq!(backend.load(id(2), now()).await.unwrap(), None);
    }
    // As large as it may be.
    let large = next.clone().with_data(vec![b'x'; (1 << 20) - 1024]);
    let updated = backend.update(id(1), old.revision, large.clone(), now()).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(large.clone()));

    // The limit is the connection's: the next one has another.
    let mut administrator = MySqlConnection::connect_with(&server.config().connection).await.unwrap();
    administrator.execute("SET GLOBAL max_allowed_packet = 33554432").await.unwrap();
    let backend = MysqlBackend::connect(server.config()).await.unwrap();
    let larger = next.with_data(vec![b'y'; 20 << 20]);
    let updated = backend.update(id(1), large.revision, larger.clone(), now()).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(larger));
}

/// A server on which every default is another one than this driver needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_defaults_do_not_matter() {
    let Some(server) = PrivateServer::start(&[
        "--autocommit=OFF",
        "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,SIMULTANEOUS_ASSIGNMENT",
        "--transaction-isolation=SERIALIZABLE",
        "--default-time-zone=+13:00",
        "--character-set-server=latin1",
        "--collation-server=latin1_swedish_ci",
        "--default-storage-engine=MyISAM",
        "--skip-character-set-client-handshake",
        "--max-statement-time=0",
        "--init-connect=SET character_set_results = NULL",
        "--log-bin",
        "--binlog-format=MIXED",
    ])
    .await
    else {
        return;
    };
    let backend = MysqlBackend::connect(server.config()).await.unwrap();
    let names = ["alice", "Alice", "alice ", "\u{e9}lise", "e\u{301}lise", "alic\u{e9}", "", "\u{df}", "ss"];
    for (number, name) in (1..).zip(names) {
        create(&backend, number, record(name).with_principal(principal(name))).await;
    }
    // Another connection sees it: what was acknowledged is committed.
    let other = MysqlBackend::connect(server.config()).await.unwrap();
    for (number, name) in (1..).zip(names) {
        let page = other.list(principal(name).as_ref(), None, 10, now()).await.unwrap();
        assert_eq!(page.sessions, [(id(number), record(name).with_principal(principal(name)))], "{name:?}");
    }
    let next = {
        let mut next = record("\u{0}\u{1f980}'\"\\");
        next.revision = next.revision.next(1);
        next
    };
    let updated = backend.update(id(1), record("").revision, next.clone(), now()).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    assert_eq!(other.load(id(1), now()).await.unwrap(), Some(next.clone()));
    assert!(other.touch(id(1), at(NOW + 2_000), at(NOW + 1)).await.unwrap());
    let mut touched = next;
    touched.touch(at(NOW + 2_000), at(NOW + 1));
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(touched.clone()));
    let occupied = other.create(id(1), record("x"), now()).await.unwrap();
    assert_eq!(occupied, CreateOutcome::Occupied(touched));
    assert_eq!(other.purge_expired(at(NOW + 1_000), 100).await.unwrap().removed, 8);
    let _ = backend.delete(id(1), None, now()).await.unwrap();
    assert_eq!(other.load(id(1), now()).await.unwrap(), None);

    // A pool of the application has these defaults: nothing that it does would last.
    let pool = sqlx::mysql::MySqlPool::connect_lazy_with(server.config().connection);
    let error = MysqlBackend::from_pool(pool, server.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("autocommit"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_unavailable_and_can_be_read() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let config = server.config();
    let primary = MysqlBackend::connect(config.clone()).await.unwrap();
    for number in 1..20 {
        create(&primary, number, record("x")).await;
    }
    drop(primary);
    let mut administrator = MySqlConnection::connect_with(&config.connection).await.unwrap();
    let account = "CREATE USER reader@'%' IDENTIFIED BY 'x'; GRANT ALL ON shop.* TO reader@'%'";
    administrator.execute(sqlx::raw_sql(account)).await.unwrap();
    administrator.close().await.unwrap();
    server.crash();
    server.run(&["--read-only"]).await;
    let mut config = config;
    config.connection = config.connection.username("reader").password("x");
    let backend = MysqlBackend::connect(config.clone()).await.unwrap();
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    for error in [
        backend.create(id(20), record("x"), now()).await.unwrap_err(),
        backend.touch(id(1), now(), now()).await.unwrap_err(),
        backend.purge_expired(at(NOW + 1_000), 1).await.unwrap_err(),
        MysqlBackend::migrate(config.with_table("another")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
    let touches: Vec<_> = (1..20)
        .map(|number| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.touch(id(number), now(), now()).await })
        })
        .collect();
    for touch in touches {
        let error = touch.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
}

/// As after a failover: the connection still leads to the server that was the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_takes_no_writes_is_replaced() {
    let Some(server) = PrivateServer::start(&[]).await else { return };
    let config = server.config().with_max_connections(NonZeroU32::MIN);
    create(&MysqlBackend::connect(config.clone()).await.unwrap(), 1, record("x")).await;
    let mut administrator = MySqlConnection::connect_with(&config.connection).await.unwrap();
    administrator.execute("SET GLOBAL tx_read_only = 1").await.unwrap();
    let backend = MysqlBackend::connect(config).await.unwrap();
    let error = backend.touch(id(1), now(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    administrator.execute("SET GLOBAL tx_read_only = 0").await.unwrap();
    assert!(backend.touch(id(1), now(), now()).await.unwrap());
}
