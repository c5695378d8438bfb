//! Servers that cannot be used, for good or for now: a typed error each time, in bounded time.

use std::io::Write;
use std::net::TcpListener;
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Table, create, hex, id, now, principal, record, shown, with_table};
use session_core::{DeleteOutcome, Error, ErrorKind, SessionBackend};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};

const PATIENCE: Duration = Duration::from_millis(300);

/// Longer than a busy machine takes for anything.
const MINUTE: Duration = Duration::from_secs(60);

/// What the server makes of that for locks: whole seconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

async fn refused(config: MysqlConfig) -> Error {
    MysqlBackend::connect(config).await.unwrap_err()
}

async fn hold(table: &Table, sql: &str) -> MySqlConnection {
    let mut connection = table.raw().await;
    let sql = table.named(&format!("BEGIN; {sql}"));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    connection
}

#[test]
fn a_held_row_times_out_and_others_go_on() {
    with_table(async |table| {
        let config = table.config.clone().with_lock_timeout(PATIENCE);
        let backend = MysqlBackend::connect(config).await.unwrap();
        create(&backend, 1, record("old")).await;
        create(&backend, 2, record("other")).await;
        let before = table.dump().await;
        let lock = hold(table, &format!("SELECT 1 FROM {{t}} WHERE id = {} FOR UPDATE", hex(1))).await;
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
            assert!(error.is_retryable() && shown(&error).contains("1205"), "by lock_timeout: {error:?}");
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= LOCK_PATIENCE && elapsed < LOCK_PATIENCE + Duration::from_secs(2), "{elapsed:?}");
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
        let backend = MysqlBackend::connect(table.config.clone().with_lock_timeout(PATIENCE)).await.unwrap();
        let short = table.config.clone().with_lock_timeout(PATIENCE * 100).with_statement_timeout(PATIENCE);
        let by_statement = MysqlBackend::connect(short).await.unwrap();
        let lock = hold(table, "LOCK TABLES {t} WRITE").await;
        let started = Instant::now();
        let (create, purge, list, load) = tokio::join!(
            backend.create(id(1), record("x"), now()),
            backend.purge_expired(now(), 1),
            backend.list(None, None, 1, now()),
            by_statement.load(id(1), now()),
        );
        let (create, purge, list) = (create.unwrap_err(), purge.unwrap_err(), list.unwrap_err());
        for (error, limit) in [(create, "1205"), (purge, "1205"), (list, "1205"), (load.unwrap_err(), "1969")]
        {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            assert!(shown(&error).contains(limit), "the server's own answer: {error:?}");
        }
        assert!(started.elapsed() < LOCK_PATIENCE + Duration::from_secs(2), "{:?}", started.elapsed());
        drop(lock);
        create_after(&backend).await;
    });
}

async fn create_after(backend: &MysqlBackend) {
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
            .with_lock_timeout(MINUTE)
            .with_statement_timeout(MINUTE)
            .with_queue_capacity(NonZeroUsize::MIN.saturating_add(1));
        let backend = MysqlBackend::connect(config).await.unwrap();
        let lock = hold(table, "LOCK TABLES {t} WRITE").await;
        let load = || {
            let backend = backend.clone();
            tokio::spawn(async move { backend.load(id(1), now()).await.map_err(|error| error.kind()) })
        };
        // Has the one connection once the server says that it waits.
        let holds = load();
        let waiting = "SELECT 1 FROM information_schema.PROCESSLIST \
                       WHERE STATE LIKE 'Waiting for table metadata lock' AND INFO LIKE '%`{t}`%'";
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
        // Nobody listens here any more.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let started = Instant::now();
        let config = MysqlConfig::from_url(&format!("mysql://account:hunter2@127.0.0.1:{port}/db")).unwrap();
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(2));

        let config = MysqlConfig::from_url("mysql://account:hunter2@no-such-host.invalid/db").unwrap();
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
    });
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    with_table(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = MysqlConfig::from_url(&format!("mysql://account:hunter2@127.0.0.1:{port}/db")).unwrap();
        let started = Instant::now();
        let error = refused(config.with_connect_timeout(PATIENCE)).await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(started.elapsed() >= PATIENCE && started.elapsed() < Duration::from_secs(2));
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
                // Here it is the server that speaks first.
                stream.write_all(greeting).unwrap();
            });
            let url = format!("mysql://account:hunter2@127.0.0.1:{port}/db?ssl-mode=DISABLED");
            let error = refused(MysqlConfig::from_url(&url).unwrap()).await;
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
            table.config.clone().with_table("sessions`; DROP TABLE users; --"),
            table.config.clone().with_statement_timeout(Duration::ZERO),
            table.config.clone().with_acquire_timeout(Duration::MAX),
        ] {
            assert_eq!(refused(config.clone()).await.kind(), ErrorKind::Config);
            assert_eq!(MysqlBackend::migrate(config).await.unwrap_err().kind(), ErrorKind::Config);
        }
        let tables = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_NAME LIKE '{t}%'";
        assert!(table.rows(tables).await.is_empty());
    });
}

#[test]
fn a_table_that_changes_while_running_is_schema_missing_until_it_is_back() {
    with_table(async |table| {
        let config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        let backend = MysqlBackend::connect(config).await.unwrap();
        create_after(&backend).await;
        table.execute("RENAME TABLE {t} TO {t}_").await.unwrap();
        for error in [
            backend.load(id(1), now()).await.unwrap_err(),
            backend.create(id(1), record("x"), now()).await.unwrap_err(),
            backend.purge_expired(now(), 1).await.unwrap_err(),
            backend.list(None, None, 1, now()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
            assert!(error.to_string().contains("migrate"), "{error}");
        }
        table.execute("RENAME TABLE {t}_ TO {t}").await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));

        table.execute("ALTER TABLE {t} CHANGE touched_at touched BIGINT NOT NULL").await.unwrap();
        for _ in 0..2 {
            assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::SchemaMissing);
        }
        table.execute("ALTER TABLE {t} CHANGE touched touched_at BIGINT NOT NULL").await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}

#[test]
fn connections_that_the_server_ended_are_replaced() {
    with_table(async |table| {
        let account = "CREATE USER {t}@'%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO {t}@'%'";
        table.execute(account).await.unwrap();
        let mut config = table.config.clone().with_max_connections(NonZeroU32::MIN);
        config.connection = config.connection.username(&table.name).password("x");
        let backend = MysqlBackend::connect(config).await.unwrap();
        create_after(&backend).await;
        table.execute("KILL CONNECTION USER {t}@'%'").await.unwrap();
        // At most the verb that finds the dead connection fails, and says that it may be tried again.
        if let Err(error) = backend.load(id(1), now()).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}

#[test]
fn errors_show_nothing_of_a_session() {
    with_table(async |table| {
        let backend = table.connect().await;
        let secret = record("canary").with_meta(&b"canary"[..]).with_principal(principal("canary"));
        create(&backend, 1, record("x")).await;
        table.execute("ALTER TABLE {t} ADD CONSTRAINT no CHECK (data <> 'canary')").await.unwrap();
        let mut errors = vec![
            backend.create(id(2), secret.clone(), now()).await.unwrap_err(),
            backend.update(id(1), secret.revision, secret.clone(), now()).await.unwrap_err(),
        ];
        table.execute("ALTER TABLE {t} DROP CONSTRAINT no, ADD UNIQUE KEY u (principal)").await.unwrap();
        create(&backend, 2, secret.clone()).await;
        errors.push(backend.update(id(1), secret.revision, secret, now()).await.unwrap_err());
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Internal, "{error:?}");
            let shown = shown(&error);
            assert!(!shown.contains("canary") && shown.contains("error "), "{shown}");
        }
        assert!(!format!("{backend:?} {:?}", table.config).contains("password"));
    });
}
