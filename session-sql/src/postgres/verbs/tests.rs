//! How the server goes about the statements, and races that only a hand on single statements can stage. They
//! need the server in `SESSION_TEST_POSTGRES`.

use std::env;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _};

use super::*;
use crate::postgres::{PostgresConfig, schema_sql};

/// Connections with a table of their own, which is temporary: each sees another one by the same name.
async fn connect() -> Option<PgConnection> {
    let Ok(url) = env::var("SESSION_TEST_POSTGRES") else {
        let allowed = env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1");
        assert!(allowed, "SESSION_TEST_POSTGRES is not set");
        return None;
    };
    let options: PgConnectOptions = PostgresConfig::from_url(&url).unwrap().hosts().current();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let temporary = schema_sql("s").unwrap().replace("CREATE TABLE", "CREATE TEMPORARY TABLE");
    // A function cannot be found in the temporary schema unless it is named.
    let table_only = temporary.split("-- NULL for").next().unwrap().to_owned() + "COMMIT;";
    connection.execute(sqlx::raw_sql(AssertSqlSafe(table_only))).await.unwrap();
    Some(connection)
}

/// The server's plan for a prepared statement, whatever its parameters turn out to be.
async fn plan(connection: &mut PgConnection, sql: &SqlStr) -> String {
    let sql = sql.as_str();
    let parameters = (1..=10).take_while(|number| sql.contains(&format!("${number}"))).count();
    let nulls = vec!["NULL"; parameters].join(", ");
    let explain = format!(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
         SET plan_cache_mode = force_generic_plan; \
         PREPARE p AS {sql}; EXPLAIN (COSTS off) EXECUTE p({nulls}); DEALLOCATE p"
    );
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_statement_takes_its_index() {
    let Some(mut connection) = connect().await else { return };
    let verbs = Verbs::new(&QualifiedName::parse("s").unwrap(), true);
    let by_id = [
        &verbs.replace_expired,
        &verbs.find,
        &verbs.update,
        &verbs.touch,
        &verbs.delete,
        &verbs.delete_revision,
    ];
    for sql in by_id {
        let plan = plan(&mut connection, sql).await;
        assert!(plan.contains("Index Scan using s_pkey") && plan.contains("Index Cond: (id = $1)"), "{plan}");
    }
    let purge = plan(&mut connection, &verbs.purge).await;
    assert!(purge.contains("Index Scan using s_filed_at"), "{purge}");
    assert!(purge.contains("Index Cond: ((filed_at >= $3) AND (filed_at <= $1))"), "{purge}");
    assert_eq!(purge.matches("TID Cond: (ctid = ANY ($").count(), 2, "{purge}");
    let list = plan(&mut connection, &verbs.list).await;
    assert!(list.contains("Index Scan using s_pkey") && list.contains("Index Cond: (id > $1)"), "{list}");
    let list = plan(&mut connection, &verbs.list_of_principal).await;
    assert!(list.contains("Index Scan using s_principal"), "{list}");
    assert!(list.contains("Index Cond: ((principal = $4) AND (id > $1))"), "{list}");
    assert!(!list.contains("Sort"), "{list}");
}
