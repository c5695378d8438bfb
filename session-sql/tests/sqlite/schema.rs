//! The table as others see it: made by hand, by several at once, and read through the view.

use std::path::Path;

use crate::common::{create, database, id, now, principal, raw, record};
use session_core::{ErrorKind, SessionBackend};
use session_sql::sqlite::{SqliteBackend, SqliteConfig, schema_sql};

fn schema(path: &Path) -> Vec<String> {
    let connection = raw(path);
    let sql = "SELECT concat_ws(' ', type, name, tbl_name, sql) FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn schema_sql_makes_what_migrate_makes() {
    let (directory, path) = database();
    let by_hand = directory.path().join("by_hand.db");
    let connection = raw(&by_hand);
    let sql = schema_sql("sessions").unwrap();
    connection.execute_batch(&sql).unwrap();
    connection.execute_batch(&sql).unwrap();

    SqliteBackend::migrate(SqliteConfig::new(&path)).await.unwrap();
    assert_eq!(schema(&by_hand), schema(&path));
    assert_eq!(schema(&path).len(), 5, "table, its key, two indexes and the view");
    let config = SqliteConfig::new(&by_hand).with_auto_migrate(false);
    create(&SqliteBackend::connect(config).await.unwrap(), 1, record("x")).await;
}

#[test]
fn schema_sql_refuses_what_is_no_name() {
    let error = schema_sql("sessions; DROP TABLE users").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_migrate_a_new_file_at_once() {
    for _ in 0..10 {
        let (_directory, path) = database();
        let tasks: Vec<_> =
            (0..16).map(|_| tokio::spawn(SqliteBackend::migrate(SqliteConfig::new(&path)))).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(schema(&path).len(), 5);
    }
}

#[tokio::test]
async fn words_of_sql_and_long_names_are_tables_like_others() {
    let (_directory, path) = database();
    let mut backends = Vec::new();
    for (number, name) in (1..).zip(["select", "table", "_", "index", &"x".repeat(48)]) {
        let config = SqliteConfig::new(&path).with_table(name);
        SqliteBackend::migrate(config.clone()).await.unwrap();
        let backend = SqliteBackend::connect(config.with_auto_migrate(false)).await.unwrap();
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
}

#[tokio::test]
async fn a_table_that_changes_while_running_is_schema_missing_until_it_is_back() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record("x")).await;
    raw(&path).execute_batch("DROP VIEW sessions_json; ALTER TABLE sessions RENAME TO sessions_").unwrap();
    for error in [
        backend.load(id(1), now()).await.unwrap_err(),
        backend.create(id(1), record("x"), now()).await.unwrap_err(),
        backend.touch(id(1), now(), now()).await.unwrap_err(),
        backend.delete(id(1), None, now()).await.unwrap_err(),
        backend.purge_expired(now(), 1).await.unwrap_err(),
        backend.list(None, None, 1, now()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::SchemaMissing, "{error:?}");
        assert!(error.to_string().contains("migrate"), "{error}");
    }
    raw(&path).execute_batch("ALTER TABLE sessions_ RENAME TO sessions").unwrap();
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
}

#[tokio::test]
async fn the_view_shows_documents_and_survives_everything_else() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record(r#"{"views":3,"name":"Jos\u00e9"}"#).with_principal(principal("alice"))).await;
    create(&backend, 2, record("")).await;
    create(&backend, 3, record("not JSON")).await;
    create(&backend, 4, record("").with_data(vec![0xff, 0, 0x80])).await;
    create(&backend, 5, record("[1]")).await;
    let connection = raw(&path);
    connection
        .execute_batch("UPDATE sessions SET expires_at = 'x', deadline = -9e18, data = 7 WHERE data = CAST('[1]' AS BLOB)")
        .unwrap();

    let sql = "SELECT id, revision, principal, touched_at, expires_at, deadline, data, data ->> '$.views' \
               FROM sessions_json ORDER BY id";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let row = rows.next().unwrap().unwrap();
    let text = |column: usize| row.get::<_, String>(column).unwrap();
    assert_eq!(text(0), "00000001000000000000000000000000");
    assert_eq!(row.get::<_, i64>(1).unwrap(), 1);
    assert_eq!(text(2), "alice");
    assert_eq!(text(3), "1970-01-01T00:16:40.000Z");
    assert_eq!(text(4), "1970-01-01T00:16:41.000Z");
    assert_eq!(text(5), "1970-01-01T00:16:50.000Z");
    assert_eq!(text(6), r#"{"views":3,"name":"Jos\u00e9"}"#);
    assert_eq!(row.get::<_, i64>(7).unwrap(), 3);
    for _ in 2..=4 {
        let row = rows.next().unwrap().unwrap();
        assert_eq!(row.get::<_, Option<String>>(6).unwrap(), None);
    }
    assert!(rows.next().unwrap().is_some());
    assert!(rows.next().unwrap().is_none());
}
