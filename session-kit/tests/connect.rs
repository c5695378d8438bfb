//! From URLs to stores: what works, and what each mistake says.

use std::error::Error as _;

use session_kit::ErrorKind;
#[cfg(any(
    feature = "file",
    feature = "memory",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
use session_kit::{Key, Result, SessionManager};

#[cfg(any(
    feature = "file",
    feature = "memory",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
const VIEWS: Key<u64> = Key::new("views");

async fn fails(url: &str) -> (ErrorKind, String) {
    let error = session_kit::connect(url).await.expect_err(url);
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    (error.kind(), format!("{error} {source} {error:?}"))
}

#[cfg(any(
    feature = "file",
    feature = "memory",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
async fn store_one(sessions: &SessionManager) -> Result<String> {
    let session = sessions.open(None).await?;
    session.insert(VIEWS, 7)?;
    match session.commit().await? {
        session_kit::Committed::SetToken { token, .. } => Ok(token.expose()),
        other => panic!("{other:?}"),
    }
}

#[cfg(any(
    feature = "file",
    feature = "memory",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
async fn read(sessions: &SessionManager, token: &str) -> Result<Option<u64>> {
    sessions.open(Some(token)).await?.get(VIEWS)
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn memory_is_a_store_of_its_own_each_time() -> Result<()> {
    let (one, other) = (session_kit::connect("memory:").await?, session_kit::connect("memory:").await?);
    let token = store_one(&one).await?;
    assert_eq!(read(&one, &token).await?, Some(7));
    assert_eq!(read(&other, &token).await?, None);
    Ok(())
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn memory_takes_a_capacity() -> Result<()> {
    let sessions = session_kit::connect("memory:?capacity=1").await?;
    let first = store_one(&sessions).await?;
    let second = store_one(&sessions).await?;
    assert_eq!(read(&sessions, &first).await?, None);
    assert_eq!(read(&sessions, &second).await?, Some(7));
    Ok(())
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_files_are_found_by_relative_absolute_and_encoded_paths() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a b?.db");
    let encoded = path.to_str().unwrap().replace(' ', "%20").replace('?', "%3F");
    let token = store_one(&session_kit::connect(&format!("sqlite:{encoded}")).await?).await?;
    assert!(path.exists());
    let again = session_kit::connect(&format!("sqlite://{encoded}?durability=power-loss")).await?;
    assert_eq!(read(&again, &token).await?, Some(7));
    let other_table = session_kit::connect(&format!("sqlite:{encoded}?table=others")).await?;
    assert_eq!(read(&other_table, &token).await?, None);
    Ok(())
}

#[cfg(feature = "file")]
#[tokio::test]
async fn directories_of_files_are_found_by_absolute_and_encoded_paths() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a b?");
    let encoded = path.to_str().unwrap().replace(' ', "%20").replace('?', "%3F");
    let token = store_one(&session_kit::connect(&format!("file:{encoded}")).await?).await?;
    let again = format!("file://{encoded}?durability=power-loss&busy_timeout=500&threads=2&create=false");
    assert_eq!(read(&session_kit::connect(&again).await?, &token).await?, Some(7));
    let missing = directory.path().join("missing");
    for (url, name) in [
        (format!("file:{}?create=false", missing.display()), "missing"),
        (format!("file:{}?durability=total", missing.display()), "`durability`"),
        (format!("file:{}?threads=0", missing.display()), "`threads`"),
        (format!("file:{}?tabel=y", missing.display()), "`tabel`"),
    ] {
        let (kind, message) = fails(&url).await;
        assert_eq!(kind, ErrorKind::Config, "{url}: {message}");
        assert!(message.contains(name), "{url}: {message}");
    }
    assert!(!missing.exists());
    Ok(())
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_store_that_must_exist_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    let (_, message) = fails(&format!("sqlite:{}?create=false", path.display())).await;
    assert!(!path.exists(), "{message}");
    let (kind, _) = fails(&format!("sqlite:{}?auto_migrate=false", path.display())).await;
    assert_eq!(kind, ErrorKind::SchemaMissing);
}

#[cfg(all(feature = "memory", feature = "sqlite"))]
#[tokio::test]
async fn a_mistake_is_an_error_that_names_it() {
    for (url, name) in [
        ("postgras://localhost/x", "`postgras:`"),
        ("sessions.db", "scheme"),
        ("", "scheme"),
        ("memory:?capacty=3", "`capacty`"),
        ("memory:?capacity=0", "`capacity`"),
        ("memory:?capacity=many", "`capacity`"),
        ("memory:somewhere", "no path"),
        ("sqlite:", "path"),
        ("sqlite:x.db?tabel=y", "`tabel`"),
        ("sqlite:x.db?table=y&table=z", "`table`"),
        ("sqlite:x.db?durability=total", "`durability`"),
        ("sqlite:x.db?auto_migrate=yes", "`auto_migrate`"),
        ("sqlite:x.db?table=a;drop", "table"),
    ] {
        let (kind, message) = fails(url).await;
        assert_eq!(kind, ErrorKind::Config, "{url}: {message}");
        assert!(message.contains(name), "{url}: {message}");
    }
    assert!(!std::path::Path::new("x.db").exists(), "options are checked before anything is made");
}

#[tokio::test]
async fn credentials_in_a_url_are_not_repeated() {
    let (_, message) = fails("nosql://user:hunter2@host/x?password=hunter2").await;
    assert!(!message.contains("hunter2"), "{message}");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_mistake_in_a_redis_url_is_an_error_that_names_it() {
    // Nobody listens on port 1: what is refused for its options has not been asked to connect.
    for (url, name) in [
        ("redis:", "redis[s]://"),
        ("redis://", "redis[s]://"),
        ("redis:///1", "redis[s]://"),
        ("redis://127.0.0.1:1/x", "redis[s]://"),
        ("redis://127.0.0.1:1/0#x", "redis[s]://"),
        ("redis://127.0.0.1:1?prefx=y", "`prefx`"),
        ("redis://127.0.0.1:1?expiry_slack=long", "`expiry_slack`"),
        ("redis://127.0.0.1:1?response_timeout=0", "timeout"),
        ("redis://127.0.0.1:1?eviction=maybe", "`eviction`"),
        ("redis://127.0.0.1:1?ca_file=x.pem", "`rediss:`"),
        ("rediss://127.0.0.1:1?ca_file=no-such-file.pem", "`ca_file`"),
        ("redis://:hunt?er2=hunter2@127.0.0.1:1", "percent-encoded"),
        ("redis://user:1?er2=hunter2@127.0.0.1:1", "%3F"),
        ("redis://:hunter2@127.0.0.1:1?prefx=hunter2", "`prefx`"),
    ] {
        let (kind, message) = fails(url).await;
        assert_eq!(kind, ErrorKind::Config, "{url}: {message}");
        assert!(message.contains(name), "{url}: {message}");
        assert!(!message.contains("hunter2") && !message.contains("er2"), "{message}");
    }
    let (kind, message) = fails("redis://:hunter2@127.0.0.1:1?connect_timeout=1000").await;
    assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_mistake_in_a_postgres_url_is_an_error_that_names_it() {
    for (url, name) in [
        ("postgres:hunter2", "postgres://"),
        ("postgres://role:hunter2@localhost/db?tabel=y", "`tabel`"),
        ("postgresql://role:hunter2@localhost/db?table=a;drop", "table"),
        ("postgres://role:hunter2@localhost/db?auto_migrate=yes", "`auto_migrate`"),
        ("postgres://role:hunter2@localhost/db?statement_timeout=0", "timeout"),
    ] {
        let (kind, message) = fails(url).await;
        assert_eq!(kind, ErrorKind::Config, "{url}: {message}");
        assert!(message.contains(name) && !message.contains("hunter2"), "{url}: {message}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_postgres_server_that_is_not_there_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (kind, message) = fails(&format!("postgres://role:hunter2@127.0.0.1:{port}/db")).await;
    assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[cfg(feature = "redis")]
async fn keeps_sessions_under_its_prefix(variable: &str) -> Result<()> {
    let Ok(server) = std::env::var(variable) else {
        let allowed = std::env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "{variable} names no server (SESSION_TEST_ALLOW_MISSING=1 to do without)");
        return Ok(());
    };
    let join = if server.contains('?') { '&' } else { '?' };
    let url = |prefix: &str| {
        format!(
            "{server}{join}prefix=kit%20test%3A{prefix}&expiry_slack=1000&eviction=allow&wait_timeout=900"
        )
    };
    let token = store_one(&session_kit::connect(&url("a")).await?).await?;
    let again = session_kit::connect(&url("a")).await?;
    assert_eq!(read(&again, &token).await?, Some(7));
    assert_eq!(read(&session_kit::connect(&url("b")).await?, &token).await?, None);
    let session = again.open(Some(token.as_str())).await?;
    session.destroy()?;
    let _ = session.commit().await?;
    assert_eq!(read(&again, &token).await?, None);
    Ok(())
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_keeps_sessions_under_its_prefix() -> Result<()> {
    keeps_sessions_under_its_prefix("SESSION_TEST_REDIS").await?;
    keeps_sessions_under_its_prefix("SESSION_TEST_REDIS_TLS").await
}

#[cfg(feature = "redis-cluster")]
#[tokio::test]
async fn a_cluster_keeps_sessions_under_its_prefix() -> Result<()> {
    keeps_sessions_under_its_prefix("SESSION_TEST_REDIS_CLUSTER").await
}

#[cfg(feature = "redis-sentinel")]
#[tokio::test]
async fn a_master_of_sentinels_keeps_sessions_under_its_prefix() -> Result<()> {
    keeps_sessions_under_its_prefix("SESSION_TEST_REDIS_SENTINEL").await
}

#[cfg(not(all(feature = "redis-cluster", feature = "redis-sentinel")))]
#[tokio::test]
async fn topologies_that_are_not_compiled_in_name_their_feature() {
    for (scheme, compiled_in) in [
        ("redis-cluster", cfg!(feature = "redis-cluster")),
        ("redis-sentinel", cfg!(feature = "redis-sentinel")),
    ] {
        if !compiled_in {
            let (kind, message) = fails(&format!("{scheme}://127.0.0.1/name")).await;
            assert_eq!(kind, ErrorKind::Config);
            assert!(message.contains(&format!("feature `{scheme}`")), "{message}");
        }
    }
}

#[cfg(not(feature = "redis"))]
#[tokio::test]
async fn redis_that_is_not_compiled_in_names_its_feature() {
    let (kind, message) = fails("rediss://127.0.0.1").await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(message.contains("feature `redis`"), "{message}");
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_sessions_are_shared_by_whoever_names_the_same_table() -> Result<()> {
    let Ok(url) = std::env::var("SESSION_TEST_POSTGRES") else {
        let allowed = std::env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_POSTGRES is not set");
        return Ok(());
    };
    let join = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{join}table=session_kit_test&auto_migrate=true");
    let (one, other) = (session_kit::connect(&url).await?, session_kit::connect(&url).await?);
    let token = store_one(&one).await?;
    assert_eq!(read(&other, &token).await?, Some(7));
    Ok(())
}

#[cfg(not(feature = "postgres"))]
#[tokio::test]
async fn postgres_that_is_not_compiled_in_names_its_feature() {
    let (kind, message) = fails("postgres://role:hunter2@localhost/db").await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(message.contains("feature `postgres`") && !message.contains("hunter2"), "{message}");
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_mistake_in_a_mysql_url_is_an_error_that_names_it() {
    for (url, name) in [
        ("mysql:hunter2", "mysql://"),
        ("mysql://account:hunter2@localhost/db?tabel=y", "`tabel`"),
        ("mariadb://account:hunter2@localhost/db?table=a;drop", "table"),
        ("mariadb://account:hunter2@localhost/db?auto_migrate=yes", "`auto_migrate`"),
        ("mysql://account:hunter2@localhost/db?statement_timeout=0", "timeout"),
    ] {
        let (kind, message) = fails(url).await;
        assert_eq!(kind, ErrorKind::Config, "{url}: {message}");
        assert!(message.contains(name) && !message.contains("hunter2"), "{url}: {message}");
    }
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mysql_sessions_are_shared_by_whoever_names_the_same_table() -> Result<()> {
    let Ok(url) = std::env::var("SESSION_TEST_MARIADB") else {
        let allowed = std::env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_MARIADB is not set");
        return Ok(());
    };
    let join = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{join}table=session_kit_test&auto_migrate=true");
    let other = url.replacen("mysql://", "mariadb://", 1);
    let (one, other) = (session_kit::connect(&url).await?, session_kit::connect(&other).await?);
    let token = store_one(&one).await?;
    assert_eq!(read(&other, &token).await?, Some(7));
    Ok(())
}

#[cfg(not(feature = "mysql"))]
#[tokio::test]
async fn mysql_that_is_not_compiled_in_names_its_feature() {
    for url in ["mysql://account:hunter2@localhost/db", "mariadb://account:hunter2@localhost/db"] {
        let (kind, message) = fails(url).await;
        assert_eq!(kind, ErrorKind::Config);
        assert!(message.contains("feature `mysql`") && !message.contains("hunter2"), "{message}");
    }
}

#[cfg(not(feature = "sqlite"))]
#[tokio::test]
async fn a_driver_that_is_not_compiled_in_names_its_feature() {
    let (kind, message) = fails("sqlite:x.db").await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(message.contains("feature `sqlite`"), "{message}");
}
