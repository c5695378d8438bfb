//! A table of format 1, as a release has made it. The file is never made again; see CONTRIBUTING.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{Table, with_table};
use crate::dialect::{self, Backend, schema_sql};
use crate::golden_sessions::{assert_readable, write};

/// What the table is called there.
const NAME: &str = "golden_sessions";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1").join(dialect::GOLDEN)
}

/// The rows as statements that write them.
async fn inserts(table: &Table) -> Vec<String> {
    let rows = table.texts(dialect::GOLDEN_INSERTS).await;
    rows.iter().map(|row| row.replace(&table.name, NAME)).collect()
}

#[test]
fn format_1_is_read() {
    with_table(async |table| {
        let sql = fs::read_to_string(golden()).unwrap().replace(NAME, &table.name);
        table.execute(&sql).await.unwrap();
        let config = table.config.clone().with_auto_migrate(false);
        assert_readable(Arc::new(Backend::connect(config).await.unwrap())).await;
    });
}

#[test]
fn format_1_is_written() {
    with_table(async |table| {
        write(&table.connect().await).await;
        let inserts = inserts(table).await;
        if std::env::var_os("GOLDEN_WRITE_NEW").is_some_and(|value| value == "1") && !golden().exists() {
            let sql = format!("{}{}\n", schema_sql(NAME).unwrap(), inserts.join("\n"));
            fs::write(golden(), sql).unwrap();
        }
        let golden = fs::read_to_string(golden()).unwrap();
        let stored: Vec<_> = golden.lines().filter(|line| line.starts_with("INSERT")).collect();
        assert_eq!(inserts, stored);
    });
}
