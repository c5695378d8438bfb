//! What breaks on the way: restarts, replicas, silence, strangers. No command is ever sent again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{Fixture, LONG, create, fresh_prefix, id, now, patient, record};
use crate::server::{Server, free_port};
use session_core::{ErrorKind, SessionBackend};
use session_redis::{RedisBackend, RedisConfig};

/// A limit that a test waits for, and that a busy machine does not reach by itself.
const SHORT: Duration = Duration::from_secs(3);

fn config(port: u16) -> RedisConfig {
    patient(RedisConfig::new("127.0.0.1").with_port(port).with_prefix(fresh_prefix()))
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let backend = RedisBackend::connect(config(server.port())).await.unwrap();
    create(&backend, 1, record("{}")).await;
    for _ in 0..3 {
        server.stop();
        let start = Instant::now();
        for _ in 0..5 {
            let error = backend.load(id(1), now()).await.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
        }
        assert!(start.elapsed() < LONG, "refused, and yet waited for");
        server.run();
        // The first verb already finds it, or finds it loading.
        loop {
            match backend.load(id(1), now()).await {
                Ok(found) => break assert_eq!(found, Some(record("{}"))),
                Err(error) => assert!(error.to_string().contains("loading"), "{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let Some(server) = Server::start(&[]) else { return };
    let fixture = Fixture::on(&server).await;
    create(&fixture.backend, 1, record("{}")).await;
    for _ in 0..20 {
        fixture.ask::<i64>("CLIENT", &[b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes"]).await;
        // Once its end has arrived, no verb fails on it.
        let deadline = Instant::now() + LONG;
        while format!("{:?}", fixture.backend).contains("is_open: true") {
            assert!(Instant::now() < deadline, "the end of the connection goes unnoticed");
            tokio::task::yield_now().await;
        }
        assert!(fixture.backend.load(id(1), now()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_applications_own_client_says_where_and_as_whom() {
    let Some(server) = Server::start(&["--requirepass", "hunter2"]) else { return };
    let client = redis::Client::open(format!("redis://:hunter2@127.0.0.1:{}/3", server.port())).unwrap();
    let config = patient(RedisConfig::new("unused.invalid").with_prefix(fresh_prefix()));
    let backend = RedisBackend::from_client(client.clone(), config).await.unwrap();
    create(&backend, 1, record("{}")).await;
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(redis::cmd("DBSIZE").query_async::<u64>(&mut connection).await.unwrap(), 1);
    assert!(!format!("{backend:?}").contains("hunter2"));
}

#[tokio::test]
async fn nobody_there_is_unavailable_at_once() {
    let start = Instant::now();
    let error = RedisBackend::connect(config(free_port())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < LONG, "refused, and yet waited for");
    let nowhere = RedisConfig::new("no-such-host.invalid").with_connect_timeout(LONG);
    let error = RedisBackend::connect(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_stranger_is_an_error() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\x15\x03\x01\x00\x02", b""] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(answer);
        });
        let error = RedisBackend::connect(config(port)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_is_silent_is_unavailable_in_time() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let start = Instant::now();
    let limit = Duration::from_millis(500);
    let config = config(listener.local_addr().unwrap().port()).with_connect_timeout(limit);
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let elapsed = start.elapsed();
    assert!(elapsed >= limit && elapsed < LONG, "{elapsed:?}");
}

#[tokio::test]
async fn a_replica_is_unavailable_and_left() {
    let Some(server) = Server::start(&[]) else { return };
    let fixture = Fixture::on(&server).await;
    create(&fixture.backend, 1, record("{}")).await;
    let master = free_port().to_string();
    fixture.ask::<()>("REPLICAOF", &[b"127.0.0.1", master.as_bytes()]).await;
    let error = fixture.backend.create(id(2), record("{}"), now()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error:?}");
    // Its connection is gone, and a new one finds a replica: nothing is read from it.
    let error = fixture.backend.load(id(1), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("replica"), "{error}");
    fixture.ask::<()>("REPLICAOF", &[b"NO", b"ONE"]).await;
    create(&fixture.backend, 2, record("{}")).await;
}

#[tokio::test]
async fn who_waited_for_an_attempt_shares_its_failure() {
    let Some(mut server) = Server::start(&[]) else { return };
    let config = config(server.port()).with_connect_timeout(SHORT);
    let backend = RedisBackend::connect(config).await.unwrap();
    server.stop();
    // A listener that accepts nothing takes its place: each attempt lasts until its timeout.
    let listener = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    backend.load(id(1), now()).await.unwrap_err();
    let start = Instant::now();
    let mut verbs = tokio::task::JoinSet::new();
    // One after the other they would take ten minutes.
    for number in 0..200 {
        let backend = backend.clone();
        verbs.spawn(async move { backend.load(id(number), now()).await.unwrap_err().kind() });
    }
    while let Some(kind) = verbs.join_next().await {
        assert_eq!(kind.unwrap(), ErrorKind::Unavailable);
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= SHORT - Duration::from_millis(100), "nobody has waited: {elapsed:?}");
    assert!(elapsed < LONG, "one after the other: {elapsed:?}");
    drop(listener);
}

/// Stands between driver and server, and counts what the server is sent.
struct Relay {
    port: u16,
    /// Passes requests on, but no replies.
    is_deaf: Arc<AtomicBool>,
    /// Closes a connection when a reply comes.
    cuts: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    async fn start(target: u16) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            is_deaf: Arc::default(),
            cuts: Arc::default(),
            connections: Arc::default(),
        };
        let (is_deaf, cuts, connections) =
            (Arc::clone(&relay.is_deaf), Arc::clone(&relay.cuts), Arc::clone(&relay.connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let target = SocketAddr::from(([127, 0, 0, 1], target));
                let server = tokio::net::TcpStream::connect(target).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let requests = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                });
                let (is_deaf, cuts) = (Arc::clone(&is_deaf), Arc::clone(&cuts));
                tokio::spawn(async move {
                    let mut buffer = [0; 65536];
                    while let Ok(len @ 1..) = from_server.read(&mut buffer).await {
                        if cuts.load(Ordering::SeqCst) {
                            break;
                        }
                        if !is_deaf.load(Ordering::SeqCst)
                            && to_client.write_all(&buffer[..len]).await.is_err()
                        {
                            break;
                        }
                    }
                    requests.abort();
                });
            }
        });
        relay
    }
}

/// How many scripts the server has run since its statistics were reset.
async fn scripts_run(fixture: &Fixture) -> u32 {
    let stats: String = fixture.ask("INFO", &[b"commandstats"]).await;
    let calls = stats.lines().filter(|line| line.starts_with("cmdstat_eval"));
    calls.filter_map(|line| line.split(['=', ',']).nth(1)?.parse::<u32>().ok()).sum()
}

#[tokio::test]
async fn a_create_whose_reply_is_lost_is_not_sent_again() {
    let Some(server) = Server::start(&[]) else { return };
    let fixture = Fixture::on(&server).await;
    for deaf in [true, false] {
        let relay = Relay::start(server.port()).await;
        let config = config(relay.port).with_response_timeout(SHORT);
        let backend = RedisBackend::connect(config).await.unwrap();
        create(&backend, 1, record("{}")).await;
        fixture.ask::<()>("CONFIG", &[b"RESETSTAT"]).await;
        let (fault, kind) =
            if deaf { (&relay.is_deaf, ErrorKind::Timeout) } else { (&relay.cuts, ErrorKind::Unavailable) };
        fault.store(true, Ordering::SeqCst);
        let error = backend.create(id(2), record("{}"), now()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        fault.store(false, Ordering::SeqCst);
        // The next verb takes a new connection, on which nothing is repeated.
        assert!(backend.load(id(2), now()).await.unwrap().is_some(), "it has landed");
        assert_eq!(relay.connections.load(Ordering::SeqCst), 2);
        assert_eq!(scripts_run(&fixture).await, 1, "deaf: {deaf}");
        let _ = backend.delete(id(2), None, now()).await.unwrap();
        assert_eq!(backend.load(id(2), now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn silence_is_a_timeout_and_the_next_verb_has_a_new_connection() {
    let Some(server) = Server::start(&[]) else { return };
    let relay = Relay::start(server.port()).await;
    let config = config(relay.port).with_connect_timeout(SHORT).with_response_timeout(SHORT);
    let backend = RedisBackend::connect(config).await.unwrap();
    create(&backend, 1, record("{}")).await;
    relay.is_deaf.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let error = backend.load(id(1), now()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true));
    let error = backend.load(id(1), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(start.elapsed() < LONG);
    relay.is_deaf.store(false, Ordering::SeqCst);
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("{}")));
}
