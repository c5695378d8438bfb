//! What the driver says of each connection of its own, whatever the server, the account or an `init_connect` has
//! as default; and what it asks of one that is not its own.

use std::time::Duration;

use session_core::ErrorKind;
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, Row as _, SqlSafeStr as _, SqlStr};

use crate::server::Failure;

/// The statements that set a connection up, in one round trip.
#[derive(Clone, Debug)]
pub(super) struct Settings(SqlStr);

impl Settings {
    pub(super) fn new(lock_timeout: Duration, statement_timeout: Duration) -> Self {
        let lock = lock_timeout.as_millis().div_ceil(1000);
        let statement = statement_timeout.as_millis();
        let (seconds, millis) = (statement / 1000, statement % 1000);
        // The comments are code: the first to MariaDB alone, the second to MySQL alone. Of the isolation levels this
        // is the one without locks on the gaps between rows, over which writers of different sessions would meet.
        let sql = format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET NAMES utf8mb4; \
             SET SESSION autocommit = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
             innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock} \
             /*M!100101 , max_statement_time = {seconds}.{millis:03} */ \
             /*!50708 , max_execution_time = {statement} */"
        );
        Self(AssertSqlSafe(sql).into_sql_str())
    }

    pub(super) async fn apply(&self, connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        connection.execute(sqlx::raw_sql(self.0.clone())).await.map(drop)
    }
}

/// Refuses a connection on which no verb would last: each is a statement that must commit by itself.
pub(super) async fn check(connection: &mut MySqlConnection) -> Result<(), Failure> {
    let query = sqlx::query("SELECT CAST(@@SESSION.autocommit AS SIGNED)").persistent(false);
    let autocommit: i64 = query.fetch_one(connection).await?.try_get(0)?;
    if autocommit == 1 {
        return Ok(());
    }
    let detail = "the connections of the pool do not commit by themselves; turn `autocommit` on";
    Err(Failure::describe(ErrorKind::Config, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_waited_for_in_whole_seconds_and_statements_in_their_parts() {
        for (millis, lock, statement) in
            [(1, "timeout = 1,", "0.001"), (1000, "timeout = 1,", "1.000"), (2050, "timeout = 3,", "2.050")]
        {
            let timeout = Duration::from_millis(millis);
            let settings = Settings::new(timeout, timeout);
            let sql = settings.0.as_str();
            assert!(sql.contains(lock) && sql.contains(statement), "{sql}");
        }
    }
}
