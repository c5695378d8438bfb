//! Several servers in one URL: where connections go, and where they go next.

use std::time::{Duration, Instant};

use crate::common::{create, id, now, record, shown};
use crate::private_server::{PASSWORD, PrivateServer};
use crate::proxy::Proxy;
use session_core::{ErrorKind, SessionBackend};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::{Connection, Executor, MySqlConnection};

/// Where a test waits no longer for what does not come.
const LONG: Duration = Duration::from_secs(60);

/// For what is silent: the other one must answer within it.
const WAIT: Duration = Duration::from_secs(5);

fn url_of(ports: &[u16], account: &str, options: &str) -> String {
    let places: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("mysql://{account}:x@{}/shop?{options}", places.join(","))
}

fn config(url: &str) -> MysqlConfig {
    MysqlConfig::from_url(url).unwrap().with_connect_timeout(LONG)
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

async fn administrate(server: &PrivateServer, sql: &'static str) {
    let mut connection = MySqlConnection::connect_with(&server.config().connection).await.unwrap();
    connection.execute(sqlx::raw_sql(sql)).await.unwrap();
    connection.close().await.unwrap();
}

/// Two servers that know nothing of each other show which of them was asked. `clerk` keeps to `read_only`.
async fn two_servers() -> Option<[PrivateServer; 2]> {
    let servers = [PrivateServer::start(&[]).await?, PrivateServer::start(&[]).await?];
    for (server, data) in servers.iter().zip(["first", "second"]) {
        create(&MysqlBackend::connect(server.config()).await.unwrap(), 1, record(data)).await;
        administrate(
            server,
            "CREATE USER clerk@'%' IDENTIFIED BY 'x'; GRANT ALL ON shop.* TO clerk@'%'; \
             CREATE USER chief@'%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO chief@'%'",
        )
        .await;
    }
    Some(servers)
}

async fn data(backend: &MysqlBackend) -> session_core::Result<String> {
    let record = backend.load(id(1), now()).await?.unwrap();
    Ok(String::from_utf8(record.data.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_to_the_first_that_takes_writes() {
    let Some(servers) = two_servers().await else { return };
    let [first, second] = servers.each_ref().map(|server| server.port);
    administrate(&servers[0], "SET GLOBAL read_only = 1").await;
    // Whoever may write on a replica all the same must not.
    for account in ["clerk", "chief"] {
        for ports in [[first, second], [second, first]] {
            let backend = MysqlBackend::connect(config(&url_of(&ports, account, ""))).await.unwrap();
            assert_eq!(data(&backend).await.unwrap(), "second");
        }
    }
    for url in
        [url_of(&[first], "clerk", "target_session_attrs=read-write"), url_of(&[1, first], "chief", "")]
    {
        let error = MysqlBackend::connect(config(&url)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
        let shown = shown(&error);
        assert!(shown.contains(&format!(":{first}")) && shown.contains("takes no writes"), "{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
    let any = url_of(&[first, second], "clerk", "target_session_attrs=any");
    let backend = MysqlBackend::connect(config(&any)).await.unwrap();
    assert_eq!(data(&backend).await.unwrap(), "first");
    let error = backend.touch(id(1), now(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_at_one_of_several_is_told_with_all_that_is_wrong() {
    let Some(servers) = two_servers().await else { return };
    let url = url_of(&[1, servers[0].port], "nobody", "");
    let error = MysqlBackend::connect(config(&url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    let shown = shown(&error);
    assert!(shown.contains("127.0.0.1:1 (") && shown.contains("Access denied"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_any_more_is_left() {
    let Some(servers) = two_servers().await else { return };
    let url = url_of(&servers.each_ref().map(|server| server.port), "clerk", "");
    let backend = MysqlBackend::connect(config(&url)).await.unwrap();
    // Connections that know the old server, more than the one that will notice.
    let lists = (0..20).map(|_| {
        let backend = backend.clone();
        tokio::spawn(async move { backend.list(None, None, 10, now()).await })
    });
    for list in lists.collect::<Vec<_>>() {
        list.await.unwrap().unwrap();
    }
    administrate(&servers[0], "SET GLOBAL read_only = 1").await;
    // The first write that meets it finds out.
    let error = backend.touch(id(1), record("").expires_at, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    // It is the last one. From then on no connection leads there, whoever has made it.
    let started = Instant::now();
    while data(&backend).await.unwrap() != "second" {
        assert!(started.elapsed() < LONG, "the other server was not found");
    }
    for _ in 0..50 {
        assert!(backend.touch(id(1), record("").expires_at, now()).await.unwrap());
        assert_eq!(data(&backend).await.unwrap(), "second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_ended_is_left_and_may_be_the_next_one_again() {
    let Some(mut servers) = two_servers().await else { return };
    let url = url_of(&servers.each_ref().map(|server| server.port), "clerk", "");
    let backend = MysqlBackend::connect(config(&url)).await.unwrap();
    for (stopped, expected) in [(0, "second"), (1, "first"), (0, "second")] {
        servers[stopped].crash();
        assert_eq!(until_answered(async || data(&backend).await).await, expected);
        servers[stopped].run(&[]).await;
    }
    // The old primary is a replica when it comes back, and nobody has met it meanwhile.
    servers[1].crash();
    servers[1].run(&["--read-only"]).await;
    assert_eq!(until_answered(async || data(&backend).await).await, "first");
}

/// No connection is lost that could tell, and the verb that waits for one is the one that gets the other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_before_it_was_used_is_left() {
    let Some(mut servers) = two_servers().await else { return };
    let url = url_of(&servers.each_ref().map(|server| server.port), "clerk", "");
    let backend = MysqlBackend::connect(config(&url).with_acquire_timeout(LONG)).await.unwrap();
    servers[0].crash();
    assert_eq!(data(&backend).await.unwrap(), "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left() {
    let Some(servers) = two_servers().await else { return };
    let proxy = Proxy::to(servers[0].port).await;
    let url = url_of(&[proxy.port, servers[1].port], "clerk", "");
    let backend = MysqlBackend::connect(config(&url)).await.unwrap();
    assert_eq!(data(&backend).await.unwrap(), "first");
    proxy.fall_silent();
    assert_eq!(until_answered(async || data(&backend).await).await, "second");
    // A new backend waits for it as long as it is told to.
    let backend = MysqlBackend::connect(config(&url).with_connect_timeout(WAIT)).await.unwrap();
    assert_eq!(data(&backend).await.unwrap(), "second");
}
