//! Users, passwords, rights, and servers that sessions may not be kept on.

use std::error::Error as _;

use crate::common::{Fixture, NOW, at, create, id, now, patient, principal, raw, record};
use crate::server::Server;
use session_core::{ErrorKind, Result, SessionBackend};
use session_redis::{OnEviction, RedisBackend, RedisConfig};

const SECRET: &str = "hunter2";

/// Connects and expects an error; its whole chain, after a look for the password in it.
async fn refused(config: RedisConfig) -> (ErrorKind, String) {
    let error = RedisBackend::connect(config).await.unwrap_err();
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let chain = format!("{error}: {source} / {error:?}");
    assert!(!chain.contains(SECRET), "{chain}");
    (error.kind(), chain)
}

async fn set_up(server: &Server, user: &str, rules: &[&str]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg(user);
    for rule in rules {
        command.arg(rule);
    }
    command.query_async::<()>(&mut raw(&server.url()).await).await.unwrap();
}

fn config(server: &Server, user: &str) -> RedisConfig {
    let config = RedisConfig::new("127.0.0.1").with_port(server.port());
    patient(config.with_username(user).with_password(SECRET))
}

/// Takes a session of somebody through every verb.
async fn live(backend: &RedisBackend) -> Result<()> {
    let old = record("{}").with_principal(principal("alice"));
    let mut new = old.clone().with_principal(principal("bob"));
    new.revision = old.revision.next(1);
    let _ = backend.create(id(1), old.clone(), now()).await?;
    let _ = backend.update(id(1), old.revision, new, now()).await?;
    backend.touch(id(1), at(NOW + 2_000), now()).await?;
    assert!(backend.load(id(1), now()).await?.is_some());
    for of in [None, principal("bob")] {
        assert_eq!(backend.list(of.as_ref(), None, 10, now()).await?.sessions.len(), 1);
    }
    let _ = backend.delete(id(1), None, now()).await?;
    Ok(())
}

/// The rules in the crate's documentation.
fn documented_rules() -> Vec<&'static str> {
    let documentation = include_str!("../../src/lib.rs");
    let start = documentation.find("ACL SETUSER app on").unwrap();
    let text = &documentation[start..][..documentation[start..].find("```").unwrap()];
    let words = text.split_whitespace().filter(|word| *word != "//!").skip(3);
    words.map(|word| if word == ">password" { ">hunter2" } else { word }).collect()
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let Some(server) = Server::start(&[]) else { return };
    let rules = documented_rules();
    assert!(rules.len() > 15, "{rules:?}");
    set_up(&server, "app", &rules).await;
    let backend = RedisBackend::connect(config(&server, "app").with_database(3)).await.unwrap();
    live(&backend).await.unwrap();
    // What is only cleaning up fails silently.
    let stats: String =
        redis::cmd("INFO").arg("errorstats").query_async(&mut raw(&server.url()).await).await.unwrap();
    assert!(!stats.contains("NOPERM"), "{stats}");
}

#[tokio::test]
async fn every_documented_right_is_needed() {
    let Some(server) = Server::start(&[]) else { return };
    let rules = documented_rules();
    for right in rules.iter().filter(|rule| rule.starts_with('+')) {
        let mut rules = rules.clone();
        rules.retain(|rule| rule != right);
        let user = format!("without{right}");
        // Nothing is left of the one before, the scripts that the server has learnt included.
        for command in [redis::cmd("FLUSHALL"), redis::cmd("SCRIPT").arg("FLUSH").clone()] {
            command.query_async::<()>(&mut raw(&server.url()).await).await.unwrap();
        }
        set_up(&server, &user, &rules).await;
        let errors_before = denials(&server).await;
        let outcome = match RedisBackend::connect(config(&server, &user).with_database(3)).await {
            Ok(backend) => live(&backend).await,
            Err(error) => Err(error),
        };
        // A missing right to clean up fails no verb; any other is `Config`.
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Config, "{right}: {error:?}");
        }
        assert!(denials(&server).await > errors_before, "{right} was not missed");
    }
}

/// How often the server has denied a right.
async fn denials(server: &Server) -> u64 {
    let log: Vec<redis::Value> =
        redis::cmd("ACL").arg("LOG").arg(1_000).query_async(&mut raw(&server.url()).await).await.unwrap();
    log.len() as u64
}

#[tokio::test]
async fn a_wrong_user_or_password_is_config() {
    let Some(server) = Server::start(&["--requirepass", "correct"]) else { return };
    let url = |credentials: &str| format!("redis://{credentials}127.0.0.1:{}", server.port());
    for credentials in ["", ":hunter2@", "default:hunter2@", "nobody:hunter2@", "nobody:correct@"] {
        let (kind, chain) = refused(RedisConfig::from_url(&url(credentials)).unwrap()).await;
        assert_eq!(kind, ErrorKind::Config, "{credentials}: {chain}");
    }
    for credentials in [":correct@", "default:correct@"] {
        RedisBackend::connect(RedisConfig::from_url(&url(credentials)).unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_user_without_password_is_still_that_user() {
    let Some(server) = Server::start(&[]) else { return };
    set_up(&server, "open", &["on", "nopass", "~*", "+@all"]).await;
    set_up(&server, "weak", &["on", "nopass"]).await;
    let config = |user: &str| RedisConfig::new("127.0.0.1").with_port(server.port()).with_username(user);
    RedisBackend::connect(config("open")).await.unwrap();
    // The default user of this server may do everything: signed in as it, this would work.
    assert_eq!(refused(config("weak")).await.0, ErrorKind::Config);
}

#[tokio::test]
async fn without_scripts_connecting_fails_at_once() {
    let Some(server) = Server::start(&[]) else { return };
    set_up(&server, "app", &["on", ">hunter2", "~*", "+@all", "-@scripting"]).await;
    let (kind, chain) = refused(config(&server, "app")).await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(chain.contains("right") && chain.contains("NOPERM"), "{chain}");
}

#[tokio::test]
async fn rights_and_passwords_may_change_under_a_backend() {
    let Some(server) = Server::start(&[]) else { return };
    set_up(&server, "app", &["on", ">hunter2", "~*", "+@all"]).await;
    let backend = RedisBackend::connect(config(&server, "app")).await.unwrap();
    create(&backend, 1, record("{}")).await;
    set_up(&server, "app", &["-evalsha"]).await;
    let error = backend.create(id(2), record("{}"), now()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Config, false));
    assert!(backend.load(id(1), now()).await.unwrap().is_some());
    set_up(&server, "app", &["+evalsha"]).await;
    create(&backend, 2, record("{}")).await;
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_allowed() {
    let Some(server) = Server::start(&["--maxmemory", "100mb"]) else { return };
    let fixture = Fixture::on(&server).await;
    let config = || RedisConfig::new("127.0.0.1").with_port(server.port());
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"] {
        fixture.ask::<()>("CONFIG", &[b"SET", b"maxmemory-policy", policy.as_bytes()]).await;
        let (kind, chain) = refused(config()).await;
        assert_eq!(kind, ErrorKind::Config, "{policy}");
        assert!(chain.contains(policy) && chain.contains("noeviction"), "{chain}");
        let backend = RedisBackend::connect(config().with_on_eviction(OnEviction::Allow)).await.unwrap();
        live(&backend).await.unwrap();
    }
    // A policy without a limit evicts nothing.
    fixture.ask::<()>("CONFIG", &[b"SET", b"maxmemory", b"0"]).await;
    RedisBackend::connect(config()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_say_is_refused_unless_allowed() {
    let Some(server) = Server::start(&[]) else { return };
    set_up(&server, "app", &["on", ">hunter2", "~*", "+@all", "-info"]).await;
    let (kind, chain) = refused(config(&server, "app")).await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(chain.contains("INFO") && chain.contains("allow"), "{chain}");
    RedisBackend::connect(config(&server, "app").with_on_eviction(OnEviction::Allow)).await.unwrap();
    // CONFIG is not needed to find out.
    set_up(&server, "app", &["+info", "-config"]).await;
    RedisBackend::connect(config(&server, "app")).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_config() {
    let Some(server) = Server::start(&["--databases", "2"]) else { return };
    let config = RedisConfig::new("127.0.0.1").with_port(server.port());
    RedisBackend::connect(config.clone().with_database(1)).await.unwrap();
    let (kind, chain) = refused(config.with_database(2)).await;
    assert_eq!(kind, ErrorKind::Config, "{chain}");
    assert!(chain.contains("database"), "{chain}");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_config() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes"]) else { return };
    for database in [0, 1] {
        let config = RedisConfig::new("127.0.0.1").with_port(server.port()).with_database(database);
        let (kind, chain) = refused(config).await;
        assert_eq!(kind, ErrorKind::Config);
        assert!(chain.contains("cluster"), "{chain}");
    }
}

#[tokio::test]
async fn a_full_server_is_unavailable_and_still_deletes() {
    let Some(server) = Server::start(&[]) else { return };
    let fixture = Fixture::on(&server).await;
    create(&fixture.backend, 1, record("{}").with_principal(principal("alice"))).await;
    fixture.ask::<()>("CONFIG", &[b"SET", b"maxmemory", b"1"]).await;
    let mut next = record("{}");
    next.revision = next.revision.next(1);
    for record in [record("{}"), record("{}").with_principal(principal("alice"))] {
        let error = fixture.backend.create(id(2), record, now()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
        assert!(error.to_string().contains("maxmemory"), "{error}");
    }
    let error = fixture.backend.update(id(1), record("").revision, next, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(fixture.backend.load(id(1), now()).await.unwrap().is_some());
    let _ = fixture.backend.delete(id(1), None, now()).await.unwrap();
    assert_eq!(fixture.backend.load(id(1), now()).await.unwrap(), None);
    assert_eq!(fixture.index().await, None);
}
