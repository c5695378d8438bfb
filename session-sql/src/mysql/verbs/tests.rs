//! How the server goes about the statements. It needs the server in `SESSION_TEST_MARIADB`.

use std::env;

use sqlx::{Connection as _, Executor as _, Row as _};

use super::*;
use crate::mysql::batches::Batches;
use crate::mysql::{MysqlConfig, schema_sql};

/// A connection with a table of its own, which is temporary: each sees another one by the same name.
async fn connect() -> Option<MySqlConnection> {
    let Ok(url) = env::var("SESSION_TEST_MARIADB") else {
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_MARIADB is not set");
        return None;
    };
    let options = MysqlConfig::from_url(&url).unwrap().hosts().current();
    let mut connection = MySqlConnection::connect_with(&options).await.unwrap();
    let sql = schema_sql("s").unwrap().replace("CREATE TABLE", "CREATE TEMPORARY TABLE");
    // A view cannot be over a temporary table.
    let table_only = sql.split("CREATE OR REPLACE").next().unwrap().to_owned();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(table_only))).await.unwrap();
    Some(connection)
}

/// The server's plan for a prepared statement: table, kind of access, key, what else.
async fn plan(connection: &mut MySqlConnection, sql: &SqlStr) -> String {
    let sql = sql.as_str();
    let explain = format!("EXPLAIN {}", sql.replace('?', "1"));
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await.unwrap();
    let text = |row: &sqlx::mysql::MySqlRow, column: &str| {
        let bytes: Option<Vec<u8>> = row.try_get_unchecked(column).unwrap();
        String::from_utf8(bytes.unwrap_or_default()).unwrap()
    };
    let line = |row| format!("{} {} {}", text(row, "type"), text(row, "key"), text(row, "Extra"));
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_statement_takes_its_index() {
    let Some(mut connection) = connect().await else { return };
    let packet = PacketLimit::read(&mut connection).await.unwrap_or_else(|_| panic!("no limit"));
    let verbs = Verbs::new(&QualifiedName::parse("s").unwrap(), true, packet);
    // Enough rows, of every expiry and of one principal, that a scan would be the longer way.
    let fill = "INSERT INTO s (id, revision, expires_at, deadline, touched_at, principal, meta, data, filed_at) \
                SELECT UNHEX(MD5(seq)), 1, seq << 20, 1, 1, IF(seq % 2 = 0, 'alice', NULL), '', '', seq << 20 FROM seq_1_to_2000";
    connection.execute(fill).await.unwrap();
    let by_id = [
        &verbs.replace_expired,
        &verbs.find,
        &verbs.update,
        &verbs.touch,
        &verbs.delete,
        &verbs.delete_revision,
    ];
    let in_places =
        |sql: &SqlStr| sql.as_str().replace("?, ", "UNHEX(MD5(7)), ").replace("?)", "UNHEX(MD5(8)))");
    let passes =
        [&verbs.purge.remove, &verbs.purge.file].map(|sql| AssertSqlSafe(in_places(sql)).into_sql_str());
    for sql in by_id.into_iter().chain(&passes) {
        let sql = AssertSqlSafe(sql.as_str().replace("id = ?", "id = UNHEX(MD5(7))")).into_sql_str();
        let plan = plan(&mut connection, &sql).await;
        assert!(plan.starts_with("const PRIMARY") || plan.starts_with("range PRIMARY"), "{plan}");
    }
    let batches = Batches::new(&QualifiedName::parse("s").unwrap(), true, packet);
    for sql in batches.with_places(4) {
        let sql = AssertSqlSafe(
            sql.as_str().replace("?, ?, ?, ?", "UNHEX(MD5(7)), UNHEX(MD5(8)), UNHEX(MD5(9)), ''"),
        );
        let plan = plan(&mut connection, &sql.into_sql_str()).await;
        // By id, one after the other, with no rows put aside.
        assert!(plan.starts_with("range PRIMARY") && !plan.contains("filesort"), "{plan}");
    }
    let purge = plan(&mut connection, &verbs.purge.take).await;
    assert!(purge.starts_with("range filed_at") && !purge.contains("filesort"), "{purge}");
    let list::Statements { sizes, rows, sizes_of_principal, rows_of_principal } = &verbs.list;
    for sql in [sizes, rows] {
        let plan = plan(&mut connection, sql).await;
        assert!(plan.contains("PRIMARY") && !plan.contains("filesort"), "{plan}");
    }
    for sql in [sizes_of_principal, rows_of_principal] {
        let sql = AssertSqlSafe(sql.as_str().replace("principal = ?", "principal = 'alice'")).into_sql_str();
        let sql = AssertSqlSafe(sql.as_str().replace("id > ?", "id > UNHEX(MD5(7))")).into_sql_str();
        let plan = plan(&mut connection, &sql).await;
        assert!(plan.contains(" principal ") && !plan.contains("filesort"), "{plan}");
    }
}
