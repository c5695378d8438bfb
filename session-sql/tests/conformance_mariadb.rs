//! The conformance suite on the MySQL driver, against the server in `SESSION_TEST_MARIADB`.

use std::process::ExitCode;

#[path = "server/conformance.rs"]
mod conformance;

mod dialect {
    pub(crate) use session_sql::mysql::{MysqlBackend as Backend, MysqlConfig as Config};
    pub(crate) use sqlx::MySqlConnection as Connection;

    pub(crate) const NAME: &str = "mariadb";
    pub(crate) const SERVER: &str = "SESSION_TEST_MARIADB";
    pub(crate) const LIST: &str = "tests/conformance_mariadb.expected";

    /// Every column, as bytes.
    pub(crate) const SCANNED: &str = "id, CAST(revision AS BINARY), CAST(expires_at AS BINARY), \
                                      CAST(deadline AS BINARY), CAST(touched_at AS BINARY), principal, meta, data";

    pub(crate) fn quoted(name: &str) -> String {
        format!("`{name}`")
    }

    pub(crate) fn bytes(bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("X'{hex}'")
    }

    pub(crate) fn drop(namespace: &str) -> String {
        format!("DROP VIEW IF EXISTS `{namespace}_json`; DROP TABLE IF EXISTS `{namespace}`")
    }
}

fn main() -> ExitCode {
    conformance::run()
}
