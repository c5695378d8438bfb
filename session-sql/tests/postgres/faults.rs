//! Servers that cannot be used, for good or for now: a typed error each time, in bounded time.

use std::io::Read;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{LONG, Table, create, id, now, principal, record, shown, with_table};
use conformance_tests::network::{Fault, FaultProxy};
use session_core::{DeleteOutcome, Error, ErrorKind, SessionBackend};
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

/// The limit that a test waits for.
const PATIENCE: Duration = Duration::from_millis(300);

async fn refused(config: PostgresConfig) -> Error {
    PostgresBackend::connect(config).await.unwrap_err()
}

async fn hold(table: &Table, sql: &str) -> PgConnection {
    let mut connection = table.raw().await;
    let sql = table.named(&format!("BEGIN; {sql}"));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    connection
}

#[test]
fn a_held_row_times_out_and_others_go_on() {
    with_table(async |table| {
        let config = table.config.clone().with_lock_timeout(PATIENCE);
        let backend = PostgresBackend::connect(config).await.unwrap();
        create(&backend, 1, record("old")).await;
        create(&backend, 2, record("other")).await;
        let before = table.dump().await;
        let lock = hold(table, "SELECT FROM {t} WHERE data = 'old' FOR UPDATE").await;
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
            assert!(error.is_retryable() && shown(&error).contains("55P03"), "by lock_timeout: {error:?}");
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= PATIENCE && elapsed < LONG, "{elapsed:?}");
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
        let backend =
            PostgresBackend::connect(table.config.clone().with_lock_timeout(PATIENCE)).await.unwrap();
        let short = table.config.clone().with_statement_timeout(PATIENCE);
        let by_statement = PostgresBackend::connect(short).await.unwrap();
        let lock = hold(table, "LOCK TABLE {t}").await;
        let started = Instant::now();
        let (create, purge, list, load) = tokio::join!(
            backend.create(id(1), record("x"), now()),
            backend.purge_expired(now(), 1),
            backend.list(None, None, 1, now()),
            by_statement.load(id(1), now()),
        );
        let (create, purge, list) = (create.unwrap_err(), purge.unwrap_err(), list.unwrap_err());
        for (error, limit) in
            [(create, "55P03"), (purge, "55P03"), (list, "55P03"), (load.unwrap_err(), "57014")]
        {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            assert!(shown(&error).contains(limit), "the server's own answer: {error:?}");
        }
        assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
        drop(lock);
        create_after(&backend).await;
    });
}

async fn create_after(backend: &PostgresBackend) {
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
        let backend = PostgresBackend::connect(config).await.unwrap();
        let lock = hold(table, "LOCK TABLE {t}").await;
        let load = || {
            let backend = backend.clone();
            tokio::spawn(async move { backend.load(id(1), now()).await.map_err(|error| error.kind()) })
        };
        // Has the one connection once the server says that it waits.
        let holds = load();
        let waiting =
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%\"{t}\"%'";
        while table.rows(waiting).await.is_empty() {
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
        let config =
            PostgresConfig::from_url(&format!("postgres://role:hunter2@127.0.0.1:{port}/db")).unwrap();
        let started = Instant::now();
        let error = refused(config.with_connect_timeout(LONG)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
        assert!(started.elapsed() < LONG, "refused, and yet waited for");

        let config = PostgresConfig::from_url("postgres://role:hunter2@no-such-host.invalid/db").unwrap();
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
        let config =
            PostgresConfig::from_url(&format!("postgres://role:hunter2@127.0.0.1:{port}/db")).unwrap();
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
                let _ = stream.read(&mut [0; 64]);
                std::io::Write::write_all(&mut stream, greeting).unwrap();
            });
            let url = format!("postgres://role:hunter2@127.0.0.1:{port}/db?sslmode=disable");
            let error = refused(PostgresConfig::from_url(&url).unwrap()).await;
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
            table.config.clone().with_table("sessions\"; DROP TABLE users; --"),
            table.config.clone().with_statement_timeout(Duration::ZERO),
            table.config.clone().with_acquire_timeout(Duration::MAX),
        ] {
            assert_eq!(refused(config.clone()).await.kind(), ErrorKind::Config);
            assert_eq!(PostgresBackend::migrate(config).await.unwrap_err().kind(), ErrorKind::Config);
        }
        assert!(table.rows("SELECT FROM pg_class WHERE relname = '{t}'").await.is_empty());
    });
}

#[test]
fn a_server_that_takes_no_writes_is_unavailable_and_can_be_read() {
    with_table(async |table| {
        create(&table.connect().await, 1, record("x")).await;
        let mut config = table.config.clone();
        config.connection = config.connection.options([("default_transaction_read_only", "on")]);
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
        for error in [
            backend.create(id(2), record("x"), now()).await.unwrap_err(),
            backend.touch(id(1), now(), now()).await.unwrap_err(),
            backend.purge_expired(now(), 1).await.unwrap_err(),
            PostgresBackend::migrate(config.with_table(format!("{}_", table.name))).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
    });
}

/// As after a failover: the connection still leads to the server that was the primary.
#[test]
fn a_connection_that_takes_no_writes_is_replaced() {
    with_table(async |table| {
        create(&table.connect().await, 1, record("x")).await;
        let role = "CREATE ROLE {t} LOGIN PASSWORD 'x'; GRANT SELECT, INSERT, UPDATE, DELETE ON {t} TO {t}; \
                    ALTER ROLE {t} SET default_transaction_read_only = on";
        table.execute(role).await.unwrap();
        let mut config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        config.connection = config.connection.username(&table.name).password("x");
        let backend = PostgresBackend::connect(config).await.unwrap();
        let error = backend.touch(id(1), now(), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        table.execute("ALTER ROLE {t} RESET default_transaction_read_only").await.unwrap();
        assert!(backend.touch(id(1), now(), now()).await.unwrap());
    });
}

#[test]
fn the_isolation_level_of_others_does_not_matter() {
    with_table(async |table| {
        let mut config = table.config.clone();
        config.connection = config.connection.options([("default_transaction_isolation", "serializable")]);
        let backend = PostgresBackend::connect(config).await.unwrap();
        create(&backend, 1, record("0")).await;
        let touches: Vec<_> = (0..64)
            .map(|_| {
                let backend = backend.clone();
                tokio::spawn(async move { backend.touch(id(1), now(), now()).await })
            })
            .collect();
        for touch in touches {
            assert!(touch.await.unwrap().unwrap());
        }
    });
}

#[test]
fn a_table_that_changes_while_running_is_schema_missing_until_it_is_back() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = PostgresBackend::connect(config).await.unwrap();
        create_after(&backend).await;
        table.execute("ALTER TABLE {t} RENAME TO {t}_").await.unwrap();
        for error in [
            backend.load(id(1), now()).await.unwrap_err(),
            backend.create(id(1), record("x"), now()).await.unwrap_err(),
            backend.purge_expired(now(), 1).await.unwrap_err(),
            backend.list(None, None, 1, now()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
            assert!(error.to_string().contains("migrate"), "{error}");
        }
        table.execute("ALTER TABLE {t}_ RENAME TO {t}").await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));

        table.execute("DROP VIEW {t}_json; ALTER TABLE {t} ALTER meta TYPE text USING 'x'").await.unwrap();
        for _ in 0..2 {
            assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::SchemaMissing);
        }
        table.execute("ALTER TABLE {t} ALTER meta TYPE bytea USING 'meta'").await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}

#[test]
fn connections_that_the_server_ended_are_replaced() {
    with_table(async |table| {
        let mut config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        config.connection = config.connection.application_name(&table.name);
        let backend = PostgresBackend::connect(config).await.unwrap();
        create_after(&backend).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{t}'";
        assert!(!table.rows(end).await.is_empty());
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
        create_after(&PostgresBackend::connect(table.config.clone()).await.unwrap()).await;
        let backend = PostgresBackend::connect(config).await.unwrap();
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

#[test]
fn statements_that_a_pooler_has_forgotten_fail_once() {
    with_table(async |table| {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(table.config.connection.clone());
        let backend = PostgresBackend::from_pool(pool.clone(), table.config.clone()).await.unwrap();
        create_after(&backend).await;
        pool.acquire().await.unwrap().execute("DEALLOCATE ALL").await.unwrap();
        let error = backend.load(id(1), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("statement_cache"), "{error}");
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}

#[test]
fn a_pool_of_the_application_works_whatever_its_settings() {
    with_table(async |table| {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let settings = "SET timezone = 'Pacific/Apia'; SET datestyle = 'SQL, DMY'; \
                                    SET bytea_output = 'escape'";
                    connection.execute(settings).await.map(drop)
                })
            })
            .connect_with(table.config.connection.clone())
            .await
            .unwrap();
        let error =
            PostgresBackend::from_pool(pool.clone(), table.config.clone().with_auto_migrate(false)).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::SchemaMissing);
        let backend = PostgresBackend::from_pool(pool.clone(), table.config.clone()).await.unwrap();
        create_after(&backend).await;
        assert_eq!(backend.load(id(1), record("").expires_at).await.unwrap(), None);

        // From here on, so that nothing before is too slow for it; the pool has the one connection.
        pool.acquire().await.unwrap().execute("SET statement_timeout = '250ms'").await.unwrap();
        let lock = hold(table, "LOCK TABLE {t}").await;
        let error = backend.load(id(1), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(shown(&error).contains("57014"), "by the application's limit: {error:?}");
        drop(lock);
        pool.close().await;
        assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_migration_waits_for_another_with_an_end() {
    with_table(async |table| {
        let lock = hold(table, "SELECT pg_advisory_xact_lock(hashtext('session-kit {t}'))").await;
        let waiting = tokio::spawn(PostgresBackend::migrate(table.config.clone()));
        let blocked = "SELECT FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%{t}%'";
        while table.rows(blocked).await.is_empty() {
            assert!(!waiting.is_finished(), "it did not wait");
            tokio::task::yield_now().await;
        }
        drop(lock);
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn errors_show_nothing_of_a_session() {
    with_table(async |table| {
        let backend = table.connect().await;
        table.execute("ALTER TABLE {t} ADD CHECK (data <> 'canary')").await.unwrap();
        let raise = "CREATE FUNCTION {t}_text() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN RAISE 'no % here', convert_from(NEW.data, 'UTF8'); END $$; \
                     CREATE TRIGGER t BEFORE UPDATE ON {t} EXECUTE FUNCTION {t}_text()";
        let secret = record("canary").with_meta(&b"canary"[..]).with_principal(principal("canary"));
        let mut errors = vec![backend.create(id(1), secret.clone(), now()).await.unwrap_err()];
        create(&backend, 1, record("x")).await;
        table.execute(&raise.replace("UPDATE ON {t}", "UPDATE ON {t} FOR EACH ROW")).await.unwrap();
        errors.push(backend.update(id(1), secret.revision, secret, now()).await.unwrap_err());
        table.execute("DROP FUNCTION {t}_text() CASCADE").await.unwrap();
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Internal);
            let shown = shown(&error);
            assert!(!shown.contains("canary") && shown.contains("SQLSTATE"), "{shown}");
        }
        assert!(!format!("{backend:?} {:?}", table.config).contains("password"));
    });
}
