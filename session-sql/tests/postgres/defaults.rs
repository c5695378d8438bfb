//! Settings of the application's own pool and of what stands before the server, which the driver does not change.

use session_core::{ErrorKind, SessionBackend};
use session_sql::postgres::PostgresBackend;
use sqlx::Executor as _;

use crate::common::{create, hold, id, now, pool, record, shown, with_table};
use crate::dialect::LOCK_TABLE;
use crate::faults::create_after;

#[test]
fn a_pool_of_the_application_works_whatever_its_settings() {
    with_table(async |table| {
        let settings =
            "SET timezone = 'Pacific/Apia'; SET datestyle = 'SQL, DMY'; SET bytea_output = 'escape'";
        let pool = pool(table, 1, settings);
        let error =
            PostgresBackend::from_pool(pool.clone(), table.config.clone().with_auto_migrate(false)).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::SchemaMissing);
        let backend = PostgresBackend::from_pool(pool.clone(), table.config.clone()).await.unwrap();
        create_after(&backend).await;
        assert_eq!(backend.load(id(1), record("").expires_at).await.unwrap(), None);

        // From here on, so that nothing before is too slow for it; the pool has the one connection.
        pool.acquire().await.unwrap().execute("SET statement_timeout = '250ms'").await.unwrap();
        let lock = hold(table, LOCK_TABLE).await;
        let error = backend.load(id(1), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(shown(&error).contains("57014"), "by the application's limit: {error:?}");
        drop(lock);
        pool.close().await;
        assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::Unavailable);
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
fn statements_that_a_pooler_has_forgotten_fail_once() {
    with_table(async |table| {
        let pool = pool(table, 1, "");
        let backend = PostgresBackend::from_pool(pool.clone(), table.config.clone()).await.unwrap();
        create_after(&backend).await;
        pool.acquire().await.unwrap().execute("DEALLOCATE ALL").await.unwrap();
        let error = backend.load(id(1), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("statement_cache"), "{error}");
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    });
}
