//! Servers that cannot be used, for good or for now: a typed error each time, in bounded time.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, ToSocketAddrs as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread;
use std::time::{Duration, Instant};

use conformance_tests::network::{Fault, FaultProxy};
use session_core::{DeleteOutcome, Error, ErrorKind, SessionBackend};

use crate::common::{LONG, create, hold, id, locking, now, record, shown, with_table};
use crate::dialect::{self, Backend, Config, LOCK_TABLE, LOCK_TIMED_OUT, SCHEME, STATEMENT_TIMED_OUT};

/// The limit that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

async fn refused(config: Config) -> Error {
    Backend::connect(config).await.unwrap_err()
}

#[test]
fn a_held_row_times_out_and_others_go_on() {
    with_table(async |table| {
        let config = table.config.clone().with_lock_timeout(PATIENCE);
        let backend = Backend::connect(config).await.unwrap();
        create(&backend, 1, record("old")).await;
        create(&backend, 2, record("other")).await;
        let before = table.dump().await;
        let lock = hold(table, &locking(1)).await;
        let started = Instant::now();
        let revision = record("").revision;
        let (update, touch, delete, load, other) = tokio::join!(
            backend.update(id(1), revision, record("new"), now()),
            backend.touch(id(1), now(), now()),
            backend.delete(id(1), None, now()),
            backend.load(id(1), now()),
            backend.touch(id(2), now(), now()),
        );
        for error in [update.unwrap_err(), touch.unwrap_err(), delete.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(
                error.is_retryable() && shown(&error).contains(LOCK_TIMED_OUT),
                "by lock_timeout: {error:?}"
            );
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= dialect::lock_patience(PATIENCE) && elapsed < LONG, "{elapsed:?}");
        assert_eq!(load.unwrap(), Some(record("old")), "readers wait for nobody");
        assert!(other.unwrap());
        drop(lock);
        assert_eq!(table.dump().await, before, "what timed out has not happened and will not");
        assert_eq!(backend.delete(id(1), None, now()).await.unwrap(), DeleteOutcome::Deleted);
    });
}

#[test]
fn a_held_table_times_out_for_everybody() {
    with_table(async |table| {
        let backend = Backend::connect(table.config.clone().with_lock_timeout(PATIENCE)).await.unwrap();
        let short = table.config.clone().with_statement_timeout(PATIENCE);
        let by_statement = Backend::connect(short).await.unwrap();
        let lock = hold(table, LOCK_TABLE).await;
        let started = Instant::now();
        let (create, purge, list, load) = tokio::join!(
            backend.create(id(1), record("x"), now()),
            backend.purge_expired(now(), 1),
            backend.list(None, None, 1, now()),
            by_statement.load(id(1), now()),
        );
        let (create, purge, list) = (create.unwrap_err(), purge.unwrap_err(), list.unwrap_err());
        for (error, limit) in [
            (create, LOCK_TIMED_OUT),
            (purge, LOCK_TIMED_OUT),
            (list, LOCK_TIMED_OUT),
            (load.unwrap_err(), STATEMENT_TIMED_OUT),
        ] {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            assert!(shown(&error).contains(limit), "the server's own answer: {error:?}");
        }
        assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
        drop(lock);
        create_after(&backend).await;
    });
}

pub(crate) async fn create_after(backend: &Backend) {
    create(backend, 1, record("x")).await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
}

#[test]
fn a_pool_that_is_in_use_is_overloaded_and_recovers() {
    with_table(async |table| {
        let config = table
            .config
            .clone()
            .with_max_connections(NonZeroU32::MIN)
            .with_acquire_timeout(PATIENCE * 4)
            .with_queue_capacity(NonZeroUsize::MIN.saturating_add(1));
        let backend = Backend::connect(config).await.unwrap();
        let lock = hold(table, LOCK_TABLE).await;
        let load = || {
            let backend = backend.clone();
            tokio::spawn(async move { backend.load(id(1), now()).await.map_err(|error| error.kind()) })
        };
        // Has the one connection once the server says that it waits.
        let holds = load();
        while dialect::waiting(table).await == 0 {
            assert!(!holds.is_finished(), "it did not wait");
        }
        let started = Instant::now();
        let (mut waits, mut beyond) = (load(), load());
        // Either of the two may have got the last place in the queue.
        let first = tokio::select! {
            one = &mut beyond => one,
            other = &mut waits => {
                std::mem::swap(&mut waits, &mut beyond);
                other
            }
        };
        assert_eq!(first.unwrap(), Err(ErrorKind::Overloaded), "the queue is full");
        assert!(!waits.is_finished(), "who is beyond the queue does not wait");
        assert_eq!(waits.await.unwrap(), Err(ErrorKind::Overloaded), "no connection became free");
        assert!(started.elapsed() >= PATIENCE * 4);
        assert!(!holds.is_finished());
        drop(lock);
        assert_eq!(holds.await.unwrap(), Ok(None));
        create_after(&backend).await;
    });
}

#[test]
fn a_server_that_is_not_there_is_unavailable_in_bounded_time() {
    with_table(async |_| {
        // Nobody listens here, nor can anybody else.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let config = Config::from_url(&format!("{SCHEME}://role:hunter2@127.0.0.1:{port}/db")).unwrap();
        let started = Instant::now();
        let error = refused(config.with_connect_timeout(LONG)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
        assert!(started.elapsed() < LONG, "refused, and yet waited for");

        let config = Config::from_url(&format!("{SCHEME}://role:hunter2@no-such-host.invalid/db")).unwrap();
        let error = refused(config.with_connect_timeout(LONG)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
    });
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    with_table(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Config::from_url(&format!("{SCHEME}://role:hunter2@127.0.0.1:{port}/db")).unwrap();
        let started = Instant::now();
        let error = refused(config.with_connect_timeout(PATIENCE)).await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(started.elapsed() >= PATIENCE && started.elapsed() < LONG);
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
    });
}

#[test]
fn a_server_of_something_else_is_an_error() {
    with_table(async |_| {
        for greeting in
            [&b""[..], b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR hm\r\n"]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                if !dialect::SERVER_SPEAKS_FIRST {
                    let _ = stream.read(&mut [0; 64]);
                }
                stream.write_all(greeting).unwrap();
            });
            let url = format!("{SCHEME}://role:hunter2@127.0.0.1:{port}/db?{}", dialect::WITHOUT_TLS);
            let error = refused(Config::from_url(&url).unwrap()).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(!shown(&error).contains("hunter2"), "{error:?}");
            server.join().unwrap();
        }
    });
}

#[test]
fn an_unknown_database_is_a_mistake_of_the_configuration() {
    with_table(async |table| {
        let mut config = table.config.clone();
        config.connection = config.connection.database("no_such_database");
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(shown(&error).contains("no_such_database"), "{error:?}");
    });
}

#[test]
fn values_out_of_their_limits_are_refused_before_anything_is_made() {
    with_table(async |table| {
        for config in [
            table.config.clone().with_table(format!("sessions{}; DROP TABLE users; --", dialect::QUOTE)),
            table.config.clone().with_statement_timeout(Duration::ZERO),
            table.config.clone().with_acquire_timeout(Duration::MAX),
        ] {
            assert_eq!(refused(config.clone()).await.kind(), ErrorKind::Config);
            assert_eq!(Backend::migrate(config).await.unwrap_err().kind(), ErrorKind::Config);
        }
        assert!(table.rows(dialect::TABLES).await.is_empty());
    });
}

#[test]
fn a_table_that_changes_while_running_is_schema_missing_until_it_is_back() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = Backend::connect(config).await.unwrap();
        create_after(&backend).await;
        table.execute(dialect::RENAME).await.unwrap();
        for error in [
            backend.load(id(1), now()).await.unwrap_err(),
            backend.create(id(1), record("x"), now()).await.unwrap_err(),
            backend.purge_expired(now(), 1).await.unwrap_err(),
            backend.list(None, None, 1, now()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
            assert!(error.to_string().contains("migrate"), "{error}");
        }
        table.execute(dialect::RENAME_BACK).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));

        table.execute(dialect::SPOIL).await.unwrap();
        for _ in 0..2 {
            assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::SchemaMissing);
        }
        table.execute(dialect::MEND).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}

#[test]
fn connections_that_the_server_ended_are_replaced() {
    with_table(async |table| {
        let config = dialect::distinct(table).await.with_max_connections(NonZeroU32::MIN);
        let backend = Backend::connect(config).await.unwrap();
        create_after(&backend).await;
        dialect::end_distinct(table).await;
        // At most the verb that finds the dead connection fails, and says that it may be tried again.
        if let Err(error) = backend.load(id(1), now()).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}

/// The pool asks the server before it takes back what nobody has used for a while.
#[test]
fn a_connection_that_falls_silent_while_it_is_unused_is_replaced() {
    with_table(async |table| {
        let options = &table.config.connection;
        let server = (options.get_host(), options.get_port()).to_socket_addrs().unwrap().next().unwrap();
        let mut proxy = FaultProxy::start(server).await.unwrap();
        let mut config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let (host, port) = (proxy.address().ip().to_string(), proxy.address().port());
        config.connection = config.connection.host(&host).port(port);
        create_after(&Backend::connect(table.config.clone()).await.unwrap()).await;
        let backend = Backend::connect(config).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
        proxy.set(Fault::Blackhole).await.unwrap();
        proxy.struck().await;
        proxy.set(Fault::None).await.unwrap();
        let started = Instant::now();
        let found = loop {
            match backend.load(id(1), now()).await {
                Ok(found) => break found,
                Err(error) => assert!(started.elapsed() < LONG, "its place is lost: {error:?}"),
            }
        };
        assert_eq!(found, Some(record("x")));
    });
}
