//! A table that its operator has made in partitions.

use session_core::SessionBackend;
use session_sql::postgres::{PostgresBackend, schema_sql};

use crate::batches::{together, updating};
use crate::common::{NOW, at, create, id, now, record, with_table};
use crate::dialect::COUNT;
use crate::purge::{fill, purge_all};

#[test]
fn a_table_may_have_partitions() {
    with_table(async |table| {
        let sql = schema_sql(&table.name).unwrap();
        let sql = sql.replace(") WITH (fillfactor = 75);", ") PARTITION BY HASH (id);");
        table.execute(&sql).await.unwrap();
        for part in 0..4 {
            let values = format!("FOR VALUES WITH (MODULUS 4, REMAINDER {part})");
            table.execute(&format!("CREATE TABLE {{t}}_{part} PARTITION OF {{t}} {values}")).await.unwrap();
        }
        let backend = PostgresBackend::connect(table.config.clone().with_auto_migrate(false)).await.unwrap();
        let dead = format!("{NOW} - seq");
        fill(table, "dead", 100, &dead, &dead).await;
        let live = format!("{NOW} + 1 + seq");
        fill(table, "live", 100, &live, &format!("{NOW} - seq")).await;
        // No call removes more than it may.
        assert_eq!(purge_all(&backend, at(NOW), 7).await.0, 100);
        assert_eq!(table.texts(COUNT).await, ["100"]);

        for number in 1..=9 {
            create(&backend, number, record("old")).await;
        }
        let revision = record("").revision;
        let calls = (1..=9).map(|number| updating(&backend, number, revision, "new"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), session_core::UpdateOutcome::Updated);
        }
        assert_eq!(&backend.load(id(9), now()).await.unwrap().unwrap().data[..], b"new");
    });
}
