//! Masters that fail, or are made replicas, under sentinels.

use std::time::{Duration, Instant};

use session_core::{CreateOutcome, ErrorKind, SessionBackend, UpdateOutcome};
use session_redis::{RedisBackend, RedisTopology};

use crate::load::{Load, id, now, record};
use crate::node::until;
use crate::private_sentinel::PrivateSentinel;

const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(1);
/// What the documentation says that a killed master may lose: what it has acknowledged within this time.
const BOUND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_loses_no_more_than_the_bound_and_its_successor_is_found() {
    let Some(mut servers) = PrivateSentinel::start(SOON, None).await else { return };
    let backend = RedisBackend::connect(servers.config()).await.unwrap();
    let load = Load::start(&backend, 1_000, 16).await;
    load.until_acknowledged(5_000).await;
    let killed = Instant::now();
    servers.data[0].kill();
    load.until_all_are_updated(&(0..1_000).collect::<Vec<_>>(), Instant::now()).await;
    let recovered = killed.elapsed();
    let outcome = load.finish().await;
    println!(
        "a master killed under {} updates: {} failed, {} lost, all written again after {recovered:?}",
        outcome.acknowledged,
        outcome.failures.len(),
        outcome.losses.len()
    );
    let early = |loss: &&crate::load::Loss| loss.acknowledged + BOUND < killed;
    assert_eq!(outcome.losses.iter().filter(early).count(), 0, "{:?}", outcome.losses);
    assert!(!outcome.failures.is_empty(), "nobody noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_made_a_replica_is_left() {
    let Some(servers) = PrivateSentinel::start(NEVER, None).await else { return };
    let backend = RedisBackend::connect(servers.config()).await.unwrap();
    let load = Load::start(&backend, 100, 8).await;
    load.until_acknowledged(500).await;
    servers.fail_over().await;
    servers.until_master(1).await;
    load.until_all_are_updated(&(0..100).collect::<Vec<_>>(), Instant::now()).await;
    let outcome = load.finish().await;
    assert!(outcome.failures.iter().all(|error| error.is_retryable()), "{:?}", outcome.failures);
    // The new master has them: the driver did not stay with the old one.
    until("the sentinels have made a replica of the old one", async || {
        servers.data[0].says(&["INFO", "replication"], "role:slave").await
    })
    .await;
    let keys: usize = servers.data[1].ask(&["DBSIZE"]).await;
    assert_eq!(keys, 100);
}

/// As long as nobody closes the old connection: the write itself is what tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_replica_is_typed_and_the_next_one_finds_the_master() {
    let Some(servers) = PrivateSentinel::start(NEVER, None).await else { return };
    let backend = RedisBackend::connect(servers.config()).await.unwrap();
    assert_eq!(backend.create(id(1), record("0"), now()).await.unwrap(), CreateOutcome::Created);
    // Behind the sentinels' back, who would put it right in their own way.
    servers.sentinels.iter().for_each(|sentinel| sentinel.signal("STOP"));
    let (old, new) = (&servers.data[0], &servers.data[1]);
    new.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    old.ask::<()>(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]).await;
    let mut next = record("1");
    next.revision = record("").revision.next(1);
    let error = backend.update(id(1), record("").revision, next.clone(), now()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
    old.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    new.ask::<()>(&["REPLICAOF", "127.0.0.1", &old.port.to_string()]).await;
    until("the replica is linked", async || {
        new.says(&["INFO", "replication"], "master_link_status:up").await
    })
    .await;
    servers.sentinels.iter().for_each(|sentinel| sentinel.signal("CONT"));
    until("the master is found", async || {
        let outcome = backend.update(id(1), record("").revision, next.clone(), now()).await;
        matches!(outcome, Ok(UpdateOutcome::Updated | UpdateOutcome::Conflict(_)))
    })
    .await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(next));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_is_gone_is_not_missed_and_all_of_them_are() {
    let Some(mut servers) = PrivateSentinel::start(NEVER, None).await else { return };
    servers.sentinels[0].kill();
    let backend = RedisBackend::connect(servers.config()).await.unwrap();
    servers.sentinels[1].kill();
    servers.sentinels[2].kill();
    // Who has a connection needs no sentinel.
    assert_eq!(backend.load(id(1), now()).await.unwrap(), None);
    let error = RedisBackend::connect(servers.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_and_a_server_that_is_no_sentinel_are_mistakes() {
    let Some(servers) = PrivateSentinel::start(NEVER, None).await else { return };
    let config = |name: &str| {
        servers.config().with_topology(RedisTopology::Sentinel {
            master_name: name.to_owned(),
            username: None,
            password: None,
        })
    };
    let error = RedisBackend::connect(config("others")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("`others`"), "{error}");
    let mut of_data = config("sessions");
    (of_data.port, of_data.more_hosts) = (servers.data[0].port, Vec::new());
    let error = RedisBackend::connect(of_data).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_may_have_a_password_of_their_own() {
    let Some(servers) = PrivateSentinel::start(NEVER, Some("hunter2")).await else { return };
    let error = RedisBackend::connect(servers.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    let topology = RedisTopology::Sentinel {
        master_name: "sessions".to_owned(),
        username: None,
        password: Some("hunter2".to_owned()),
    };
    let config = servers.config().with_topology(topology);
    assert!(!format!("{config:?}").contains("hunter2"));
    RedisBackend::connect(config).await.unwrap();
    let clients = servers
        .sentinels
        .iter()
        .map(|node| redis::Client::open(format!("redis://:hunter2@127.0.0.1:{}", node.port)).unwrap());
    let master = redis::Client::open("redis://unused.invalid/2").unwrap();
    let backend = RedisBackend::from_sentinel_clients(clients, "sessions", master, servers.config());
    let backend = backend.await.unwrap();
    assert_eq!(backend.create(id(1), record("0"), now()).await.unwrap(), CreateOutcome::Created);
    let keys: String = servers.data[0].ask(&["INFO", "keyspace"]).await;
    assert!(keys.contains("db2:keys=1"), "{keys}");
}
