//! What a failover loses when the replica lags, and what waiting for it changes.

use std::time::{Duration, Instant};

use session_core::{CreateOutcome, ErrorKind, SessionBackend, UpdateOutcome};
use session_redis::{RedisBackend, RedisConfig};

use crate::load::{Load, count, id, now, record};
use crate::node::until;
use crate::private_sentinel::PrivateSentinel;

const SESSIONS: usize = 4;
/// Much more than the system keeps on its way to a replica that stands still.
const BYTES: usize = 1 << 20;
const ROUNDS: u64 = 40;

/// How many of the acknowledged updates are gone after this: the replica stands still, the master takes updates of
/// more than the network holds and dies, the replica goes on and is promoted.
async fn lost(servers: &mut PrivateSentinel, config: RedisConfig) -> (u64, u64) {
    let backend = RedisBackend::connect(config).await.unwrap();
    let padding = "x".repeat(BYTES);
    for session in 0..SESSIONS {
        let outcome = backend.create(id(session), record("0"), now()).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
    }
    servers.data[1].signal("STOP");
    let (mut acknowledged, mut known) = ([0; SESSIONS], vec![record("0"); SESSIONS]);
    for round in 1..=ROUNDS {
        for session in 0..SESSIONS {
            let mut next = record(format!("{round} {padding}"));
            next.revision = known[session].revision.next(1);
            match backend.update(id(session), known[session].revision, next.clone(), now()).await {
                Ok(outcome) => {
                    assert_eq!(outcome, UpdateOutcome::Updated);
                    acknowledged[session] = round;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}"),
            }
            // It stands on the master, whatever was answered.
            known[session] = next;
        }
    }
    servers.data[0].kill();
    servers.data[1].signal("CONT");
    servers.until_master(1).await;
    let mut gone = 0;
    for (session, acknowledged) in acknowledged.iter().enumerate() {
        let mut stored = None;
        until("the new master is found", async || match backend.load(id(session), now()).await {
            Ok(record) => {
                stored = record;
                true
            }
            Err(_) => false,
        })
        .await;
        gone += acknowledged.saturating_sub(stored.map_or(0, |record| count(&record)));
    }
    (acknowledged.iter().sum(), gone)
}

/// Sentinels that wait long enough for the replica to stand still, and not too long.
async fn servers() -> Option<PrivateSentinel> {
    PrivateSentinel::start(Duration::from_secs(3), None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_waiting_a_failover_loses_what_the_replica_had_not_received() {
    let Some(mut servers) = servers().await else { return };
    let config = servers.config();
    let (acknowledged, lost) = lost(&mut servers, config).await;
    println!("a replica that stood still: {lost} of {acknowledged} acknowledged updates lost");
    assert_eq!(acknowledged, ROUNDS * SESSIONS as u64);
    assert!(lost > 0, "the test shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_confirmed_survives_and_the_rest_was_never_acknowledged() {
    let Some(mut servers) = servers().await else { return };
    let config = servers.config().with_wait_replicas(1).with_wait_timeout(Duration::from_millis(5));
    let (acknowledged, lost) = lost(&mut servers, config).await;
    println!("with wait_replicas: {lost} of {acknowledged} acknowledged updates lost");
    assert_eq!((acknowledged, lost), (0, 0), "acknowledged though no replica had it");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_waiting_a_killed_master_loses_nothing_that_was_acknowledged() {
    let Some(mut servers) = PrivateSentinel::start(Duration::from_secs(1), None).await else { return };
    let config = servers.config().with_wait_replicas(1).with_wait_timeout(Duration::from_millis(200));
    let backend = RedisBackend::connect(config).await.unwrap();
    let load = Load::start(&backend, 1_000, 16).await;
    load.until_acknowledged(2_000).await;
    servers.data[0].kill();
    servers.until_master(1).await;
    let outcome = load.finish().await;
    println!(
        "a master killed under {} updates that a replica confirmed: {} lost",
        outcome.acknowledged,
        outcome.losses.len()
    );
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    // Nobody is left to confirm.
    let mut session = 5_000;
    until("a write is done", async || {
        session += 1;
        let error = backend.create(id(session), record("0"), now()).await.unwrap_err();
        error.kind() == ErrorKind::Indeterminate
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_replicas_are_indeterminate_and_reads_do_not_wait() {
    let Some(servers) = PrivateSentinel::start(Duration::from_secs(600), None).await else { return };
    let wait = Duration::from_secs(20);
    let config = servers.config().with_wait_replicas(2).with_wait_timeout(wait);
    let backend = RedisBackend::connect(config).await.unwrap();
    let start = Instant::now();
    let write = backend.create(id(1), record("0"), now());
    let read = async {
        until("the session is there", async || backend.load(id(1), now()).await.unwrap().is_some()).await;
        start.elapsed()
    };
    let (created, seen_after) = tokio::join!(write, read);
    let error = created.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    assert!(error.to_string().contains("1 of 2 replicas"), "{error}");
    assert!(seen_after < wait, "a read has waited for {seen_after:?}");
    assert!(start.elapsed() >= wait);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_there_makes_it_a_success() {
    let Some(servers) = PrivateSentinel::start(Duration::from_secs(600), None).await else { return };
    let config = servers.config().with_wait_replicas(1).with_wait_timeout(Duration::from_secs(25));
    let prefix = config.prefix.clone();
    let backend = RedisBackend::connect(config).await.unwrap();
    assert_eq!(backend.create(id(1), record("0"), now()).await.unwrap(), CreateOutcome::Created);
    let mut next = record("1");
    next.revision = record("").revision.next(1);
    let outcome = backend.update(id(1), record("").revision, next.clone(), now()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    // Not sooner or later, but now.
    let key = [&prefix[..], id(1).as_bytes()].concat();
    let mut replica = servers.data[1].connect().await.unwrap();
    let there: bool = redis::cmd("EXISTS").arg(key).query_async(&mut replica).await.unwrap();
    assert!(there);
}
