//! The conformance suite on the Postgres driver, against the server in `SESSION_TEST_POSTGRES`.

use std::process::ExitCode;

#[path = "server/conformance.rs"]
mod conformance;

mod dialect {
    pub(crate) use session_sql::postgres::{PostgresBackend as Backend, PostgresConfig as Config};
    pub(crate) use sqlx::PgConnection as Connection;

    pub(crate) const NAME: &str = "postgres";
    pub(crate) const SERVER: &str = "SESSION_TEST_POSTGRES";
    pub(crate) const LIST: &str = "tests/conformance_postgres.expected";

    /// Every column, as bytes.
    pub(crate) const SCANNED: &str = "id, int8send(revision), int8send(expires_at), int8send(deadline), \
                                      int8send(touched_at), principal, meta, data";

    pub(crate) fn quoted(name: &str) -> String {
        format!("\"{name}\"")
    }

    pub(crate) fn bytes(bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("'\\x{hex}'")
    }

    pub(crate) fn drop(namespace: &str) -> String {
        format!(
            "SET client_min_messages = error; DROP TABLE IF EXISTS \"{namespace}\" CASCADE; \
             DROP FUNCTION IF EXISTS \"{namespace}_text\""
        )
    }
}

fn main() -> ExitCode {
    conformance::run()
}
