//! A database of format 1, as a release has made it. The file is never made again; see CONTRIBUTING.md.

use std::fs;
use std::path::{Path, PathBuf};

use session_sql::sqlite::{SqliteBackend, SqliteConfig};

use crate::common::{database, dump, raw};
use crate::golden_sessions::{assert_readable, write};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1/sessions.sqlite")
}

/// Every table, index and view.
fn schema(path: &Path) -> Vec<(String, Option<String>)> {
    let connection = raw(path);
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn format_1_is_read() {
    let (_directory, path) = database();
    fs::copy(golden(), &path).unwrap();
    let config = SqliteConfig::new(&path).with_auto_migrate(false);
    assert_readable(std::sync::Arc::new(SqliteBackend::connect(config).await.unwrap())).await;
}

#[tokio::test]
async fn format_1_is_written() {
    let (_directory, path) = database();
    write(&SqliteBackend::open(&path).await.unwrap()).await;
    if std::env::var_os("GOLDEN_WRITE_NEW").is_some_and(|value| value == "1") && !golden().exists() {
        raw(&path).execute("VACUUM INTO ?1", [golden().to_str().unwrap()]).unwrap();
    }
    // A copy: to open a file is to change it.
    let (_other_directory, copy) = database();
    fs::copy(golden(), &copy).unwrap();
    assert_eq!(dump(&path), dump(&copy));
    assert_eq!(schema(&path), schema(&copy));
}
