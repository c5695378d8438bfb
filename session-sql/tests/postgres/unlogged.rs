//! Tables that the server keeps no log of: how they are made, what a crash leaves of them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{LONG, Table, create, id, now, patient, record, with_table};
use crate::private_server::PrivateServer;
use session_core::{ErrorKind, SessionBackend};
use session_sql::postgres::{PostgresBackend, PostgresConfig, schema_sql, unlogged_schema_sql};
use sqlx::{Executor, PgPool, Row};

/// Of the table and all of its indexes: `p` for permanent, `u` for unlogged.
async fn persistence(table: &Table) -> Vec<String> {
    table
        .texts(
            "SELECT relpersistence::text FROM pg_class WHERE oid = '{t}'::regclass \
             OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = '{t}'::regclass)",
        )
        .await
}

#[test]
fn a_table_is_unlogged_if_it_is_asked_for() {
    with_table(async |table| {
        let config = table.config.clone().with_unlogged(true);
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        create(&backend, 1, record("x")).await;
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
        assert_eq!(persistence(table).await, ["u"; 4]);
        PostgresBackend::migrate(config).await.unwrap();
    });
    with_table(async |table| {
        table.execute(&unlogged_schema_sql(&table.name).unwrap()).await.unwrap();
        assert_eq!(persistence(table).await, ["u"; 4]);
        let config = table.config.clone().with_unlogged(true).with_auto_migrate(false);
        PostgresBackend::connect(config).await.unwrap();
    });
    with_table(async |table| {
        table.connect().await;
        assert_eq!(persistence(table).await, ["p"; 4]);
    });
}

#[test]
fn a_table_that_is_not_as_asked_for_is_refused_until_it_is() {
    for unlogged in [true, false] {
        with_table(async |table| {
            let make = if unlogged { schema_sql } else { unlogged_schema_sql };
            table.execute(&make(&table.name).unwrap()).await.unwrap();
            let config = table.config.clone().with_unlogged(unlogged);
            let pool = PgPool::connect_with(config.connection.clone()).await.unwrap();
            for error in [
                PostgresBackend::connect(config.clone()).await.unwrap_err(),
                PostgresBackend::connect(config.clone().with_auto_migrate(false)).await.unwrap_err(),
                PostgresBackend::migrate(config.clone()).await.unwrap_err(),
                PostgresBackend::from_pool(pool.clone(), config.clone()).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
                let remedy = if unlogged { "SET UNLOGGED" } else { "SET LOGGED" };
                assert!(error.to_string().contains(remedy), "{error}");
            }
            // Nothing was changed on the way.
            assert_eq!(persistence(table).await, [if unlogged { "p" } else { "u" }; 4]);
            let remedy = if unlogged { "UNLOGGED" } else { "LOGGED" };
            table.execute(&format!("ALTER TABLE {{t}} SET {remedy}")).await.unwrap();
            create(&PostgresBackend::connect(config).await.unwrap(), 1, record("x")).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_empties_it_and_nothing_else() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let config = |options: &str| {
        patient(PostgresConfig::from_url(&server.url(options)).unwrap().with_auto_migrate(true))
    };
    let [logged, unlogged] = [config("table=logged"), config("table=fleeting&unlogged=true")];
    for config in [&logged, &unlogged] {
        create(&PostgresBackend::connect(config.clone()).await.unwrap(), 1, record("x")).await;
    }
    // An end in order loses nothing.
    server.stop();
    server.run(&[]).await;
    for config in [&logged, &unlogged] {
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    }

    let children = server.connection().await.fetch_all("SELECT pid FROM pg_stat_activity").await.unwrap();
    let children: Vec<i32> = children.iter().map(|row| row.get(0)).collect();
    server.kill(None);
    let started = Instant::now();
    while children.iter().any(|child| Path::new(&format!("/proc/{child}")).exists()) {
        assert!(started.elapsed() < LONG, "the server's children do not notice its end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.run(&[]).await;
    let found = async |config: &PostgresConfig| {
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        let found = backend.load(id(1), now()).await.unwrap();
        create(&backend, 2, record("y")).await;
        found
    };
    assert_eq!(found(&logged).await, Some(record("x")));
    assert_eq!(found(&unlogged).await, None);
}
