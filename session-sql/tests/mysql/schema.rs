//! The table as others see it: made by hand, by several at once, by accounts with few rights, and read through
//! the view.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{NOW, Table, at, create, id, now, principal, record, shown, sql_id, with_table};
use session_core::{ErrorKind, SessionBackend};
use session_sql::mysql::{MysqlBackend, MysqlConfig, schema_sql};

/// Everything that is there under the table's name, without the name.
async fn schema(table: &Table) -> Vec<String> {
    let texts = table
        .texts(
            "SELECT CONCAT_WS(' ', 'column', COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, GENERATION_EXPRESSION) AS line \
             FROM information_schema.COLUMNS WHERE TABLE_NAME LIKE '{t}%' \
             UNION ALL SELECT CONCAT_WS(' ', TABLE_TYPE, TABLE_NAME, ENGINE, ROW_FORMAT) \
             FROM information_schema.TABLES WHERE TABLE_NAME LIKE '{t}%' \
             UNION ALL SELECT CONCAT_WS(' ', INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME) \
             FROM information_schema.STATISTICS WHERE TABLE_NAME = '{t}' \
             UNION ALL SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_NAME = '{t}_json' \
             ORDER BY line",
        )
        .await;
    texts.into_iter().map(|text| text.replace(&table.name, "t")).collect()
}

fn without_migration(table: &Table) -> MysqlConfig {
    table.config.clone().with_auto_migrate(false)
}

async fn refused(config: MysqlConfig) -> session_core::Error {
    MysqlBackend::connect(config).await.unwrap_err()
}

/// Whether there is a client to run it.
fn client(table: &Table, sql: &str) -> bool {
    let connection = &table.config.connection;
    let url = std::env::var("SESSION_TEST_MARIADB").unwrap();
    let password = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).unwrap().0;
    let password = password.split_once(':').unwrap().1;
    let child = Command::new("mariadb")
        .args(["--no-defaults", "--host", connection.get_host(), "--user", connection.get_username()])
        .args(["--port", &connection.get_port().to_string(), connection.get_database().unwrap()])
        .env("MYSQL_PWD", password)
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
        MysqlBackend::migrate(table.config.clone()).await.unwrap();
        let migrated = schema(table).await;
        // Nine columns, those of the view, the table and the view, three indexes, the view's definition.
        assert_eq!(migrated.len(), 9 + 7 + 2 + 3 + 1, "{migrated:#?}");
        create(&MysqlBackend::connect(without_migration(table)).await.unwrap(), 1, record("kept")).await;
        MysqlBackend::migrate(table.config.clone()).await.unwrap();
        let sql = schema_sql(&table.name).unwrap();
        table.execute(&sql).await.unwrap();
        assert_eq!(schema(table).await, migrated);
        assert_eq!(table.dump().await.len(), 1);

        table.execute("DROP VIEW {t}_json; DROP TABLE {t}").await.unwrap();
        assert!(schema(table).await.is_empty());
        if !client(table, &sql) {
            eprintln!("not run: there is no `mariadb`");
            return;
        }
        client(table, &sql);
        assert_eq!(schema(table).await, migrated);
        create(&MysqlBackend::connect(without_migration(table)).await.unwrap(), 1, record("x")).await;
    });
}

#[test]
fn what_is_missing_is_found_at_connect_and_completed_by_migrate() {
    with_table(async |table| {
        let error = refused(without_migration(table)).await;
        assert_eq!(error.kind(), ErrorKind::SchemaMissing);
        assert!(error.to_string().contains("MysqlBackend::migrate"), "{error}");
        MysqlBackend::migrate(table.config.clone()).await.unwrap();
        for lost in ["INDEX filed_at ON {t}", "INDEX principal ON {t}"] {
            table.execute(&format!("DROP {lost}")).await.unwrap();
            assert_eq!(refused(without_migration(table)).await.kind(), ErrorKind::SchemaMissing, "{lost}");
            MysqlBackend::migrate(table.config.clone()).await.unwrap();
            MysqlBackend::connect(without_migration(table)).await.unwrap();
        }
        let whole = schema(table).await;
        table.execute("DROP VIEW {t}_json").await.unwrap();
        MysqlBackend::connect(without_migration(table)).await.unwrap();
        MysqlBackend::migrate(table.config.clone()).await.unwrap();
        assert_eq!(schema(table).await, whole);
    });
}

#[test]
fn tables_of_others_are_refused_and_left_alone() {
    with_table(async |table| {
        let ours = schema_sql(&table.name).unwrap();
        let ours = ours.split("CREATE OR REPLACE").next().unwrap().to_owned();
        for make in [
            "CREATE TABLE {t} (id bigint PRIMARY KEY, data text)".to_owned(),
            ours.replace("InnoDB ROW_FORMAT = DYNAMIC", "MyISAM"),
            ours.replace("PRIMARY KEY (id)", "PRIMARY KEY (id, revision)"),
            ours.replace("VARBINARY(255) NULL", "VARCHAR(255) NULL"),
            ours.replace("LONGBLOB", "BLOB"),
            ours.replace("revision   BIGINT", "revision BIGINT UNSIGNED"),
            "CREATE VIEW {t} AS SELECT 1 AS id".to_owned(),
        ] {
            table.execute(&make).await.unwrap();
            let before = schema(table).await;
            assert_eq!(refused(without_migration(table)).await.kind(), ErrorKind::SchemaMissing, "{make}");
            let error = MysqlBackend::migrate(table.config.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{make}: {error:?}");
            assert_eq!(schema(table).await, before, "{make}");
            table.execute("DROP VIEW IF EXISTS {t}").await.unwrap();
            table.execute("DROP TABLE IF EXISTS {t}").await.unwrap();
        }
        table.execute("CREATE TABLE {t}_json (a int)").await.unwrap();
        let error = MysqlBackend::migrate(table.config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
        assert!(error.to_string().contains("_json"), "{error}");
        table.execute("DROP TABLE {t}_json").await.unwrap();
    });
}

#[test]
fn a_table_may_be_in_another_database() {
    with_table(async |table| {
        let config = table.config.clone().with_table(format!("{0}.{0}", table.name));
        let error = MysqlBackend::migrate(config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        table.execute("CREATE DATABASE {t}").await.unwrap();
        MysqlBackend::migrate(config.clone()).await.unwrap();
        let backend = MysqlBackend::connect(config.with_auto_migrate(false)).await.unwrap();
        create(&backend, 1, record("[7]")).await;
        assert_eq!(table.texts("SELECT JSON_VALUE(data, '$[0]') FROM {t}.{t}_json").await, ["7"]);
        assert_eq!(refused(without_migration(table)).await.kind(), ErrorKind::SchemaMissing);
    });
}

#[test]
fn an_account_that_may_only_change_rows_serves_sessions() {
    with_table(async |table| {
        table.execute("CREATE USER {t}@'%' IDENTIFIED BY 'x'").await.unwrap();
        let mut config = table.config.clone();
        config.connection = config.connection.username(&table.name).password("x");
        let error = refused(config.clone()).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");

        MysqlBackend::migrate(table.config.clone()).await.unwrap();
        table.execute("GRANT SELECT, UPDATE, DELETE ON {t} TO {t}@'%'").await.unwrap();
        // All there: nothing is to be made, so that no right to is needed.
        let backend = MysqlBackend::connect(config.clone()).await.unwrap();
        let error = backend.create(id(1), record("x"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("right"), "{error}");
        table.execute("GRANT INSERT ON {t} TO {t}@'%'").await.unwrap();
        let backend = MysqlBackend::connect(config).await.unwrap();
        create(&backend, 1, record("x").with_principal(principal("alice"))).await;
        assert!(backend.touch(id(1), now(), now()).await.unwrap());
        assert_eq!(backend.list(None, None, 1, now()).await.unwrap().sessions.len(), 1);
        let updated = backend.update(id(1), record("").revision, record("y"), now()).await.unwrap();
        assert_eq!(updated, session_core::UpdateOutcome::Updated);
        assert_eq!(backend.purge_expired(at(NOW + 1_000), 1).await.unwrap().removed, 1);
        let _ = backend.delete(id(1), None, now()).await.unwrap();
        assert!(!shown(&error).contains("VALUES"), "{error:?}");
    });
}

#[test]
fn the_view_shows_documents_and_survives_everything_else() {
    with_table(async |table| {
        let backend = table.connect().await;
        let document = r#"{"views":3,"name":"Jos\u00e9"}"#;
        create(&backend, 1, record(document).with_principal(principal("\u{e9}lise"))).await;
        create(&backend, 2, record("").with_principal(principal("a\0b"))).await;
        create(&backend, 3, record("not JSON").with_principal(principal(""))).await;
        create(&backend, 4, record("").with_data(vec![0xff, 0, 0x80])).await;
        create(&backend, 5, record(&"[".repeat(200_000))).await;
        create(&backend, 6, record("[1]")).await;
        let damage = format!(
            "UPDATE {{t}} SET expires_at = -5, deadline = 9223372036854775807, \
                              principal = X'ff' WHERE id = {}",
            sql_id(6)
        );
        assert_eq!(table.execute(&damage).await.unwrap(), 1);

        // Not in any zone but UTC.
        let columns = "id, revision, COALESCE(principal, '-'), COALESCE(touched_at, '-'), COALESCE(expires_at, '-'), \
                       COALESCE(deadline, '-'), COALESCE(data, '-')";
        let sql =
            format!("SET time_zone = '+13:00'; SELECT CONCAT_WS('|', {columns}) FROM {{t}}_json ORDER BY id");
        let lines = table.texts(&sql).await;
        let times = "1970-01-01 00:16:40.000000|1970-01-01 00:16:41.000000|1970-01-01 00:16:50.000000";
        assert_eq!(lines[0], format!("00000001000000000000000000000000|1|\u{e9}lise|{times}|{document}"));
        assert!(lines[1].contains("|a\0b|") && lines[1].ends_with("|-"), "{}", lines[1]);
        for line in &lines[1..5] {
            assert!(line.ends_with("|-"), "{line}");
        }
        assert!(lines[5].ends_with("|1970-01-01 00:16:40.000000|-|-|[1]"), "{}", lines[5]);
        assert_eq!(
            table
                .texts(
                    "SELECT JSON_VALUE(data, '$.views') FROM {t}_json WHERE JSON_VALUE(data, '$.views') > 0"
                )
                .await,
            ["3"]
        );
    });
}
