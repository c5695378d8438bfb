//! Servers that take no writes, as replicas and former primaries do not.

use std::num::NonZeroU32;

use session_core::{ErrorKind, SessionBackend};
use session_sql::postgres::PostgresBackend;

use crate::common::{create, id, now, record, with_table};

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
