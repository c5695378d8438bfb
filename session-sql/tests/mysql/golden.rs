//! A table of format 1, as a release has made it. The file is never made again; see CONTRIBUTING.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_sql::mysql::{MysqlBackend, schema_sql};

use crate::common::{Table, with_table};
use crate::golden_sessions::{assert_readable, write};

/// What the table is called there.
const NAME: &str = "golden_sessions";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1/sessions.mysql.sql")
}

/// The rows as statements that write them.
async fn inserts(table: &Table) -> Vec<String> {
    let rows = table
        .texts(
            r"SELECT CONCAT('INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, principal, meta, data) ',
              'VALUES (X\'', HEX(id), '\', ', CONCAT_WS(', ', revision, expires_at, deadline, touched_at), ', ',
              COALESCE(CONCAT('X\'', HEX(principal), '\''), 'NULL'), ', X\'', HEX(meta), '\', X\'', HEX(data), '\');')
              FROM {t} ORDER BY id",
        )
        .await;
    rows.iter().map(|row| row.replace(&table.name, NAME)).collect()
}

#[test]
fn format_1_is_read() {
    with_table(async |table| {
        let sql = fs::read_to_string(golden()).unwrap().replace(NAME, &table.name);
        table.execute(&sql).await.unwrap();
        let config = table.config.clone().with_auto_migrate(false);
        assert_readable(Arc::new(MysqlBackend::connect(config).await.unwrap())).await;
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
