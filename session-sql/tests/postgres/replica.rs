//! A failover under load: what of the writes that were acknowledged is there on the server that takes over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::common::{LONG, at, id, now, patient, record};
use crate::private_server::PrivateServer;
use crate::replicas::{signal, url_of};
use session_core::{CreateOutcome, ErrorKind, Record, Revision, SessionBackend, UpdateOutcome};
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const WRITERS: u32 = 8;

/// How many writes are acknowledged before anything happens, and after all has happened.
const WRITES: u64 = 200;

/// What was written of one session: the revisions that were acknowledged, and the one that a failed write sent.
#[derive(Clone, Default)]
struct Log {
    acknowledged: Vec<Revision>,
    in_doubt: Option<Revision>,
}

/// Several tasks that write, each a session after the other, and note what they are told.
struct Load {
    logs: Mutex<BTreeMap<u32, Log>>,
    acknowledged: watch::Sender<u64>,
    failed: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    fn begin(backend: &PostgresBackend) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let load = Arc::new(Self {
            logs: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            failed: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let write = |writer| tokio::spawn(Arc::clone(&load).write(backend.clone(), writer));
        let writers = (0..WRITERS).map(write).collect();
        (load, writers)
    }

    /// Makes a session and changes it some times, then the next one. A session of which a write has failed is left as
    /// it is, to be looked at afterwards.
    async fn write(self: Arc<Self>, backend: PostgresBackend, writer: u32) {
        for number in 0.. {
            let session = number * WRITERS + writer;
            let mut current = record("0");
            let created = backend.create(id(session), current.clone(), now()).await;
            let created = created.map(|outcome| assert_eq!(outcome, CreateOutcome::Created));
            let mut is_well = self.note(session, current.revision, created);
            for value in 1..=10 {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                if !is_well {
                    break;
                }
                let next = changed(&current, value);
                let updated = backend.update(id(session), current.revision, next.clone(), now()).await;
                if updated.as_ref().is_ok_and(|outcome| *outcome != UpdateOutcome::Updated) {
                    // What it was to change has been lost.
                    break;
                }
                is_well = self.note(session, next.revision, updated.map(drop));
                current = next;
            }
        }
    }

    /// Whether the write was acknowledged.
    fn note(&self, session: u32, sent: Revision, answer: session_core::Result<()>) -> bool {
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry(session).or_default();
        match &answer {
            Ok(()) => {
                log.acknowledged.push(sent);
                self.acknowledged.send_modify(|count| *count += 1);
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                log.in_doubt = Some(sent);
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
        answer.is_ok()
    }

    fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits for so many more acknowledged writes.
    async fn acknowledges(&self, more: u64) {
        let goal = self.acknowledged() + more;
        let mut acknowledged = self.acknowledged.subscribe();
        timeout(LONG, acknowledged.wait_for(|count| *count >= goal)).await.unwrap().unwrap();
    }
}

fn changed(record: &Record, value: u32) -> Record {
    let mut next = record.clone();
    next.revision = record.revision.next(value);
    next.expires_at = at(next.expires_at.as_millis() + 1);
    next.data = value.to_string().into();
    next
}

/// A primary under load loses its replica's ear and then its life. The number of acknowledged writes, and of those that
/// the replica does not have when it has taken over.
async fn fail_over(mut primary: PrivateServer, replica: PrivateServer, commit: &str) -> (u64, u64) {
    let url = url_of(&[&primary, &replica], &format!("options=-c%20synchronous_commit%3D{commit}"));
    let backend = PostgresBackend::connect(PostgresConfig::from_url(&url).unwrap()).await.unwrap();
    let (load, writers) = Load::begin(&backend);
    load.acknowledges(WRITES).await;

    // From here on the replica hears nothing, as over a network that is torn.
    let mut witness = primary.connection().await;
    let pid: i32 = primary.ask("SELECT pid FROM pg_stat_replication").await;
    let sender = u32::try_from(pid).unwrap();
    signal("-STOP", sender);
    let torn = load.acknowledged();
    let started = Instant::now();
    // Until writes wait for the replica or, without waiting, many are acknowledged that it does not know.
    while waiting(&mut witness).await == 0 && load.acknowledged() < torn + WRITES {
        assert!(started.elapsed() < LONG, "the writers are stuck");
    }
    primary.kill(Some(sender));

    replica.promote();
    let started = Instant::now();
    while replica.ask::<bool>("SELECT pg_is_in_recovery()").await {
        assert!(started.elapsed() < LONG, "the replica was not promoted");
    }
    // The driver finds it by itself.
    load.acknowledges(WRITES).await;
    load.is_over.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(load.failed.load(Ordering::SeqCst) > 0, "nothing was under way");

    let logs = load.logs.lock().unwrap().clone();
    let successor = PostgresBackend::connect(patient(replica.config())).await.unwrap();
    let mut lost = 0;
    for (session, Log { acknowledged, in_doubt }) in logs {
        let found = successor.load(id(session), now()).await.unwrap().map(|record| record.revision);
        let kept = match found {
            None => 0,
            found if found == in_doubt => acknowledged.len(),
            Some(found) => 1 + acknowledged.iter().position(|sent| *sent == found).unwrap(),
        };
        lost += acknowledged.len() - kept;
    }
    (load.acknowledged(), lost as u64)
}

/// How many commits of the primary wait for the replica.
async fn waiting(witness: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    sqlx::query_scalar(sql).fetch_one(witness).await.unwrap()
}

async fn primary_with_replica(names: &str) -> Option<(PrivateServer, PrivateServer)> {
    let mut primary = PrivateServer::start(&[]).await?;
    PostgresBackend::migrate(patient(primary.config())).await.unwrap();
    let replica = primary.replica("replica").await;
    // With the name from the start, a commit would wait for the replica before there is one.
    primary.stop();
    primary.run(&[&format!("synchronous_standby_names={names}")]).await;
    let started = Instant::now();
    while primary.ask::<i64>("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").await == 0
    {
        assert!(started.elapsed() < LONG, "the replica does not follow");
    }
    Some((primary, replica))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_synchronous_replica_no_acknowledged_write_is_lost() {
    for commit in ["on", "remote_apply"] {
        let Some((primary, replica)) = primary_with_replica("replica").await else { return };
        let (acknowledged, lost) = fail_over(primary, replica, commit).await;
        println!("synchronous, with {commit}: {lost} of {acknowledged} acknowledged writes lost");
        assert!(acknowledged > 0);
        assert_eq!(lost, 0, "of {acknowledged}");
    }
}

/// It is lost that was under way to the replica, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn without_one_what_the_replica_has_not_heard_is_lost() {
    let Some((primary, replica)) = primary_with_replica("").await else { return };
    let (acknowledged, lost) = fail_over(primary, replica, "on").await;
    println!("asynchronous: {lost} of {acknowledged} acknowledged writes lost");
    assert!(lost > 0 && lost < acknowledged, "{lost} of {acknowledged}");
}

/// The pair that `cargo xtask services` starts, as its URL leads to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_with_a_replica_shows_a_commit_on_both() {
    let Ok(url) = std::env::var("SESSION_TEST_POSTGRES_REPLICA") else {
        let allowed = std::env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_POSTGRES_REPLICA is not set");
        eprintln!("not run: SESSION_TEST_POSTGRES_REPLICA is not set");
        return;
    };
    let config = patient(PostgresConfig::from_url(&url).unwrap());
    let mut replica = config.clone();
    replica.connection = replica.alternatives.remove(0);
    let table = format!("t{}", std::process::id());
    let backend = PostgresBackend::connect(config.clone().with_table(&table).with_auto_migrate(true)).await;
    let outcome = backend.unwrap().create(id(1), record("x"), now()).await;
    let follower = PostgresBackend::connect(replica.with_table(&table)).await;
    let found = match &follower {
        Ok(follower) => follower.load(id(1), now()).await.unwrap(),
        Err(error) => panic!("{error:?}"),
    };
    let refused = follower.unwrap().create(id(2), record("x"), now()).await.unwrap_err();
    let mut connection = PgConnection::connect_with(&config.connection).await.unwrap();
    let sql = format!("DROP TABLE {table} CASCADE; DROP FUNCTION {table}_text(bytea, boolean)");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    assert_eq!((outcome.unwrap(), found), (CreateOutcome::Created, Some(record("x"))));
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("read-only"), "{refused}");
}
