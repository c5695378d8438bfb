//! Servers that were cut off from each other, but not from the driver, and do not agree on who is the master.

use std::time::Duration;

use session_core::{CreateOutcome, ErrorKind, Principal, SessionBackend};
use session_redis::{RedisBackend, RedisConfig, RedisTopology};

use crate::fake_node::{Act, FakeNode};
use crate::load::{fresh_prefix, id, now, patient, record};
use crate::node::until;
use crate::private_sentinel::PrivateSentinel;

const NEVER: Duration = Duration::from_secs(600);
/// Behind those who answer at once, unless the machine is very busy.
const LATER: Duration = Duration::from_millis(50);

/// Until somebody stores it.
async fn until_stored(backend: &RedisBackend, session: usize) {
    until("a session is stored", async || match backend.create(id(session), record("0"), now()).await {
        Ok(outcome) => outcome == CreateOutcome::Created,
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            false
        }
    })
    .await;
}

/// Three nodes, all of whom name the first one.
fn nodes() -> [FakeNode; 3] {
    let nodes = [FakeNode::start(), FakeNode::start(), FakeNode::start()];
    nodes.iter().for_each(|node| node.name(&nodes[0]));
    nodes[0].act(Act::Answer(":1"));
    nodes
}

async fn connect(nodes: &[FakeNode]) -> RedisBackend {
    let mut config = nodes[0].config();
    config.more_hosts = nodes[1..].iter().map(|node| ("127.0.0.1".to_owned(), node.port)).collect();
    RedisBackend::connect(config).await.unwrap()
}

/// The first one has lost its slots to the second, and does not know it.
fn cut_off(nodes: &[FakeNode; 3], answer: &'static str) {
    nodes[0].act(Act::Answer(answer));
    nodes[1].act(Act::Answer(":1"));
    for node in &nodes[1..] {
        node.name(&nodes[1]);
        node.pause(LATER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cut_off_and_answers_first_is_outvoted() {
    let nodes = nodes();
    let backend = connect(&nodes).await;
    cut_off(&nodes, "-CLUSTERDOWN The cluster is down");
    until_stored(&backend, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_loads_its_data_may_have_been_replaced() {
    let nodes = nodes();
    let backend = connect(&nodes).await;
    cut_off(&nodes, "-LOADING Redis is loading the dataset in memory");
    until_stored(&backend, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_fails_finds_the_node_in_charge_as_well() {
    let nodes = nodes();
    let backend = connect(&nodes).await;
    cut_off(&nodes, "-CLUSTERDOWN The cluster is down");
    nodes[1].act(Act::Answer("_"));
    let alice = Principal::new("alice").unwrap();
    until("a list is complete", async || match backend.list(Some(&alice), None, 10, now()).await {
        Ok(page) => page.sessions.is_empty(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            false
        }
    })
    .await;
}

/// As happens to an application that is idle while its cluster moves to other machines.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_tells_who_serves_what_once_all_known_masters_are_gone() {
    let [master, replica, successor] = nodes();
    master.name_replica(&replica);
    let backend = RedisBackend::connect(master.config()).await.unwrap();
    replica.name(&successor);
    successor.act(Act::Answer(":1"));
    master.die();
    until_stored(&backend, 1).await;
    assert!(successor.scripts() > 0);
}

/// Three sentinels. The first, which answers first, names one master, the others another one.
fn sentinels(of_one: &FakeNode, of_most: &FakeNode) -> (Vec<FakeNode>, RedisConfig) {
    let sentinels: Vec<_> = (0..3).map(|_| FakeNode::start_as("sentinel")).collect();
    sentinels[0].name(of_one);
    for sentinel in &sentinels[1..] {
        sentinel.name(of_most);
        sentinel.pause(LATER);
    }
    let topology =
        RedisTopology::Sentinel { master_name: "sessions".to_owned(), username: None, password: None };
    let mut config = patient(RedisConfig::new("127.0.0.1").with_topology(topology));
    config.port = sentinels[0].port;
    config.more_hosts = sentinels[1..].iter().map(|node| ("127.0.0.1".to_owned(), node.port)).collect();
    (sentinels, config.with_prefix(fresh_prefix()))
}

/// It takes writes, all of which will be lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_few_sentinels_name_is_not_gone_to_when_that_of_most_is_away() {
    let (old, new) = (FakeNode::start_as("standalone"), FakeNode::start_as("standalone"));
    new.die();
    let (_sentinels, config) = sentinels(&old, &new);
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
}

/// Cuts the master off from its replica and the sentinels, which make a master of that. Nobody closes the driver's
/// connections.
async fn split(servers: &PrivateSentinel) {
    for sentinel in &servers.sentinels {
        sentinel.ask::<()>(&["SENTINEL", "REMOVE", "sessions"]).await;
    }
    let new = servers.data[1].port.to_string();
    servers.data[1].ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    for sentinel in &servers.sentinels {
        sentinel.ask::<()>(&["SENTINEL", "MONITOR", "sessions", "127.0.0.1", &new, "2"]).await;
    }
    until("the old master is alone", async || {
        servers.data[0].says(&["INFO", "replication"], "connected_slaves:0").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_refuses_for_lack_of_replicas_is_left_for_its_successor() {
    let Some(servers) = PrivateSentinel::start(NEVER, None).await else { return };
    let backend = RedisBackend::connect(servers.config()).await.unwrap();
    servers.data[0].ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    split(&servers).await;
    let error = backend.create(id(1), record("0"), now()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
    until_stored(&backend, 2).await;
    assert_eq!(servers.data[1].ask::<u64>(&["DBSIZE"]).await, 1);
    // Who finds nobody else stays where it is.
    for sentinel in &servers.sentinels {
        sentinel.ask::<()>(&["SENTINEL", "REMOVE", "sessions"]).await;
    }
    servers.data[1].ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    for session in 3..50 {
        let error = backend.create(id(session), record("0"), now()).await.unwrap_err();
        assert!(error.to_string().contains("fewer replicas"), "{error}");
        assert_eq!(backend.load(id(2), now()).await.unwrap(), Some(record("0")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_without_replicas_to_confirm_is_left_by_writes_and_reads() {
    let Some(servers) = PrivateSentinel::start(NEVER, None).await else { return };
    let config = servers.config().with_wait_replicas(1).with_wait_timeout(Duration::from_secs(2));
    let backend = RedisBackend::connect(config).await.unwrap();
    // Whether or not the replica confirms it in time.
    drop(backend.create(id(1), record("0"), now()).await);
    assert!(backend.load(id(1), now()).await.unwrap().is_some());
    split(&servers).await;
    // As by another process, which has found the new master.
    servers.data[1].ask::<()>(&["FLUSHALL"]).await;
    let error = backend.create(id(2), record("0"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    until("what was revoked is not read any more", async || {
        backend.load(id(1), now()).await.unwrap().is_none()
    })
    .await;
    // Nobody confirms this one either, but it is where it ought to be.
    until("writes go to the new master", async || {
        let error = backend.create(id(3), record("0"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
        servers.data[1].ask::<u64>(&["DBSIZE"]).await == 1
    })
    .await;
    // An entry in an index that a failover may undo does not become a session that lists do not know.
    let of_alice = record("0").with_principal(Some(Principal::new("alice").unwrap()));
    let error = backend.create(id(4), of_alice, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    assert_eq!(backend.load(id(4), now()).await.unwrap(), None);
}
