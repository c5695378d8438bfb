//! A cluster whose slots move, whose masters die, and which goes down as a whole.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Principal, SessionBackend, SessionId, UpdateOutcome,
};
use session_redis::{OnEviction, RedisBackend};

use crate::load::{Load, count, id, now, record};
use crate::node::until;
use crate::private_cluster::{MASTERS, PrivateCluster, SLOTS};

/// No node is taken for failed, however busy the machine is.
const NEVER: Duration = Duration::from_secs(600);
/// As quick as a machine that other tests keep busy allows.
const SOON: Duration = Duration::from_secs(2);

/// What the documentation says that a killed master may lose: what it has acknowledged within this time.
const BOUND: Duration = Duration::from_secs(1);

/// The slot of a session's key, by a formula that the driver does not share.
pub(crate) fn slot_of(prefix: &[u8], session: SessionId) -> usize {
    let key = [prefix, session.as_bytes()].concat();
    let open = key.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let close = key[open + 1..].iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| key[open + 1..open + 1 + close].to_vec())
    });
    let mut checksum: u16 = 0;
    for byte in tag.unwrap_or(key) {
        checksum ^= u16::from(byte) << 8;
        for _ in 0..8 {
            checksum = if checksum & 0x8000 == 0 { checksum << 1 } else { (checksum << 1) ^ 0x1021 };
        }
    }
    usize::from(checksum) % SLOTS
}

/// The value of `calls` of a command on a node.
async fn calls(cluster: &PrivateCluster, node: usize, command: &str) -> u64 {
    let stats: String = cluster.nodes[node].ask(&["INFO", "commandstats"]).await;
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirections_are_followed_and_a_key_on_its_way_is_found() {
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    let config = cluster.config();
    let backend = RedisBackend::connect(config.clone()).await.unwrap();
    for session in 0..4 {
        let outcome = backend.create(id(session), record("0"), now()).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
    }
    // Those of one slot each: here is one that has gone, one on the way, one yet to come to a slot on the way.
    let slot = slot_of(&config.prefix, id(0));
    let from = cluster.master_of(slot).await;
    let to = (from + 1) % MASTERS;
    cluster.move_slot(slot, from, to).await;
    assert_eq!(count(&backend.load(id(0), now()).await.unwrap().unwrap()), 0);

    let new = id(100);
    let slot = slot_of(&config.prefix, new);
    let from = cluster.master_of(slot).await;
    let to = (from + 1) % MASTERS;
    let name = slot.to_string();
    let (source, target) = (
        cluster.nodes[from].ask::<String>(&["CLUSTER", "MYID"]).await,
        cluster.nodes[to].ask::<String>(&["CLUSTER", "MYID"]).await,
    );
    cluster.nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &name, "IMPORTING", &source]).await;
    cluster.nodes[from].ask::<()>(&["CLUSTER", "SETSLOT", &name, "MIGRATING", &target]).await;
    // What is not there yet is written where the slot goes.
    assert_eq!(backend.create(new, record("0"), now()).await.unwrap(), CreateOutcome::Created);
    let mut next = record("1");
    next.revision = record("").revision.next(1);
    let outcome = backend.update(new, record("").revision, next.clone(), now()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    assert_eq!(backend.load(new, now()).await.unwrap(), Some(next));
    assert_eq!(backend.delete(new, None, now()).await.unwrap(), DeleteOutcome::Deleted);
    assert!(calls(&cluster, to, "asking").await >= 4, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_range_moves_under_writes_and_no_acknowledged_update_is_lost() {
    const SESSIONS: usize = 10_000;
    const MOVED: usize = 300;
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    let config = cluster.config();
    let backend = RedisBackend::connect(config.clone()).await.unwrap();
    let moved: Vec<usize> =
        (0..SESSIONS).filter(|session| slot_of(&config.prefix, id(*session)) < MOVED).collect();
    assert!(moved.len() > 50, "{} sessions are to move", moved.len());
    let load = Load::start_with(&backend, SESSIONS, 32, &moved).await;
    load.until_acknowledged(1_000).await;
    let (from, to) = (0, 1);
    for slot in 0..MOVED {
        cluster.move_slot(slot, from, to).await;
    }
    load.until_all_are_updated(&moved, Instant::now()).await;
    let outcome = load.finish().await;
    println!(
        "{MOVED} slots with {} sessions moved under {} updates: {} failed, {} lost; {} of `ASKING`",
        moved.len(),
        outcome.acknowledged,
        outcome.failures.len(),
        outcome.losses.len(),
        calls(&cluster, to, "asking").await,
    );
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert!(calls(&cluster, to, "asking").await > 0, "no key was asked for on its way");
    // Reads went where writes went.
    for replica in MASTERS..2 * MASTERS {
        assert_eq!(calls(&cluster, replica, "get").await, 0, "a replica was read from");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_loses_no_more_than_the_bound_and_is_replaced_without_help() {
    let Some(mut cluster) = PrivateCluster::start(SOON, &[]).await else { return };
    let config = cluster.config();
    let backend = RedisBackend::connect(config.clone()).await.unwrap();
    let load = Load::start(&backend, 10_000, 32).await;
    load.until_acknowledged(5_000).await;
    // Whoever that is by now: a busy machine may have changed it.
    let victim = cluster.master_of(0).await;
    let mut of_victim = Vec::new();
    for session in 0..200 {
        if cluster.master_of(slot_of(&config.prefix, id(session))).await == victim {
            of_victim.push(session);
        }
    }
    assert!(!of_victim.is_empty());
    let killed = Instant::now();
    cluster.nodes[victim].kill();
    load.until_all_are_updated(&of_victim, Instant::now()).await;
    let recovered = killed.elapsed();
    load.until_acknowledged(1_000).await;
    let outcome = load.finish().await;
    let early = |loss: &&crate::load::Loss| loss.acknowledged + BOUND < killed;
    println!(
        "a master killed under {} updates: {} failed, {} lost, all written again after {recovered:?}",
        outcome.acknowledged,
        outcome.failures.len(),
        outcome.losses.len()
    );
    assert_eq!(outcome.losses.iter().filter(early).count(), 0, "{:?}", outcome.losses);
    assert!(!outcome.failures.is_empty(), "nobody noticed");
    assert!(outcome.failures.iter().all(session_core::Error::is_retryable), "{:?}", outcome.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_went_down_is_found_again() {
    let Some(mut cluster) =
        PrivateCluster::start(SOON, &["--appendonly", "yes", "--appendfsync", "no"]).await
    else {
        return;
    };
    let backend = RedisBackend::connect(cluster.config()).await.unwrap();
    for session in 0..100 {
        let _ = backend.create(id(session), record("0"), now()).await.unwrap();
    }
    cluster.nodes.iter_mut().for_each(crate::node::Node::kill);
    for session in 0..10 {
        let error = backend.load(id(session), now()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
    }
    cluster.nodes.iter_mut().for_each(crate::node::Node::run);
    cluster.until_whole().await;
    for session in 0..100 {
        until("a session is there again", async || match backend.load(id(session), now()).await {
            Ok(stored) => stored == Some(record("0")),
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                false
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_through_all_masters_and_starts_again_when_slots_have_moved() {
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    let config = cluster.config();
    let backend = RedisBackend::connect(config.clone()).await.unwrap();
    let alice = Principal::new("alice").unwrap();
    let all: BTreeSet<_> = (0..300).map(id).collect();
    for session in &all {
        let record = record("0").with_principal(Some(alice.clone()));
        let _ = backend.create(*session, record, now()).await.unwrap();
    }
    // The walk goes from one to the next in the order of their names.
    let mut names = Vec::new();
    for node in 0..MASTERS {
        names.push((cluster.nodes[node].ask::<String>(&["CLUSTER", "MYID"]).await, node));
    }
    names.sort();
    let (first, last) = (names[0].1, names[MASTERS - 1].1);
    for principal in [None, Some(&alice)] {
        let (mut found, mut after, mut moved) = (BTreeSet::new(), None, 0);
        for page in 0.. {
            assert!(page < 1_000, "no end");
            // From the master that comes last to the one that has been walked through.
            if page == 9 {
                for session in all.iter().rev() {
                    let slot = slot_of(&config.prefix, *session);
                    if moved < 20 && !found.contains(session) && cluster.master_of(slot).await == last {
                        cluster.move_slot(slot, last, first).await;
                        moved += 1;
                    }
                }
            }
            let page = backend.list(principal, after, 20, now()).await.unwrap();
            found.extend(page.sessions.into_iter().map(|(id, _)| id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((found.len(), &found), (all.len(), &all), "{principal:?}");
        assert!(moved > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_evicts_is_refused_replica_or_not() {
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    // A node does not name a replica that has never received anything.
    let backend = RedisBackend::connect(cluster.config()).await.unwrap();
    for session in 0..30 {
        let _ = backend.create(id(session), record("0"), now()).await.unwrap();
    }
    for node in &cluster.nodes {
        until("a node names all replicas", async || {
            let ranges: Vec<Vec<redis::Value>> = node.ask(&["CLUSTER", "SLOTS"]).await;
            ranges.len() == MASTERS && ranges.iter().all(|range| range.len() == 4)
        })
        .await;
    }
    for node in [0, MASTERS + 1] {
        let set = async |name: &str, value: &str| {
            cluster.nodes[node].ask::<()>(&["CONFIG", "SET", name, value]).await;
        };
        set("maxmemory-policy", "allkeys-lru").await;
        set("maxmemory", "100mb").await;
        let error = RedisBackend::connect(cluster.config()).await.expect_err(&format!("node {node}"));
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("allkeys-lru"), "{error}");
        RedisBackend::connect(cluster.config().with_on_eviction(OnEviction::Allow)).await.unwrap();
        set("maxmemory-policy", "noeviction").await;
    }
    RedisBackend::connect(cluster.config()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_topology_is_refused() {
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    let mut config = cluster.config();
    config.topology = session_redis::RedisTopology::Standalone;
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("redis-cluster:"), "{error}");
    let error = RedisBackend::connect(cluster.config().with_database(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_own_clients_lead_to_the_cluster() {
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    let nodes = cluster.nodes[2..4]
        .iter()
        .map(|node| redis::Client::open(format!("redis://127.0.0.1:{}", node.port)).unwrap());
    let config = session_redis::RedisConfig::new("unused.invalid").with_prefix(cluster.config().prefix);
    let backend = RedisBackend::from_cluster_clients(nodes, config).await.unwrap();
    for session in 0..20 {
        let outcome = backend.create(id(session), record("0"), now()).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        assert!(backend.load(id(session), now()).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough_for_a_cluster() {
    let Some(cluster) = PrivateCluster::start(NEVER, &[]).await else { return };
    let documentation = include_str!("../../src/lib.rs");
    let start = documentation.find("ACL SETUSER app on").unwrap();
    let text = &documentation[start..][..documentation[start..].find("```").unwrap()];
    let rules: Vec<&str> = text.split_whitespace().filter(|word| *word != "//!").collect();
    let more = ["+cluster|slots", "+asking", "+wait"];
    assert!(more.iter().all(|right| documentation.contains(&format!("`{right}`"))));
    let config = cluster.config().with_prefix("session:").with_username("app").with_password("password");
    for node in &cluster.nodes {
        node.ask::<()>(&[&rules[..], &more].concat()).await;
    }
    let backend = RedisBackend::connect(config.clone().with_wait_replicas(1)).await.unwrap();
    let alice = Principal::new("alice").unwrap();
    for session in 0..10 {
        let record = record("0").with_principal(Some(alice.clone()));
        assert_eq!(backend.create(id(session), record, now()).await.unwrap(), CreateOutcome::Created);
    }
    for principal in [None, Some(&alice)] {
        let page = backend.list(principal, None, 1_000, now()).await.unwrap();
        assert!(!page.sessions.is_empty());
    }
    for (right, replicas) in [("cluster|slots", 0), ("wait", 1)] {
        for node in &cluster.nodes {
            node.ask::<()>(&["ACL", "SETUSER", "app", &format!("-{right}")]).await;
        }
        let error = RedisBackend::connect(config.clone().with_wait_replicas(replicas)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{right}: {error:?}");
        for node in &cluster.nodes {
            node.ask::<()>(&["ACL", "SETUSER", "app", &format!("+{right}")]).await;
        }
    }
}
