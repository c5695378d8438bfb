//! The table as others see it: made by hand, by several at once, by roles with few rights, and read through
//! the view.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{Table, create, hold, id, now, principal, record, shown, with_table};
use session_core::{ErrorKind, SessionBackend};
use session_sql::postgres::{PostgresBackend, PostgresConfig, schema_sql};
use sqlx::Row;

/// Everything that is there under the table's name, without the name.
async fn schema(table: &Table) -> Vec<String> {
    let texts = table
        .texts(
            "SELECT concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod), attnotnull, attgenerated) \
             FROM pg_attribute WHERE attrelid = to_regclass('{t}') AND attnum > 0 \
             UNION ALL SELECT concat_ws(' ', relkind, relname, reloptions) FROM pg_class WHERE relname LIKE '{t}%' \
             UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = '{t}' \
             UNION ALL SELECT definition FROM pg_views WHERE viewname = '{t}_json' \
             UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = '{t}_text' ORDER BY 1",
        )
        .await;
    texts.into_iter().map(|text| text.replace(&table.name, "t")).collect()
}

fn without_migration(table: &Table) -> PostgresConfig {
    table.config.clone().with_auto_migrate(false)
}

async fn refused(config: PostgresConfig) -> session_core::Error {
    PostgresBackend::connect(config).await.unwrap_err()
}

/// Whether there is a `psql` to run it.
fn psql(sql: &str) -> bool {
    let url = std::env::var("SESSION_TEST_POSTGRES").unwrap();
    let child = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    true
}

#[test]
fn schema_sql_makes_what_migrate_makes() {
    with_table(async |table| {
        PostgresBackend::migrate(table.config.clone()).await.unwrap();
        let migrated = schema(table).await;
        // Nine columns; the table, its key, two indexes and the view, of which the indexes again in full; the
        // view and its function.
        assert!(migrated.len() >= 9 + 5 + 3 + 2, "{migrated:#?}");
        create(&PostgresBackend::connect(without_migration(table)).await.unwrap(), 1, record("kept")).await;
        PostgresBackend::migrate(table.config.clone()).await.unwrap();
        let sql = schema_sql(&table.name).unwrap();
        table.execute(&sql).await.unwrap();
        assert_eq!(schema(table).await, migrated);
        assert_eq!(table.dump().await.len(), 1);

        table.execute("DROP TABLE {t} CASCADE; DROP FUNCTION {t}_text").await.unwrap();
        assert!(schema(table).await.is_empty());
        if !psql(&sql) {
            eprintln!("not run: there is no psql");
            return;
        }
        psql(&sql);
        assert_eq!(schema(table).await, migrated);
        create(&PostgresBackend::connect(without_migration(table)).await.unwrap(), 1, record("x")).await;
    });
}

#[test]
fn what_is_missing_is_found_at_connect_and_completed_by_migrate() {
    with_table(async |table| {
        let error = refused(without_migration(table)).await;
        assert_eq!(error.kind(), ErrorKind::SchemaMissing);
        assert!(error.to_string().contains("PostgresBackend::migrate"), "{error}");
        PostgresBackend::migrate(table.config.clone()).await.unwrap();
        for lost in ["INDEX {t}_filed_at", "INDEX {t}_principal", "VIEW {t}_json"] {
            table.execute(&format!("DROP {lost}")).await.unwrap();
            assert_eq!(refused(without_migration(table)).await.kind(), ErrorKind::SchemaMissing, "{lost}");
            PostgresBackend::migrate(table.config.clone()).await.unwrap();
            PostgresBackend::connect(without_migration(table)).await.unwrap();
        }
    });
}

#[test]
fn tables_of_others_are_refused_and_left_alone() {
    with_table(async |table| {
        for (make, drop) in [
            ("CREATE TABLE {t} (id bigint PRIMARY KEY, data text)", "DROP TABLE {t}"),
            (
                "CREATE TABLE {t} (id bytea NOT NULL, revision bigint NOT NULL, expires_at bigint NOT NULL, \
                 deadline bigint NOT NULL, touched_at bigint NOT NULL, principal bytea, meta bytea NOT NULL, \
                 data bytea NOT NULL, filed_at bigint NOT NULL)",
                "DROP TABLE {t}",
            ),
            ("CREATE VIEW {t} AS SELECT 1 AS id", "DROP VIEW {t}"),
            ("CREATE TABLE {t}_filed_at (a int)", "DROP TABLE {t}_filed_at"),
            ("CREATE TABLE {t}_json (a int)", "DROP TABLE {t}_json"),
            ("CREATE VIEW {t}_json AS SELECT 1 AS a", "DROP VIEW {t}_json"),
            (
                "CREATE FUNCTION {t}_text(bytea, boolean) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "DROP FUNCTION {t}_text",
            ),
        ] {
            table.execute(make).await.unwrap();
            let before = schema(table).await;
            assert_eq!(refused(without_migration(table)).await.kind(), ErrorKind::SchemaMissing, "{make}");
            let error = PostgresBackend::migrate(table.config.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{make}: {error:?}");
            assert_eq!(schema(table).await, before, "{make}");
            table.execute(drop).await.unwrap();
        }
    });
}

#[test]
fn a_table_may_be_in_a_schema() {
    with_table(async |table| {
        let config = table.config.clone().with_table(format!("{0}.{0}", table.name));
        let error = PostgresBackend::migrate(config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
        table.execute("CREATE SCHEMA {t}").await.unwrap();
        PostgresBackend::migrate(config.clone()).await.unwrap();
        let backend = PostgresBackend::connect(config.with_auto_migrate(false)).await.unwrap();
        create(&backend, 1, record("[7]")).await;
        assert_eq!(table.texts("SELECT data ->> 0 FROM {t}.{t}_json").await, ["7"]);
        assert_eq!(refused(without_migration(table)).await.kind(), ErrorKind::SchemaMissing);
    });
}

#[test]
fn a_role_that_may_only_change_rows_serves_sessions() {
    with_table(async |table| {
        table.execute("CREATE ROLE {t}").await.unwrap();
        let mut config = table.config.clone();
        config.connection = config.connection.options([("role", &table.name)]);
        let error = PostgresBackend::migrate(config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("right"), "{error}");

        PostgresBackend::migrate(table.config.clone()).await.unwrap();
        table.execute("GRANT SELECT, UPDATE, DELETE ON {t} TO {t}").await.unwrap();
        // All there: nothing is to be made, so that no right to is needed.
        let backend = PostgresBackend::connect(config).await.unwrap();
        let error = backend.create(id(1), record("x"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        table.execute("GRANT INSERT ON {t} TO {t}").await.unwrap();
        create(&backend, 1, record("x").with_principal(principal("alice"))).await;
        assert!(backend.touch(id(1), now(), now()).await.unwrap());
        assert_eq!(backend.list(None, None, 1, now()).await.unwrap().sessions.len(), 1);
        let updated = backend.update(id(1), record("").revision, record("y"), now()).await.unwrap();
        assert_eq!(updated, session_core::UpdateOutcome::Updated);
        let _ = backend.delete(id(1), None, now()).await.unwrap();
        assert_eq!(backend.purge_expired(now(), 1).await.unwrap().removed, 0);
        assert!(!shown(&error).contains(" INSERT "), "{error:?}");
    });
}

#[test]
fn the_view_shows_documents_and_survives_everything_else() {
    with_table(async |table| {
        let backend = table.connect().await;
        let document = r#"{"views":3,"name":"Jos\u00e9"}"#;
        create(&backend, 1, record(document).with_principal(principal("élise"))).await;
        create(&backend, 2, record("").with_principal(principal("a\0b"))).await;
        create(&backend, 3, record("not JSON").with_principal(principal(""))).await;
        create(&backend, 4, record("").with_data(vec![0xff, 0, 0x80])).await;
        create(&backend, 5, record(&"[".repeat(200_000))).await;
        create(&backend, 6, record("[1]")).await;
        create(&backend, 7, record(r#"{"views":"\u0000"}"#)).await;
        create(&backend, 8, record(r#"{"views":"\ud800"}"#)).await;
        let damage = "UPDATE {t} SET expires_at = -5, deadline = 9223372036854775807, principal = '\\xff' \
                      WHERE data = '[1]'";
        assert_eq!(table.execute(damage).await.unwrap(), 1);

        let rows = table
            .rows(
                "SET timezone = 'UTC'; SELECT id, revision, principal, touched_at::text, expires_at::text, \
                 deadline::text, data::text FROM {t}_json ORDER BY id",
            )
            .await;
        let text = |row: usize, column: usize| rows[row].get::<Option<String>, _>(column);
        assert_eq!(text(0, 0).unwrap(), "00000001000000000000000000000000");
        assert_eq!(rows[0].get::<i64, _>(1), 1);
        assert_eq!(text(0, 2).unwrap(), "élise");
        assert_eq!(text(0, 3).unwrap(), "1970-01-01 00:16:40+00");
        assert_eq!(text(0, 4).unwrap(), "1970-01-01 00:16:41+00");
        assert_eq!(text(0, 5).unwrap(), "1970-01-01 00:16:50+00");
        assert_eq!(text(0, 6).unwrap(), document);
        let principals: Vec<_> = (1..6).map(|row| text(row, 2)).collect();
        let expected = [Some("a\\000b"), Some(""), None, None, Some("\\377")].map(|p| p.map(str::to_owned));
        assert_eq!(principals, expected);
        assert!([1, 2, 3, 4, 6, 7].into_iter().all(|row| text(row, 6).is_none()));
        assert_eq!((text(5, 4), text(5, 5), text(5, 6)), (None, None, Some("[1]".to_owned())));
        let views = "SELECT data ->> 'views' FROM {t}_json WHERE data ->> 'views' IS NOT NULL";
        assert_eq!(table.texts(views).await, ["3"]);
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
