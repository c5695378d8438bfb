//! The table under whatever name, made by several at once, and with columns of others.

use session_core::{ErrorKind, SessionBackend};

use crate::common::{create, id, now, principal, record, with_table};
use crate::dialect::{self, Backend, schema_sql};

#[test]
fn schema_sql_refuses_what_is_no_name() {
    let error = schema_sql("sessions; DROP TABLE users").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn many_may_migrate_at_once() {
    with_table(async |table| {
        for _ in 0..3 {
            let tasks: Vec<_> =
                (0..16).map(|_| tokio::spawn(Backend::migrate(table.config.clone()))).collect();
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            create(&table.connect().await, 1, record("x")).await;
            table.execute(dialect::DROP).await.unwrap();
        }
    });
}

#[test]
fn columns_computed_by_others_do_not_disturb() {
    with_table(async |table| {
        Backend::migrate(table.config.clone()).await.unwrap();
        let add = "ALTER TABLE {t} ADD COLUMN size bigint GENERATED ALWAYS AS (octet_length(data)) STORED";
        table.execute(add).await.unwrap();
        create(
            &Backend::connect(table.config.clone().with_auto_migrate(false)).await.unwrap(),
            1,
            record("x"),
        )
        .await;
    });
}

#[test]
fn words_of_sql_and_long_names_are_tables_like_others() {
    with_table(async |table| {
        table.execute("CREATE SCHEMA {t}").await.unwrap();
        let names = ["select", "table", "_", "user", &"x".repeat(48)];
        let mut backends = Vec::new();
        for (number, name) in (1..).zip(names) {
            let config = table.config.clone().with_table(format!("{}.{name}", table.name));
            Backend::migrate(config.clone()).await.unwrap();
            let backend = Backend::connect(config.with_auto_migrate(false)).await.unwrap();
            create(&backend, number, record("x").with_principal(principal("alice"))).await;
            backends.push((number, backend));
        }
        for (number, backend) in backends {
            let page = backend.list(principal("alice").as_ref(), None, 10, now()).await.unwrap();
            assert_eq!(page.sessions.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [id(number)]);
            assert_eq!(backend.purge_expired(now(), 10).await.unwrap().removed, 0);
            assert!(backend.touch(id(number), now(), now()).await.unwrap());
            let _ = backend.delete(id(number), None, now()).await.unwrap();
        }
        table.execute(dialect::DROP_SCHEMA).await.unwrap();
    });
}
