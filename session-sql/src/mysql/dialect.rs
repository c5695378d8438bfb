//! What tells one MySQL server of several from the others.

use session_core::Error;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{Executor as _, MySql, MySqlConnection, Row as _};

use super::config::address;
use crate::server::{Server, from_first_connecting};

/// `read_only` counts for accounts too that need not keep to it: it is how a replica is told. Newer servers have words
/// for it. The comments are code: the first to MariaDB alone, the second to MySQL alone.
const TAKES_WRITES: &str = "\
    SELECT CAST(@@GLOBAL.read_only AS CHAR) IN ('0', 'OFF') \
    /*M!100101 AND CAST(@@SESSION.tx_read_only AS CHAR) IN ('0', 'OFF') */ \
    /*!80003 AND NOT @@SESSION.transaction_read_only */";

impl Server for MySql {
    fn place(options: &MySqlConnectOptions) -> String {
        address(options)
    }

    async fn takes_writes(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
        connection.fetch_one(sqlx::raw_sql(TAKES_WRITES)).await?.try_get_unchecked(0)
    }

    fn explain(error: sqlx::Error, options: &MySqlConnectOptions) -> Error {
        let files = "`ssl-ca`, `ssl-cert` or `ssl-key`";
        from_first_connecting(error, options.get_socket().is_none(), files).error()
    }
}
