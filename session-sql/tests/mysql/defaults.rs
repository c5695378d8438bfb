//! Settings of the application's own pool, which the driver does not change.

use session_core::{ErrorKind, SessionBackend};
use session_sql::mysql::MysqlBackend;

use crate::common::{create, id, now, pool, principal, record, with_table};

#[test]
fn a_pool_of_the_application_works_whatever_its_settings() {
    with_table(async |table| {
        let settings = "SET time_zone = '-11:00'; SET sql_mode = ''; SET NAMES latin1; \
                        SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
                        SET collation_connection = latin1_swedish_ci";
        let pool = pool(table, 1, settings);
        let unready = table.config.clone().with_auto_migrate(false);
        let error = MysqlBackend::from_pool(pool.clone(), unready).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
        let backend = MysqlBackend::from_pool(pool.clone(), table.config.clone()).await.unwrap();
        let stored = record("\u{e9}\u{1f980}").with_principal(principal("\u{c9}lise "));
        create(&backend, 1, stored.clone()).await;
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(stored.clone()));
        assert_eq!(table.connect().await.load(id(1), now()).await.unwrap(), Some(stored.clone()));
        assert_eq!(backend.load(id(1), stored.expires_at).await.unwrap(), None);
        let others = backend.list(principal("\u{e9}lise").as_ref(), None, 10, now()).await.unwrap();
        assert!(others.sessions.is_empty());
        pool.close().await;
        assert_eq!(backend.load(id(1), now()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_pool_that_does_not_commit_is_refused() {
    with_table(async |table| {
        let pool = pool(table, 1, "SET autocommit = 0");
        let error = MysqlBackend::from_pool(pool, table.config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("autocommit"), "{error}");
    });
}
